"""The nets that come with Inkling."""

from pathlib import Path

from training.store.labels import default_of

STORE = Path(__file__).parent.parent / "model_store"


def shipped(name: str, store: Path = STORE) -> Path:
    """The folder of the version of a net that answers by default."""
    found = default_of(store / name)
    assert found is not None, f"{store} has no {name}"
    return found
