"""What `make test-quick` leaves out: tests that load TensorFlow or large packages, start processes, or take seconds."""

from pathlib import Path

TESTS = Path(__file__).parent.parent
HEAVY = frozenset({"tensorflow", "keras", "gunicorn", "lime", "shap"})
SLOW = (  # folders and files
    "benchmarks",  # starts other servers
    "browser",  # a browser
    "cache/test_cache.py",  # many processes with one file
    "cache/test_entry.py",  # renders every kind of explanation
    "cli/test_verify.py",  # loads every shipped version
    "conformance",  # clients of other protocols, against real servers
    "deploy",  # posts thousands of pictures to a shipped net
    "docs",  # runs every command of the pages
    "e2e",  # real processes
    "explainers/test_memory.py",  # measures processes
    "explainers/test_nets.py",  # every method on the shipped nets
    "explainers/test_oracles.py",  # the packages lime and shap
    "images/files/test_in_flight.py",  # kills a process
    "images/test_kinds.py",  # makes hundreds of photos
    "images/test_numbers.py",  # hundreds of generated tables
    "images/test_photos.py",  # reads hundreds of MNIST's digits
    "images/test_plain.py",  # TensorFlow is its oracle
    "inference/test_scheduled_explanations.py",  # deadlines that pass
    "models/test_contract.py",  # loads the shipped SavedModels, as do those below
    "models/test_devices.py",
    "models/test_graphs.py",
    "models/test_litert.py",
    "models/test_micro_batches.py",
    "models/test_model_loaders.py",
    "models/test_twinless.py",
    "models/test_warm.py",
    "models/batching/test_batched_model.py",
    "models/repository/test_store.py",
    "models/repository/test_swaps.py",
    "models/repository/test_versions.py",
    "openapi/test_openapi.py",  # hundreds of generated requests for every address
    "process",  # gunicorn
    "reference",  # the packages lime and shap
    "render/test_golden.py",  # these packages again
    "routes/bodies/test_bodies.py",  # bodies of many MiB
    "routes/inkling/test_attack.py",  # attacks on every shipped net
    "routes/test_docs.py",  # a browser
    "routes/test_large_pictures.py",  # makes and decodes them
    "state",  # a Valkey
    "training",  # TensorFlow
)


def is_slow(path: Path) -> bool:
    """Whether a folder or a file of tests is left out."""
    return path.is_relative_to(TESTS) and path.relative_to(TESTS).as_posix() in SLOW
