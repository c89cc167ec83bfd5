"""The peers under load, each with each of its settings in turns with ours, about the same pictures."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from urllib.request import Request, urlopen

from benchmarks.serving.bodies import TELEPHONE, Body
from benchmarks.serving.load import AT, Load, Loads, Question, Run, interleaved
from benchmarks.serving.peer_servers import PEERS, Peer
from benchmarks.serving.posted import PLAIN
from benchmarks.serving.servers import ours
from benchmarks.store import shipped

MODEL = shipped("cnn")


def peer_loads(folder: Path, posted: Sequence[Body], workers: int, rounds: int, seconds: int) -> dict[str, Loads]:
    """By the peer with its setting: its loads, and ours of the same rounds."""
    small = [body for body in posted if body.name != TELEPHONE]
    found = {}
    for name, peer in PEERS.items() if small else ():
        questions = {body: peer.question(base64.b64encode(body.content).decode()) for body in small}
        probe = questions[small[0]]
        for count, batch in peer.settings:
            what = f"{name}, {count or 'no'} worker{'' if count == 1 else 's'}, batches of {batch}"
            with ours(workers, EXPLAIN="off") as own, peer.start(MODEL, count, batch, probe, folder) as url:
                runs: list[Run] = []
                for body, question in questions.items():
                    same = Question("/v1/predict?model=cnn", body.content, {"Content-Type": body.kind})
                    check(what, peer, url, question, own, same)
                    runs += [
                        Run(Load(PLAIN, body.name, AT), own, same),
                        Run(Load(what, body.name, AT), url, question),
                    ]
                found[what] = interleaved(folder, runs, rounds, seconds)
    return found


def check(what: str, peer: Peer, url: str, question: Question, own: str, same: Question) -> None:
    """Raises RuntimeError: the peer reads another digit than ours, so that it does other work."""
    theirs = peer.read(answer(url, question))
    digit = answer(own, same)["prediction"]["label"]
    if theirs.index(max(theirs)) != int(digit):
        raise RuntimeError(f"{what} reads {theirs.index(max(theirs))} where ours reads {digit}")


def answer(url: str, question: Question) -> dict:
    with urlopen(Request(url + question.path, question.body, dict(question.headers)), timeout=30) as found:
        return json.load(found)
