"""BentoML: `bentoml serve bentoml_app:Digits`, with MODEL, WORKERS and BATCH in the environment."""

import os

import bentoml
from net import Net, stacked

BATCH = int(os.environ["BATCH"])


@bentoml.service(workers=int(os.environ["WORKERS"]))
class Digits:
    def __init__(self) -> None:
        self.net = Net(os.environ["MODEL"])

    @bentoml.api(batchable=BATCH > 1, max_batch_size=max(BATCH, 2), max_latency_ms=10_000)
    def predict(self, image: list[str]) -> list[list[float]]:
        return self.net.predict(stacked(image))
