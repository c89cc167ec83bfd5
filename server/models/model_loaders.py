"""Loads the model that explains a version, by LiteRT or TensorFlow (factories). TensorFlow is imported with the first
SavedModel.
"""

import gc
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from server.models.batching.batched_model import batched_model_for
from server.models.card import BrokenVersion, read_card
from server.models.interpreters import InterpreterPool
from server.models.litert import explaining_model
from server.models.on_demand import OnDemand
from server.models.versions import LoadedModel, LoadLiteRT, LoadSavedModel
from server.types import ModelCard


def litert_loader(
    load_savedmodel: LoadSavedModel | None,
    capacity: int,
    partly: bool,
    niceness: int = 0,
    on_batch: Callable[[int], None] = lambda rows: None,
    cores: int | None = None,
) -> LoadLiteRT:
    """Makes a loader of models that explain without TensorFlow, with interpreters of `capacity` bytes at most together;
    `partly`: also where the files cannot do all that the card says. `load_savedmodel` loads the SavedModel for packages
    that need one. Threads that help to compute one explanation have `niceness`; `on_batch` is called with the rows of
    each call. One explanation is computed on so many `cores`, by default all."""
    cores = cores or available_cores()
    pool = InterpreterPool(capacity, max_lent=cores)  # with more threads at work, predictions would wait for longer
    helpers = helper_threads(max(1, cores - 1), niceness)

    def load(folder: Path, card: ModelCard) -> LoadedModel | None:
        model = explaining_model(folder, card, pool, helpers, cores, on_batch)
        if "forward" not in model.verbs or not (partly or card.verbs <= model.verbs):
            return None
        if load_savedmodel is None:
            return LoadedModel(model, "litert", model, close=model.close)
        load = load_savedmodel
        on_demand = OnDemand(lambda: _load_unchanged(load, folder, card))

        def close() -> None:
            model.close()
            on_demand.close()

        return LoadedModel(model, "litert", model, keras_view=on_demand.keras_view, close=close)

    return load


def _load_unchanged(load: LoadSavedModel, folder: Path, card: ModelCard) -> LoadedModel:
    """The SavedModel of a version that was opened a while ago.

    Raises:
        BrokenVersion: its files are not those that were opened.
    """
    _check_unchanged(folder, card)
    found = load(folder, card)
    try:
        _check_unchanged(folder, card)  # nor while they were read
    except BrokenVersion:
        found.close()
        raise
    return found


def _check_unchanged(folder: Path, card: ModelCard) -> None:
    if read_card(folder).digest != card.digest:
        raise BrokenVersion("its files have changed since it was opened")


def helper_threads(count: int, niceness: int) -> ThreadPoolExecutor:
    """A thread pool that starts all its threads now: one started later would inherit its submitter's niceness."""
    started = threading.Barrier(count + 1)
    found = ThreadPoolExecutor(count, "help-explain", _set_niceness, (niceness,))
    for _ in range(count):
        found.submit(started.wait)
    started.wait()
    return found


def _set_niceness(niceness: int) -> None:
    """Give the calling thread this niceness, if it has less: only root may take less than it has."""
    if hasattr(os, "setpriority"):
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(niceness, os.getpriority(os.PRIO_PROCESS, thread)))


def available_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def savedmodel_loader(
    device: Literal["auto", "cpu", "gpu"],
    worker: int,
    on_batch: Callable[[int], None] = lambda rows: None,
    on_retrace: Callable[[], None] = lambda: None,
    on_wait: Callable[[int], None] = lambda change: None,
) -> LoadSavedModel:
    """Makes a loader of SavedModels onto the device of worker number `worker`; the callbacks report the rows of each
    call of a graph, graphs that are traced after loading, and the change of the number of rows that wait."""
    place: str | None = None
    loading = threading.Lock()  # loading changes and compares TensorFlow's registry of gradients

    def load(folder: Path, card: ModelCard) -> LoadedModel:
        with loading:
            return loaded(folder, card)

    def loaded(folder: Path, card: ModelCard) -> LoadedModel:
        nonlocal place
        from server.models import savedmodel

        if place is None:
            place = savedmodel.configure(device, worker)
            gc.collect()
            gc.freeze()  # TensorFlow's own objects live as long as the process: no collection needs to look at them
        gpu = place != "CPU:0"
        model = savedmodel.SavedModel(folder, card, on_batch, on_retrace, place if gpu else None)
        twin = any("predict" in file.roles for file in card.litert)
        per_request = batched_model_for(model, gpu, twin, on_wait) or model
        return LoadedModel(model, "tensorflow", per_request, lambda _: model.keras_model, model.close)

    return load
