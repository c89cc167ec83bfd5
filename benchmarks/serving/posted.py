"""What people post, asked of ours in plain and in production settings, of the null handler and of the naive one."""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.case import Array
from benchmarks.serving import servers
from benchmarks.serving.bodies import Body
from benchmarks.serving.load import AT, Load, Loads, Question, Run, interleaved

NULL = "null handler"
NAIVE = "naive handler"
PLAIN = "Inkling"
PRODUCTION = "Inkling, production"
MLP = "Inkling, mlp"
PREDICT = "/v1/predict?model=cnn"


def posted_loads(folder: Path, posted: Sequence[Body], digit: Array, workers: int, rounds: int, seconds: int) -> Loads:
    """The loads that are compared, in turns; `digit` (28, 28) is what the small PNG shows."""
    probe = posted[0].content
    with ExitStack() as stack:
        secured, headers = stack.enter_context(servers.production(workers, probe))
        plain = stack.enter_context(servers.ours(workers, EXPLAIN="off"))
        questions = {
            NULL: (stack.enter_context(servers.handler("null", workers, probe)), "/", {}),
            NAIVE: (stack.enter_context(servers.handler("naive", workers, probe)), "/", {}),
            PLAIN: (plain, PREDICT, {}),
            PRODUCTION: (secured, PREDICT, headers),
        }
        runs: list[Run] = []
        for body in posted:
            for count in body.connections:
                runs += compared(body, count, questions)
                if (body.name, count) == ("png", AT):
                    runs += [Run(Load(name, "png", AT), plain, one) for name, one in others(body, digit).items()]
        return interleaved(folder, runs, rounds, seconds)


def compared(body: Body, count: int, questions: Mapping[str, tuple[str, str, Mapping[str, str]]]) -> list[Run]:
    """One picture, asked of all servers; by each server's name its address, the path, and the headers that it wants."""
    return [
        Run(
            Load(name, body.name, count),
            url,
            Question(path, body.content, {"Content-Type": body.kind, **headers}),
            body.seconds,
        )
        for name, (url, path, headers) in questions.items()
    ]


def others(png: Body, digit: Array) -> dict[str, Question]:
    """Other nets and other ways to ask about the digit of the small PNG, by what they are called in the table."""
    raw = digit.astype("<f4").tobytes()
    parameters = {"binary_data_size": len(raw)}
    inputs = [{"name": "images", "shape": [1, *digit.shape], "datatype": "FP32", "parameters": parameters}]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    rows = json.dumps({"instances": np.round(digit[None].astype(float), 4).tolist()}).encode()
    length = {"Inference-Header-Content-Length": str(len(head))}
    kind = {"Content-Type": png.kind}
    return {
        MLP: Question("/v1/predict?model=mlp", png.content, kind),
        "Inkling, lstm": Question("/v1/predict?model=lstm", png.content, kind),
        "Inkling, :predict with JSON": Question("/v1/models/cnn:predict", rows, {"Content-Type": "application/json"}),
        "Inkling, infer with binary tensors": Question("/v2/models/cnn/infer", head + raw, length),
    }
