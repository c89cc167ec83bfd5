"""The nets that come with Inkling."""

from pathlib import Path

STORE = Path(__file__).parent.parent / "model_store"


def shipped(name: str, store: Path = STORE) -> Path:
    """The folder of the latest version of a net."""
    versions = [one for one in (store / name).iterdir() if one.name.isdecimal()]
    return max(versions, key=lambda one: int(one.name))
