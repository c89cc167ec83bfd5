"""python -m benchmarks.serve: predictions a second, ours beside other handlers and servers; for RESULTS.md."""

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.explaining import ours as net
from benchmarks.results import write_part
from benchmarks.serving.beside import beside_explanations
from benchmarks.serving.bodies import NAMES, bodies, small
from benchmarks.serving.goals import Found
from benchmarks.serving.load import wrk
from benchmarks.serving.memory import memory
from benchmarks.serving.peer_loads import peer_loads
from benchmarks.serving.posted import posted_loads
from benchmarks.serving.start import first_answers
from benchmarks.serving.table import Setting, document


def main() -> None:
    given = arguments()
    wrk()
    load = os.getloadavg()[0]
    workers = min(4, os.cpu_count() or 1)
    source, digits = net.digits(1)
    posted = bodies(digits[0], given.bodies)
    every = (workers, given.rounds, given.seconds)
    with TemporaryDirectory() as name:
        folder = Path(name)
        found = Found(
            loads=posted_loads(folder, posted, digits[0], *every),
            beside={} if given.alone else peer_loads(folder, posted, *every),
            busy=beside_explanations(folder, small(digits[0]).content, *every),
            starts=first_answers(),
            memory=memory(posted),
        )
    sizes = {body.name: len(body.content) for body in posted}
    text = document(found, Setting(f"{datetime.now(UTC):%Y-%m-%d}", source, sizes, *every, load))
    if given.out is None:
        write_part("serving", text)
    else:
        given.out.write_text(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=2, help="of each load")
    parser.add_argument("--bodies", nargs="+", choices=list(NAMES), default=list(NAMES), help="only these are posted")
    parser.add_argument("--alone", action="store_true", help="without LitServe, MLServer and BentoML")
    parser.add_argument("--out", type=Path, help="a file of its own; default: its part of RESULTS.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
