"""Inkling reads handwritten digits over HTTP, and says why."""

__version__ = "0.1.0"  # as pyproject.toml has it
