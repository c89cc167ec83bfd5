"""Runs the shards of a bulk run on a Ray cluster: the same worker, as an actor of `ray.data.Dataset.map_batches`.

The driver hands out numbers of shards and writes what comes back, so that results lie on its machine; pictures and
models have to be where every node finds them. Ray does a lost node's shards again. It also waits for ever, without a
word, where the nodes that are left have too few CPUs for its actors: so the driver gives up after a while without any.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from server.bulk.errors import RunError
from server.bulk.processes import LOOK, Stopped
from server.bulk.run import RowCounts, Run, encoded
from server.bulk.worker import RunSpec, ShardWorker

HALF = 0.5  # CPUs that an actor asks for: fewer than it uses, so that actors and readers find room on what is left


class RayWorker:
    """A ShardWorker as `map_batches` wants it: a batch of shard numbers in, their files out."""

    def __init__(self, spec: str, store: str, identity: str, device: str) -> None:
        self._identity = identity
        self._worker = ShardWorker(RunSpec.from_json(spec), Path(store), 1, device)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        shards = [int(shard) for shard in batch["shard"]]
        return {"shard": shards, "file": [encoded(self._worker.explain(shard), self._identity) for shard in shards]}


def run_shards_on_ray(
    run: Run,
    store: Path,
    workers: int,
    device: str,
    stall_seconds: float,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[int, RowCounts]]:
    """Do what is missing of a run with so many actors at most; each shard when it is there, and its counts. The cluster
    is the one that RAY_ADDRESS names, or one of this machine.

    Raises:
        RunError: Ray is not installed or failed, or nothing came for `stall_seconds`.
        Stopped: `should_stop` said so.
    """
    results: queue.Queue[tuple[int, bytes] | BaseException | None] = queue.Queue(maxsize=2 * workers)
    missing = run.missing(verify=True)
    arguments = (run.spec.to_json(), str(store), run.identity, device)
    threading.Thread(target=_consume, args=(results, missing, arguments, workers), name="ray", daemon=True).start()
    waited = 0.0
    while True:
        if should_stop():
            raise Stopped
        try:
            found = results.get(timeout=LOOK)
        except queue.Empty:
            waited += LOOK
            if waited >= stall_seconds:
                raise RunError(_stalled(stall_seconds)) from None
            continue
        waited = 0.0
        if found is None:
            return
        if isinstance(found, BaseException):
            raise RunError(f"Ray could not go on ({type(found).__name__}: {_last_line(found)})") from found
        shard, body = found
        yield shard, run.write_file(shard, body)


def _consume(results: "queue.Queue[Any]", shards: list[int], arguments: tuple[str, ...], workers: int) -> None:
    """Put each file of the shards into the queue when it is there, then None; or what went wrong."""
    try:
        import ray

        if not ray.is_initialized():
            ray.init(log_to_driver=False, configure_logging=False)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        files = ray.data.from_items([{"shard": shard} for shard in shards]).map_batches(
            RayWorker,
            fn_constructor_args=arguments,
            batch_size=1,
            num_cpus=HALF,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers),
        )
        for row in files.iter_rows():
            results.put((int(row["shard"]), row["file"]))
        results.put(None)
    except ImportError:
        results.put(RuntimeError("it is not installed; `pip install -r requirements-ray.txt`"))
    except BaseException as error:  # the thread that waits has to hear of anything
        results.put(error)


def _stalled(seconds: float) -> str:
    return (
        f"no shard has come from Ray for {seconds:g} s, which waits where its nodes have too few CPUs or lost what "
        "they worked with; look at `ray status`, then begin again: it goes on"
    )


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[-1][:300]
