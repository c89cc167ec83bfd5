"""Jobs of many pictures over HTTP: what is refused at once, and what a real server does with the rest."""

import http.client
import io
import json
import os
import signal
import socket
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from pyarrow import parquet

from server.bulk.jobs import JobRequest, Jobs
from server.errors import Busy, JobNotKept
from tests.auth.test_keys import write_keys
from tests.bulk.pictures import as_png, digits, npz_bytes, rows_in, write_npz
from tests.bulk.test_runs import QUICK, columns, explain_many
from tests.conftest import MakeApp
from tests.faults.disks import disk
from tests.faults.processes import eventually
from tests.support.models.stores import zipped
from tests.support.processes.servers import Running, ask, serving

SLOWEST = 240.0  # seconds
MANY = 140
WHAT = "model=mlp&method=saliency"
ARCHIVE = zipped({f"{at}.png": as_png(digit) for at, digit in enumerate(digits(3))})
REQUEST = JobRequest(None, None, "mlp", "8", {"method": "saliency"}, None, "auto", False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    """A real server of two workers that takes jobs."""
    settings = {"JOBS": str(tmp_path / "jobs"), "WORKERS": "2", "JOB_SOURCES": f"file://{tmp_path}/open"}
    with serving(tmp_path, settings, explain="ready") as found:
        yield found
        assert "Fatal Python error" not in found.log.read_text()


def sent(server: Running, body: bytes, query: str = WHAT, content_type: str = "application/octet-stream") -> Any:
    """The job that is made of a body."""
    request = Request(f"{server.url}/v1/jobs?{query}", body, {"Content-Type": content_type})
    with urlopen(request, timeout=60) as answer:
        job = json.load(answer)
        assert (answer.status, answer.headers["Location"]) == (202, job["links"]["self"])
    return job


def looked_at(server: Running, job: Mapping[str, Any]) -> Any:
    return ask(server.url + job["links"]["self"])[2]


def until(server: Running, job: Mapping[str, Any], holds: Callable[[Any], bool]) -> Any:
    eventually(lambda: holds(looked_at(server, job)), "the state of a job", SLOWEST)
    return looked_at(server, job)


def result(server: Running, job: Mapping[str, Any], into: Path) -> Path:
    """The result of a job that is done, unpacked."""
    found = until(server, job, lambda now: now["state"] not in ("queued", "running"))
    assert found["state"] == "done", found
    with urlopen(server.url + found["links"]["result"], timeout=60) as answer:
        assert answer.headers["Content-Type"] == "application/zip"
        zipfile.ZipFile(io.BytesIO(answer.read())).extractall(into)
    return into


def test_a_job_gives_what_the_command_gives(server: Running, tmp_path: Path) -> None:
    """A zip, an npz, and a place; a second job waits for the first."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "in.zip").write_bytes(ARCHIVE)
    jobs = [
        sent(server, ARCHIVE, content_type="application/zip"),
        sent(server, npz_bytes(images=digits(3))),
        sent(server, json.dumps({"source": f"file://{tmp_path}/open/in.zip"}).encode(), WHAT, "application/json"),
    ]
    outs = [result(server, job, tmp_path / str(at)) for at, job in enumerate(jobs)]
    (tmp_path / "in.zip").write_bytes(ARCHIVE)
    explain_many(tmp_path / "in.zip", tmp_path / "out", *QUICK)
    expected = columns(tmp_path / "out")
    for out in (outs[0], outs[2]):
        assert columns(out) == expected
    numbers = columns(outs[1])
    assert numbers["label"] == expected["label"]
    assert looked_at(server, jobs[0])["explained"] == 3
    kept = sorted(path.name for path in (tmp_path / "jobs" / jobs[0]["id"]).iterdir())
    assert kept == ["done.json", "job.json", "result.zip", "starts"]  # what was sent is gone


def workers_of(server: Running) -> list[int]:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return [int(one) for one in children]


def test_a_job_survives_when_every_worker_is_killed_twice(server: Running, tmp_path: Path) -> None:
    pictures = write_npz(tmp_path / "in.npz", images=digits(MANY))
    job = sent(server, pictures.read_bytes())
    for least in (1, 60):
        until(server, job, lambda now, least=least: now["done"] >= least)  # type: ignore[misc]
        killed = workers_of(server)
        for worker in killed:
            os.kill(worker, signal.SIGKILL)
        eventually(lambda killed=killed: not set(killed) & set(workers_of(server)), "new workers")  # type: ignore[misc]
        eventually(lambda: _answers(server), "new workers answer")
    out = result(server, job, tmp_path / "out")
    assert (
        len((tmp_path / "jobs" / job["id"] / "starts").read_text().split()) == 1
    )  # ends that were ordered do not count
    explain_many(pictures, tmp_path / "expected", *QUICK)
    assert rows_in(out).equals(rows_in(tmp_path / "expected"))


def _answers(server: Running) -> bool:
    try:
        return ask(f"{server.url}/readyz", timeout=5)[0] == 200
    except OSError:
        return False


def test_a_job_goes_on_after_the_server_was_started_anew(tmp_path: Path) -> None:
    settings = {"JOBS": str(tmp_path / "jobs")}
    pictures = write_npz(tmp_path / "in.npz", images=digits(MANY))
    with serving(tmp_path, settings, explain="ready") as server:
        job = sent(server, pictures.read_bytes())
        until(server, job, lambda now: now["done"] >= 1)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(60)
    with serving(tmp_path, settings, explain="ready") as server:
        assert looked_at(server, job)["done"] >= 1
        assert columns(result(server, job, tmp_path / "out"))["row"] == list(range(MANY))


def test_a_job_that_is_cancelled_ends_and_leaves_nothing(server: Running, tmp_path: Path) -> None:
    job = sent(server, npz_bytes(images=digits(MANY)))
    until(server, job, lambda now: now["state"] == "running")
    with urlopen(Request(server.url + job["links"]["self"], method="DELETE"), timeout=60) as answer:
        assert json.load(answer) == {"id": job["id"], "state": "cancelled"}
    folder = tmp_path / "jobs" / job["id"]
    eventually(lambda: not folder.exists(), "what was sent is removed")
    assert ask(server.url + job["links"]["self"])[0] == 404
    after = sent(server, ARCHIVE)
    assert until(server, after, lambda now: now["state"] == "done")["rows"] == 3


def test_a_job_that_cannot_be_done_says_why(server: Running, tmp_path: Path) -> None:
    jobs = {
        "has the arrays a (3, 28, 28), b (3, 28, 28)": sent(server, npz_bytes(a=digits(3), b=digits(3))),
        "has no pictures": sent(server, zipped({})),
        "begins as a zip and cannot be read": sent(server, ARCHIVE[:200]),
    }
    for said, job in jobs.items():
        found = until(server, job, lambda now: now["state"] == "failed")
        assert said in found["error"]["error"]
        assert str(tmp_path) not in found["error"]["error"]
        status, _, answer = ask(f"{server.url}/v1/jobs/{job['id']}/result")
        assert (status, answer["code"]) == (409, "job_not_done")
        assert said in answer["error"]
    listed = ask(f"{server.url}/v1/jobs")[2]["jobs"]
    assert [one["id"] for one in listed] == [job["id"] for job in jobs.values()]


REFUSED: list[tuple[str, bytes, str, str, int, str]] = [
    ("method=lyme", ARCHIVE, "application/zip", "", 404, "did you mean 'lime'"),
    ("model=nobody", ARCHIVE, "application/zip", "", 404, "nobody"),
    ("grid=7", ARCHIVE, "application/zip", "method=saliency", 400, "unknown option 'grid'"),
    ("explain_if=probability", ARCHIVE, "application/zip", "", 400, "expected such as probability<0.9"),
    ("target=12", ARCHIVE, "application/zip", "", 400, "is no class of this model"),
    ("float16=maybe", ARCHIVE, "application/zip", "", 400, "expected true or false"),
    ("budget_ms=5", ARCHIVE, "application/zip", "", 400, "unknown option 'budget_ms'"),
    ("", b"", "application/zip", "", 400, "the body is empty; send a zip"),
    ("", b"hello", "text/plain", "", 400, "the body begins with b'hello'"),
    ("", b"{}", "application/json", "", 400, "source is missing"),
    ("", b'{"source": "s3://elsewhere/in"}', "application/json", "", 403, "INKLING_JOB_SOURCES"),
    ("", b'{"source": "file:///etc/passwd"}', "application/json", "", 403, "INKLING_JOB_SOURCES"),
    ("", b'{"source": "s3://open/../other"}', "application/json", "", 403, "INKLING_JOB_SOURCES"),
    ("", b'{"source": "s3://opener/in"}', "application/json", "", 403, "INKLING_JOB_SOURCES"),
    ("", b'{"source": "s3://open/%2e%2e/other"}', "application/json", "", 403, "INKLING_JOB_SOURCES"),
    ("target=3&versus=3", ARCHIVE, "application/zip", "", 400, "target and versus are both 3"),
    ("", b'{"source": "s3://open/in::file:///etc"}', "application/json", "", 403, "INKLING_JOB_SOURCES"),
    ("source=s3://open/in", ARCHIVE, "application/zip", "", 400, "source is beside a body"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "body", "content_type", "more", "status", "said"), REFUSED)
def test_what_is_wrong_is_said_at_once(
    make_app: MakeApp, tmp_path: Path, query: str, body: bytes, content_type: str, more: str, status: int, said: str
) -> None:
    app = make_app(jobs=tmp_path / "jobs", job_workers=0, job_sources="s3://open")
    address = "/v1/jobs?" + "&".join(filter(None, (query, more or "method=saliency" * ("method" not in query))))
    answer = app.test_client().post(address, data=body, content_type=content_type)
    assert (answer.status_code, said in answer.get_json()["error"]) == (status, True), answer.data
    assert [path for path in (tmp_path / "jobs").iterdir() if path.is_dir()] == []


def test_a_body_that_is_too_large_is_refused_and_leaves_nothing(make_app: MakeApp, tmp_path: Path) -> None:
    client = make_app(jobs=tmp_path / "jobs", job_workers=0, job_bytes=1024).test_client()
    told = client.post("/v1/jobs?method=saliency", data=b"PK" + bytes(1023))
    assert (told.status_code, told.get_json()["code"]) == (413, "body_too_large")
    streamed = client.post(
        "/v1/jobs?method=saliency", input_stream=io.BytesIO(b"PK" + bytes(2000)),
        environ_overrides={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
    )  # fmt: skip
    assert (streamed.status_code, streamed.get_json()["code"]) == (413, "body_too_large")
    assert [path for path in (tmp_path / "jobs").iterdir() if path.is_dir()] == []


def test_a_server_without_a_folder_takes_no_jobs(make_app: MakeApp) -> None:
    client = make_app().test_client()
    answers = [client.post("/v1/jobs", data=ARCHIVE), client.get("/v1/jobs"), client.get(f"/v1/jobs/{'0' * 32}")]
    assert {(one.status_code, one.get_json()["code"]) for one in answers} == {(403, "forbidden")}
    assert "INKLING_JOBS=FOLDER" in answers[0].get_json()["error"]


@pytest.mark.parametrize("identity", ["0" * 32, "..", "x", "%2e%2e%2fjob.json", "0" * 31 + "/"])
def test_an_unknown_id_is_a_404(make_app: MakeApp, tmp_path: Path, identity: str) -> None:
    client = make_app(jobs=tmp_path / "jobs", job_workers=0).test_client()
    for end in ("", "/result"):
        assert client.get(f"/v1/jobs/{identity}{end}").status_code == 404
    assert client.delete(f"/v1/jobs/{identity}").status_code == 404


def test_a_key_needs_the_scope_to_explain_and_only_an_admin_lists(make_app: MakeApp, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    secrets = write_keys(keys, web="predict", lab="predict,explain", boss="admin")
    client = make_app(jobs=tmp_path / "jobs", job_workers=0, keys_file=keys).test_client()

    def status(name: str, method: str, address: str) -> int:
        headers = {"Authorization": f"Bearer {secrets[name]}", "Content-Type": "application/zip"}
        return client.open(address, method=method, data=ARCHIVE * (method == "POST"), headers=headers).status_code

    assert [status(name, "POST", "/v1/jobs?method=saliency") for name in secrets] == [403, 202, 403]
    assert [status(name, "GET", "/v1/jobs") for name in secrets] == [403, 403, 200]


def test_as_many_jobs_wait_as_may_and_others_are_told_to_come_later(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, 1000, 60)
    ids = [jobs.add(REQUEST, io.BytesIO(b"PK").read) for _ in range(16)]
    with pytest.raises(Busy, match="16 jobs are not done"):
        jobs.add(REQUEST, io.BytesIO(b"PK").read)
    jobs.remove(ids[3])
    jobs.add(REQUEST, io.BytesIO(b"PK").read)
    assert [job.id for job in jobs.all()][:4] == [*ids[:3], ids[4]]


def test_what_ended_is_kept_for_its_time_and_what_broke_off_is_removed(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, 1000, keep_seconds=100)
    old, new = (jobs.add(REQUEST, io.BytesIO(b"PK").read) for _ in range(2))
    for identity, age in ((old, 101), (new, 50)):
        done = tmp_path / identity / "done.json"
        done.write_text("{}")
        os.utime(done, (time.time() - age,) * 2)
    broken_off = tmp_path / ".incoming-x"
    broken_off.mkdir()
    os.utime(broken_off, (0, 0))
    (tmp_path / ".incoming-y").mkdir()
    jobs.start_next()  # nothing is left to be done
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([".incoming-y", new])


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path / "jobs", 1000, 60)
    (tmp_path / "jobs").rmdir()
    (tmp_path / "jobs").write_text("no folder")
    with pytest.raises((JobNotKept, NotADirectoryError)):
        jobs.add(REQUEST, io.BytesIO(b"PK").read)


def test_predictions_are_answered_while_a_job_runs(server: Running, tmp_path: Path) -> None:
    job = sent(server, npz_bytes(images=digits(MANY)))
    until(server, job, lambda now: now["state"] == "running")
    picture = as_png(digits(1)[0])
    assert [ask(f"{server.url}/v1/predict", picture)[0] for _ in range(20)] == [200] * 20
    assert looked_at(server, job)["state"] in ("running", "done")


def test_the_result_says_what_was_ordered(server: Running, tmp_path: Path) -> None:
    job = sent(server, ARCHIVE, "model=mlp&method=gradient_x_input&explain_if=probability<0.5&float16=true")
    out = result(server, job, tmp_path / "out")
    spec = json.loads((out / "manifest.json").read_text())["spec"]
    assert (spec["options"], spec["explain_if"], spec["float16"]) == (
        {"method": "gradient_x_input"}, "probability<0.5", True,
    )  # fmt: skip
    assert parquet.read_schema(out / "data" / "part-000000.parquet").field("values").type.value_type == "halffloat"
    assert str(tmp_path) not in (out / "manifest.json").read_text()


def raw(server: Running, head: str, body: bytes) -> tuple[int, Any]:
    """The answer to a request that is sent as it is, by a client that then sends no more."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as sock:
        sock.sendall(f"POST /v1/jobs?{WHAT} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n\r\n".encode() + body)
        sock.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        return answer.status, json.loads(answer.read())


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("Content-Length: 999", b"PK\x03\x04"),
        ("Content-Length: 200000", b"PK\x03\x04" + bytes(100_000)),
        ("Transfer-Encoding: chunked", b"4\r\nPK\x03\x04\r\nzz"),
        ("Transfer-Encoding: chunked", b"8\r\nPK\x03\x04"),
    ],
)
def test_an_upload_that_breaks_off_is_no_job(server: Running, tmp_path: Path, head: str, body: bytes) -> None:
    status, answer = raw(server, head, body)
    assert (status, answer["code"]) == (400, "bad_request")
    assert "breaks off" in answer["error"]
    assert [path for path in (tmp_path / "jobs").iterdir() if path.is_dir()] == []


def test_a_job_that_cannot_be_read_holds_up_no_other(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, 1000, 60)
    broken, ended, whole = (jobs.add(REQUEST, io.BytesIO(b"PK").read) for _ in range(3))
    (tmp_path / broken / "job.json").write_text("{bad")
    (tmp_path / ended / "done.json").write_text("{}")
    (tmp_path / whole / "cancelled").touch()  # so that nothing is started
    jobs.start_next()
    assert not (tmp_path / broken).exists()
    assert not (tmp_path / ended / "input").exists()  # left by a process that was killed just then


def test_a_job_on_a_full_disk_waits_for_room_and_is_then_done(tmp_path: Path) -> None:
    pictures = npz_bytes(images=digits(40))
    with disk(tmp_path / "disk", 1 << 20) as place:
        ballast = place / "ballast"
        with serving(tmp_path, {"JOBS": str(place / "jobs")}, explain="ready") as server:
            ballast.write_bytes(bytes((1 << 20) - len(pictures) - 40_000))
            job = sent(server, pictures)
            eventually(lambda: "waits" in server.log.read_text(), "the log says that it waits", SLOWEST)
            assert looked_at(server, job)["state"] in ("queued", "running")
            ballast.unlink()
            assert columns(result(server, job, tmp_path / "out"))["row"] == list(range(40))


def test_a_job_that_cannot_be_looked_at_just_now_is_kept(tmp_path: Path) -> None:
    """Only what can be read and not be understood is removed."""
    jobs = Jobs(tmp_path, 1000, 60)
    identity = jobs.add(REQUEST, io.BytesIO(b"PK").read)
    (tmp_path / identity / "done.json").write_text("{}")
    job = tmp_path / identity / "job.json"
    job.unlink()
    job.symlink_to("/proc/self/mem")  # a file whose first bytes cannot be read
    jobs.start_next()
    assert job.is_symlink()


def test_an_option_that_is_given_twice_differently_is_refused(make_app: MakeApp, tmp_path: Path) -> None:
    client = make_app(jobs=tmp_path / "jobs", job_workers=0, job_sources="s3://open").test_client()
    sent = {"source": "s3://open/in", "method": "saliency"}
    assert client.post("/v1/jobs?method=saliency", json=sent).status_code == 202
    answer = client.post("/v1/jobs?method=lime", json=sent)
    assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_option")
    assert "give it once" in answer.get_json()["error"]
