"""What one machine knows the others know, and what is lost on the way costs no prediction."""

import itertools
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from server.cli.verify import findings
from server.models.repository.scan import scan
from tests.cluster.conftest import ADDRESS, NUMBER, Cluster, Server
from tests.faults.load import Outcome, load
from tests.support.models.stores import SEVEN, copy_version
from training.store import remote

PATIENCE = 30  # seconds, on a busy machine
EXPLAIN = "/v1/explain?method=expected_gradients&n_samples=3000"


def until(holds: Callable[[], Any]) -> float:
    """Seconds until it holds."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.02)  # polls other processes
    return time.monotonic() - began


def at_once(asks: list[Callable[[], Any]]) -> list[Any]:
    found: list[Any] = [None] * len(asks)

    def one(number: int) -> None:
        found[number] = asks[number]()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(asks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def computed(servers: list[Server]) -> int:
    """How many explanations were computed, as their logs say: what was looked up has no rows."""
    return sum(1 for server in servers for line in server.lines() if line["path"] == "/v1/explain" and "rows" in line)


def tell(cluster: Cluster, what: str, outcome: Outcome) -> None:
    seconds = sorted(outcome.seconds)
    p99 = seconds[min(len(seconds) - 1, int(0.99 * len(seconds)))]
    cluster.told[what] = (
        f"{len(seconds)} predictions, p50 {1000 * statistics.median(seconds):.1f} ms, p99 {1000 * p99:.1f} ms, "
        f"{len(outcome.failures)} failed"
    )


def predicting(servers: list[Server]) -> list[tuple[str, bytes]]:
    return [(f"{server.running.url}/v1/predict", SEVEN) for server in servers]


def check_answered(outcome: Outcome) -> None:
    assert outcome.failures == []
    assert set(outcome.statuses) == {200}
    assert {answer["prediction"]["class"] for answer in outcome.answers} == {7}  # type: ignore[index]


def test_servers_that_started_with_nothing_predict(cluster: Cluster) -> None:
    for server in cluster.servers:
        assert server.ask("/v1/predict", SEVEN)[2]["prediction"]["class"] == 7
        assert server.ask("/v1/models/mlp")[2]["labels"] == {"stable": str(NUMBER)}


def test_equal_explanations_that_are_asked_of_all_at_once_are_computed_once(cluster: Cluster) -> None:
    before = computed(cluster.servers)
    answers = at_once([lambda server=server: server.ask(EXPLAIN, SEVEN) for server in cluster.servers])  # type: ignore[misc]
    assert [status for status, _, _ in answers] == [200, 200, 200]
    assert len({str(answer["explanation"]["values"]) for _, _, answer in answers}) == 1
    until(lambda: computed(cluster.servers) > before)
    assert computed(cluster.servers) == before + 1


def test_an_explanation_of_one_server_is_had_from_another_by_its_id(cluster: Cluster) -> None:
    first, second, third = cluster.servers
    identity = first.ask("/v1/explain?method=shapley&seed=5", SEVEN)[2]["id"]
    pictures = [server.ask(f"/v1/explanations/{identity}.png") for server in (second, third)]
    assert [(status, kind) for status, kind, _ in pictures] == [(200, "image/png")] * 2
    assert pictures[0][2] == pictures[1][2]


def test_a_pushed_version_is_live_everywhere_soon(cluster: Cluster, tmp_path: Path) -> None:
    folder = copy_version(tmp_path, NUMBER + 1)
    with load(predicting(cluster.servers), clients=3, pause=0.02) as outcome:
        remote.push(remote.connect(ADDRESS), folder)
        number = str(NUMBER + 1)
        seconds = until(
            lambda: all(number in server.ask("/v1/models/mlp")[2]["versions"] for server in cluster.servers)
        )
        remote.point(remote.connect(ADDRESS), "mlp", "stable", NUMBER + 1)
        moved = until(lambda: all(server.ask("/v1/models/mlp")[2]["default"] == number for server in cluster.servers))
    cluster.told["a pushed version live on all"] = f"{seconds:.2f} s after the push"
    cluster.told["a moved label live on all"] = f"{moved:.2f} s after it was moved"
    tell(cluster, "predictions meanwhile", outcome)
    check_answered(outcome)


def test_a_model_that_one_unloads_is_unloaded_on_all(cluster: Cluster) -> None:
    first, second, third = cluster.servers
    assert first.ask("/v2/repository/models/mlp/unload", b"{}")[0] == 200
    until(lambda: all(server.ask("/v1/models/mlp")[0] == 404 for server in cluster.servers))
    assert second.ask("/v2/repository/models/mlp/load", b"{}")[0] == 200
    until(lambda: all(server.ask("/v1/predict", SEVEN)[0] == 200 for server in (first, third)))


def test_a_valkey_that_is_killed_and_comes_back_costs_no_answer(cluster: Cluster) -> None:
    first, second, _ = cluster.servers
    seeds = itertools.count(100)
    with load(predicting(cluster.servers), clients=3, pause=0.02) as outcome:
        cluster.state.kill()
        for server in cluster.servers:
            status, _, answer = server.ask("/v1/explain?seed=11", SEVEN)
            assert (status, answer["explanation"]["certificate"]["state"]) == (200, "exact")
            assert server.ask(f"/v1/explanations/{answer['id']}")[0] == 200  # kept by the server itself
        cluster.state.start()

        def is_shared() -> bool:
            identity = first.ask(f"/v1/explain?seed={next(seeds)}", SEVEN)[2]["id"]
            return bool(second.ask(f"/v1/explanations/{identity}")[0] == 200)

        cluster.told["explanations shared again"] = f"{until(is_shared):.2f} s after Valkey was back"
    tell(cluster, "predictions while Valkey was away", outcome)
    check_answered(outcome)


def test_a_store_that_is_away_costs_no_answer(cluster: Cluster) -> None:
    with load(predicting(cluster.servers), clients=3, pause=0.02) as outcome:
        cluster.store.kill()
        time.sleep(2)  # the servers look for it and do not find it
        cluster.store.start()
        cluster.store.make_bucket()
        remote.point(remote.connect(ADDRESS), "mlp", "canary", NUMBER)
        until(lambda: all("canary" in server.ask("/v1/models/mlp")[2]["labels"] for server in cluster.servers))
    tell(cluster, "predictions while the store was away", outcome)
    check_answered(outcome)


def test_a_store_and_a_state_that_answer_nothing_cost_no_answer(cluster: Cluster) -> None:
    with load(predicting(cluster.servers), clients=3, pause=0.02) as outcome:
        cluster.store.freeze()
        cluster.state.freeze()
        for server in cluster.servers:
            status, _, answer = server.ask("/v1/explain?seed=41", SEVEN)
            assert (status, answer["explanation"]["certificate"]["state"]) == (200, "exact")
        time.sleep(2)  # the servers look for what does not answer
        cluster.store.thaw()
        cluster.state.thaw()
        remote.point(remote.connect(ADDRESS), "mlp", "slow", NUMBER)
        seconds = until(lambda: all("slow" in server.ask("/v1/models/mlp")[2]["labels"] for server in cluster.servers))
        remote.point(remote.connect(ADDRESS), "mlp", "slow", None)
        until(lambda: all("slow" not in server.ask("/v1/models/mlp")[2]["labels"] for server in cluster.servers))
    cluster.told["a label after the store had hung"] = f"{seconds:.2f} s after it answered again"
    tell(cluster, "predictions while store and Valkey hung", outcome)
    check_answered(outcome)


def test_a_host_whose_link_is_cut_goes_on_alone_and_catches_up(cluster: Cluster) -> None:
    first, second, third = cluster.servers
    with load(predicting([first, third]), clients=2, pause=0.02) as outcome:
        second.host.cut()
        with second.host.here(), load(predicting([second]), clients=1, pause=0.02) as alone:  # clients on that host
            status, _, answer = second.ask("/v1/explain?seed=21", SEVEN)
            assert (status, answer["explanation"]["certificate"]["state"]) == (200, "exact")
            with cluster.clients.here():
                remote.point(remote.connect(ADDRESS), "mlp", "canary", NUMBER + 1)
            time.sleep(2)  # it looks for what it cannot reach
        second.host.join()
        target = str(NUMBER + 1)
        seconds = until(lambda: second.ask("/v1/models/mlp")[2]["labels"].get("canary") == target)
    cluster.told["a label that moved meanwhile"] = f"{seconds:.2f} s after the link was back"
    tell(cluster, "predictions of the others", outcome)
    tell(cluster, "predictions on the host that was cut off", alone)
    check_answered(outcome)
    check_answered(alone)


def test_nothing_is_corrupt_in_the_end(cluster: Cluster) -> None:
    for server in cluster.servers:
        assert [finding.line for finding in findings(server.folder) if finding.reason is not None] == []
        assert scan(server.folder)["mlp"].labels == {"stable": str(NUMBER + 1), "canary": str(NUMBER + 1)}
        assert server.running.process.poll() is None
    answers = [server.ask("/v1/explain?seed=33", SEVEN)[2] for server in cluster.servers]
    assert len({answer["id"] for answer in answers}) == 1
    first, *others = [np.array(answer["explanation"]["values"]) for answer in answers]
    assert all(np.allclose(first, other, atol=1e-5 * np.abs(first).max()) for other in others)
