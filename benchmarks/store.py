"""The nets that come with Inkling."""

from pathlib import Path

STORE = Path(__file__).parent.parent / "model_store"


def shipped(name: str) -> Path:
    """The folder of the latest version of a net."""
    versions = [one for one in (STORE / name).iterdir() if one.name.isdecimal()]
    return max(versions, key=lambda one: int(one.name))
