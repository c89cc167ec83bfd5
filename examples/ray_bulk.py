"""Explains the pictures of a folder on a Ray cluster, from a program: what `explain-many --engine ray` does.

    python examples/ray_bulk.py PICTURES RESULTS

Needs requirements-ray.txt. PICTURES, and the folder that INKLING_MODEL_STORE names, have to be where every node finds
them; RAY_ADDRESS names the cluster, else it runs on this machine.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from server.bulk.on_ray import run_shards_on_ray
from server.bulk.plan import plan_run, run_spec
from server.bulk.run import Run
from server.config import Settings


def main(pictures: str, results: Path) -> None:
    settings = Settings.from_env()
    store = settings.model_store.resolve()
    spec = plan_run(
        run_spec(pictures, settings.model, None, {"method": "integrated_gradients"}, settings.max_body_bytes), store
    )
    with Run(results, spec).locked():
        run = Run.begin_or_resume(results, spec)
        for shard, counts in run_shards_on_ray(run, store, workers=4, device="cpu", stall_seconds=600):
            print(f"file {shard} of {spec.shards}: {counts.rows} pictures, {counts.errors} with an error")
        print(run.finish(seconds=0))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]))
