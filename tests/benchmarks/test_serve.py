"""The arithmetic of the benchmark of predictions: what is posted, verdicts, the table; not what the servers do."""

import io
import math
from contextlib import nullcontext
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from benchmarks.serving.beside import explaining
from benchmarks.serving.bodies import NAMES, bodies
from benchmarks.serving.goals import Found, beside_naive, beside_peers, in_production, times, verdicts, worst
from benchmarks.serving.load import AT, Load, Loads, Measured
from benchmarks.serving.memory import Memory
from benchmarks.serving.peer_servers import PEERS
from benchmarks.serving.posted import MLP, NAIVE, NULL, PLAIN, PRODUCTION, compared, others
from benchmarks.serving.table import Setting, document

SETTING = Setting("2000-01-01", "digits", {"png": 390, "large": 1_800_000}, 2, 3, 3, 0.5)
MEMORY = Memory(139.0, 201.0, 60.0, 41.0)


def measured(*rates: float, p99: float = 2.0) -> list[Measured]:
    """A load of so many rounds."""
    return [Measured(rate, 1.0, p99, 0) for rate in rates]


def loads_of(body: str, **rates: float) -> Loads:
    """Loads of one round, by the names of the servers in posted.py."""
    names = {"null": NULL, "naive": NAIVE, "plain": PLAIN, "production": PRODUCTION, "mlp": MLP}
    return {Load(names[name], body, AT): measured(rate, p99=1000 / rate) for name, rate in rates.items()}


def test_what_people_post_is_what_its_name_says() -> None:
    posted = bodies(np.eye(28, dtype=np.float32))
    assert [body.name for body in posted] == list(NAMES)
    images = [Image.open(io.BytesIO(body.content)) for body in posted]
    kinds = [(image.size, image.mode, image.get_format_mimetype()) for image in images]
    assert kinds == [
        ((28, 28), "L", "image/png"), ((280, 280), "RGBA", "image/png"), ((1200, 900), "RGB", "image/jpeg"),
        ((4000, 3000), "RGB", "image/jpeg"),
    ]  # fmt: skip
    assert [body.kind for body in posted] == [kind for *_, kind in kinds]
    assert np.asarray(images[0])[3, 3] == 255 and np.asarray(images[1])[..., 3].min() == 255


def test_the_large_photo_is_always_the_same_and_small_enough_to_be_posted() -> None:
    one, other = (bodies(np.zeros((28, 28)), ["large"])[0] for _ in range(2))
    assert one == other and 1_000_000 < len(one.content) < 12 << 20
    assert one.connections == (1, 8)


def test_every_server_gets_a_picture_before_the_next_one() -> None:
    body = bodies(np.zeros((28, 28)), ["png"])[0]
    runs = compared(body, 8, {"a": ("http://a", "/", {}), "b": ("http://b", "/p", {"X-API-Key": "k"})})
    assert [(turn.load, turn.url, turn.question.path) for turn in runs] == [
        (Load("a", "png", 8), "http://a", "/"), (Load("b", "png", 8), "http://b", "/p"),
    ]  # fmt: skip
    assert runs[1].question.headers == {"Content-Type": "image/png", "X-API-Key": "k"}
    assert MLP in others(body, np.zeros((28, 28), np.float32))


def test_times_is_the_median_of_ratios_of_the_same_round() -> None:
    loads = {Load(PLAIN, "photo", AT): measured(10, 30, 20), Load(NAIVE, "photo", AT): measured(10, 10, 40)}
    assert times(loads, PLAIN, NAIVE, "photo") == 1
    assert times(loads, NAIVE, PLAIN, "photo") == 1
    assert math.isnan(times(loads, PLAIN, NAIVE, "png"))
    assert math.isnan(times(loads, PLAIN, NULL, "photo"))


def test_the_worst_is_the_slowest_rate_and_the_longest_wait() -> None:
    loads = {**loads_of("png", plain=100, naive=100), **loads_of("photo", plain=50, naive=200)}
    assert worst(loads, PLAIN, NAIVE) == (NAMES["photo"], 0.25)
    assert worst(loads, PLAIN, NAIVE, "p99") == (NAMES["photo"], 4)
    assert math.isnan(worst({}, PLAIN, NAIVE)[1])


@pytest.mark.parametrize(("drawing", "photo", "p99", "reached"), [
    (70, 200, 3.0, [True, True, True]), (69, 199, 3.1, [False, False, False]),
])  # fmt: skip
def test_targets_beside_the_naive_handler(drawing: float, photo: float, p99: float, reached: list[bool]) -> None:
    loads = {**loads_of("drawing", plain=drawing, naive=100), **loads_of("photo", plain=photo, naive=100)}
    loads[Load(PLAIN, "png", AT)], loads[Load(NAIVE, "png", AT)] = measured(1, p99=p99), measured(1, p99=1)
    assert [one.reached for one in beside_naive(loads)] == reached
    assert [one.reached for one in beside_naive({})] == [None] * 3


def test_production_is_judged_by_the_picture_that_it_slows_most() -> None:
    loads = {**loads_of("photo", plain=100, production=99), **loads_of("png", plain=100, production=79)}
    found = in_production(loads)
    assert (found.measured, found.reached) == (f"0.79 ({NAMES['png']})", False)
    assert in_production(loads_of("photo", plain=100, production=80)).reached is True
    assert in_production({}).reached is None


def test_a_peer_counts_with_its_better_setting() -> None:
    beside = {
        f"LitServe, {setting}": {Load(PLAIN, "png", AT): measured(100), Load(f"LitServe, {setting}", "png", AT): one}
        for setting, one in {"batches": measured(20), "none": measured(30)}.items()
    }
    litserve, mlserver, _ = beside_peers(beside)
    assert (litserve.measured, litserve.reached) == ("3.3", False)
    assert mlserver.reached is None


def test_nothing_is_reached_that_was_not_measured() -> None:
    found = Found({}, {}, {}, {}, Memory(120.0, 190.0))
    assert [one.reached for one in verdicts(found) if one.reached is not None] == [True, True]  # the two memories


@pytest.mark.parametrize("name", PEERS)
def test_peers_are_sent_the_picture_in_base64(name: str) -> None:
    assert b"aGVsbG8=" in PEERS[name].question("aGVsbG8=").body


def test_the_document_has_every_load_and_every_peer() -> None:
    what = "LitServe, 2 workers, batches of 1"
    loads = {**loads_of("png", null=4000, naive=2000, plain=1800, mlp=1700), **loads_of("large", plain=12.34, naive=9)}
    loads[Load(PLAIN, "png", 1)] = measured(900)
    beside = {what: {Load(PLAIN, "png", AT): measured(100), Load(what, "png", AT): measured(20)}}
    text = document(Found(loads, beside, {}, {"first prediction": 1.6}, MEMORY), SETTING)
    assert "28 x 28 PNG (390 bytes), 12-megapixel photo (1.8 MB)" in text
    assert "| 28 x 28 PNG | Inkling | 900 | 1.00 | 2.00 | 1800 | 1.00 | 0.56 |" in text
    assert "| 12-megapixel photo | Inkling | | | | 12.3 | 1.00 | 81.04 |" in text
    assert f"| 28 x 28 PNG | {what} | 20.0 | 1.00 | 2.00 | 100 | 5.0 |" in text
    assert "| first prediction, after a start | within 1.5 s | 1.60 s | **missed** |" in text
    assert "| memory of a worker that only predicts | at most 140 MB | 139.0 MB | reached |" in text
    assert (
        "| 12-megapixel photo: what it adds to a worker's memory at most | at most 40 MB | 41.0 MB | **missed** |"
        in text
    )
    for part in text.split("\n\n"):  # every table is complete
        assert len({line.count("|") for line in part.splitlines() if line.startswith("|")}) <= 1
    assert "Beside other servers" not in document(Found(loads, {}, {}, {}, MEMORY), SETTING)


@pytest.mark.parametrize("status", [200, 400, 503])
def test_predictions_are_not_measured_beside_unanswered_explanations(status: int) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        expected = nullcontext() if status == 200 else pytest.raises(SystemExit, match="beside nothing")
        with expected, explaining(f"http://127.0.0.1:{server.server_port}", b"picture", 3):
            pass
        server.shutdown()


def test_wrong_answers_are_counted_wherever_they_were_given() -> None:
    fine = measured(100.0)[0]
    loads = {Load(name, "png", AT): [fine, replace(fine, wrong=1)] for name in (NULL, PLAIN, MLP)}
    beside = {"a peer": {Load(name, "png", AT): [replace(fine, wrong=10)] for name in ("a peer", PLAIN)}}
    found = Found(loads, beside, {"lime": [(fine, replace(fine, wrong=5))]}, {}, MEMORY)
    assert "28 answers were wrong" in document(found, SETTING)
