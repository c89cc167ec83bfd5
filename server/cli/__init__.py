"""Commands for operators: one file for each command of `python -m server`; `__main__.py` names and describes them.

Must not know HTTP or a running server. Read config.py first.
"""
