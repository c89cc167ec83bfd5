"""Bulk runs by processes, as users start them: whole, equal to what the server answers, and whole again after kills."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.bulk.run import manifest_of
from tests.bulk.pictures import as_png, digits, rows_in, write_npz
from tests.faults.processes import eventually
from tests.support.models.stores import SHIPPED, write_labels, zipped
from tests.support.processes.servers import ROOT, Running, ask

QUICK = ("--model", "mlp", "--method", "saliency", "--workers", "2", "--shard-rows", "20")
MANY = 140
SLOWEST = 200.0  # seconds, on a busy machine


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "server", "explain-many", *map(str, arguments)]


def explain_many(*arguments: str | Path, code: int = 0) -> str:
    """What it prints; standard error where it fails as it is to."""
    done = subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=250)
    assert done.returncode == code, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout if code == 0 else done.stderr


@contextmanager
def running(*arguments: str | Path) -> "Iterator[subprocess.Popen[bytes]]":
    with subprocess.Popen(command(*arguments), cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def shards(out: Path) -> int:
    return len(list(out.glob("data/part-*.parquet")))


def until_shards(out: Path, least: int) -> None:
    eventually(lambda: shards(out) >= least, f"{least} files", SLOWEST)


def until_ended(processes: Sequence[int]) -> None:
    eventually(lambda: not any(Path(f"/proc/{one}").exists() for one in processes), "processes end with their parent")


def children(pid: int) -> list[int]:
    """The processes that compute for a run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            line = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == pid and b"spawn_main" in line:
            found.append(int(stat.parent.name))
    return found


def columns(out: Path) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = rows_in(out).to_pydict()
    return found


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_npz(tmp_path_factory.mktemp("in") / "in.npz", images=digits(MANY))


@pytest.fixture(scope="module")
def undisturbed(source: Path) -> Path:
    """The results of a run that nothing disturbed."""
    out = source.parent / "out"
    said = explain_many(source, out, *QUICK)
    assert f"{MANY} pictures read by mlp/8, {MANY} explained" in said
    return out


def test_each_picture_has_its_row(undisturbed: Path) -> None:
    found = columns(undisturbed)
    assert found["row"] == list(range(MANY))
    assert found["code"] == [None] * MANY
    assert all(found["explained"])
    manifest = manifest_of(undisturbed)
    assert manifest is not None
    assert (manifest["complete"], manifest["rows"], manifest["errors"], manifest["codes"]) == (True, MANY, 0, {})
    assert [one["path"] for one in manifest["files"]] == sorted(
        f"data/{path.name}" for path in undisturbed.glob("data/*.parquet")
    )


def test_rows_are_what_the_server_answers(undisturbed: Path, explaining: Running) -> None:
    found, pictures = columns(undisturbed), digits(MANY)
    for row in (0, 57, MANY - 1):
        body = json.dumps({"pixels": pictures[row].tolist()}).encode()
        _, _, answer = ask(f"{explaining.url}/v1/explain?model=mlp&method=saliency", body)
        assert found["id"][row] == answer["id"]
        assert found["label"][row] == answer["prediction"]["label"]
        np.testing.assert_allclose(found["values"][row], np.ravel(answer["explanation"]["values"]), atol=1e-5)
        assert found["alt"][row] == answer["alt"]
        assert found["prediction_set"][row] == answer["prediction_set"]["labels"]


def test_a_run_that_is_killed_twice_is_whole_and_the_same(tmp_path: Path, source: Path, undisturbed: Path) -> None:
    out = tmp_path / "out"
    for least in (1, 3):
        with running(source, out, *QUICK) as process:
            until_shards(out, least)
            workers = children(process.pid)
            process.send_signal(signal.SIGKILL)
        until_ended(workers)
        manifest = manifest_of(out)
        assert manifest is not None
        assert not manifest["complete"]
    there = shards(out)
    explain_many(source, out, *QUICK)
    assert 3 <= there < shards(out)
    assert rows_in(out).equals(rows_in(undisturbed))


def test_a_process_that_is_killed_is_replaced(tmp_path: Path, source: Path, undisturbed: Path) -> None:
    out = tmp_path / "out"
    with running(source, out, *QUICK) as process:
        until_shards(out, 1)
        for worker in children(process.pid):
            os.kill(worker, signal.SIGKILL)
        assert process.wait(250) == 0
    assert rows_in(out).equals(rows_in(undisturbed))


def test_a_picture_that_ends_its_process_twice_ends_no_run(tmp_path: Path) -> None:
    """Every process is killed while it explains the only picture."""
    source, out = write_npz(tmp_path / "in.npz", images=digits(1)), tmp_path / "out"
    slow = ("--model", "lstm", "--method", "smooth_grad", "--option", "n_samples=2000", "--workers", "1")
    with running(source, out, *slow) as process:
        while process.poll() is None:
            for worker in children(process.pid):
                if processor_seconds(worker) > 4:
                    os.kill(worker, signal.SIGKILL)
            time.sleep(0.05)
        assert process.returncode == 1  # as of every run of errors alone
    found = columns(out)
    assert found["code"] == ["internal_error"]
    assert "more than once" in found["error"][0]


def processor_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_run_that_is_told_to_stop_says_that_it_goes_on(tmp_path: Path, source: Path, undisturbed: Path) -> None:
    out = tmp_path / "out"
    with subprocess.Popen(command(source, out, *QUICK), cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        until_shards(out, 1)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped; the same command goes on" in said
    explain_many(source, out, *QUICK)
    assert rows_in(out).equals(rows_in(undisturbed))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def spoil_numbers(path: Path) -> None:
    """Some bytes in the middle, which its reader takes for other numbers."""
    body = bytearray(path.read_bytes())
    body[len(body) // 3 : len(body) // 3 + 64] = bytes(64)
    path.write_bytes(body)


@pytest.mark.parametrize("spoil", [cut, spoil_numbers, Path.unlink], ids=["cut", "damaged", "lost"])
def test_a_file_that_is_damaged_or_lost_is_made_again(
    tmp_path: Path, source: Path, undisturbed: Path, spoil: Callable[[Path], object]
) -> None:
    out = tmp_path / "out"
    subprocess.run(["cp", "-r", undisturbed, out], check=True)
    spoil(out / "data" / "part-000003.parquet")
    explain_many(source, out, *QUICK)
    assert rows_in(out).equals(rows_in(undisturbed))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--method", "gradient_x_input"), "holds another run (another options)"),
        (("--shard-rows", "30"), "another shard rows"),
        (("--model", "cnn"), "another model"),
        (("--explain-if", "probability<0.5"), "another explain if"),
    ],
)
def test_another_order_is_no_continuation(source: Path, undisturbed: Path, more: Sequence[str], said: str) -> None:
    before = {path: path.read_bytes() for path in undisturbed.rglob("*.*")}
    assert said in explain_many(source, undisturbed, *QUICK, *more, code=1).replace("\n", " ")
    assert before == {path: path.read_bytes() for path in undisturbed.rglob("*.*")}


def test_other_pictures_are_no_continuation(tmp_path: Path, undisturbed: Path) -> None:
    other = write_npz(tmp_path / "in.npz", images=digits(MANY)[::-1])
    assert "another fingerprint" in explain_many(other, undisturbed, *QUICK, code=1)


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path, source: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    assert "is not empty and has no manifest.json" in explain_many(source, tmp_path / "out", *QUICK, code=1)


def test_two_do_not_work_on_one_folder(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "out"
    with running(source, out, *QUICK):
        until_shards(out, 1)
        assert "another process works on" in explain_many(source, out, *QUICK, code=1)


def test_a_bad_picture_is_a_row_with_its_error(tmp_path: Path) -> None:
    files = {
        "a.png": as_png(digits(1)[0]), "b.png": b"", "c.txt": b"not a picture", "d.png": as_png(digits(1)[0])[:200],
        "e.png": as_png(np.zeros((28, 28), np.uint8)), "f.png": as_png(digits(1)[0]),
    }  # fmt: skip
    (tmp_path / "in.zip").write_bytes(zipped(files))
    said = explain_many(tmp_path / "in.zip", tmp_path / "out", *QUICK)
    assert "6 pictures read by mlp/8, 2 explained, 4 with an error" in said
    found = columns(tmp_path / "out")
    assert found["name"] == sorted(files)
    assert found["code"] == [None, "empty_body", "unsupported_image", "damaged_image", "blank_image", None]
    assert [value is None for value in found["values"]] == [False, True, True, True, True, False]
    manifest = manifest_of(tmp_path / "out")
    assert manifest is not None
    assert manifest["codes"] == {"blank_image": 1, "damaged_image": 1, "empty_body": 1, "unsupported_image": 1}


def test_only_what_is_doubtful_is_explained(tmp_path: Path, source: Path, undisturbed: Path) -> None:
    sure = columns(undisturbed)["probability"]
    bound = float(np.quantile(sure, 0.2))
    explain_many(source, tmp_path / "out", *QUICK, "--explain-if", f"probability<{bound:.6f}")
    found = columns(tmp_path / "out")
    assert found["probability"] == sure
    assert found["explained"] == [probability < float(f"{bound:.6f}") for probability in sure]
    assert [value is None for value in found["values"]] == [not one for one in found["explained"]]
    assert 0.1 < np.mean(found["explained"]) < 0.3


def test_maps_in_16_bits_are_the_same_but_for_their_rounding(tmp_path: Path, source: Path, undisturbed: Path) -> None:
    explain_many(source, tmp_path / "out", *QUICK, "--float16")
    float16, full = rows_in(tmp_path / "out"), rows_in(undisturbed)
    assert str(float16.schema.field("values").type.value_type) == "halffloat"
    ours, theirs = (np.array(table["values"].to_pylist(), float) for table in (float16, full))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)
    assert float16["id"].to_pylist() == full["id"].to_pylist()
    sizes = [sum(path.stat().st_size for path in out.glob("data/*")) for out in (tmp_path / "out", undisturbed)]
    assert sizes[0] < 0.75 * sizes[1]


@pytest.mark.parametrize(
    ("more", "settings", "said"),
    [
        (("--model", "cnm"), {}, "no model 'cnm' is in"),
        (("--version", "99"), {}, "mlp has no version or label '99'; it has 8"),
        (("--method", "lyme"), {}, "unknown method 'lyme'; did you mean 'lime'?"),
        (("--option", "grid"), {}, "--option 'grid'; expected NAME=VALUE"),
        (("--option", "grid=7"), {}, "unknown option 'grid'"),
        (("--target", "twelve"), {}, "target='twelve' is no class of this model"),
        (("--target", "3", "--versus", "3"), {}, "target and versus are both 3"),
        (("--explain-if", "certainty<1"), {}, "explain_if='certainty<1'; expected such as probability<0.9"),
        (("--method", "attention"), {}, "mlp cannot do attention: it has no attention"),
        (("--array", "x_test"), {}, "name the one of pictures with --array"),
        ((), {"INKLING_MODEL_STORE": "/nowhere"}, "no model 'mlp' is in /nowhere"),
        ((), {"INKLING_MODLE": "cnn"}, "unknown setting INKLING_MODLE; did you mean INKLING_MODEL?"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(
    tmp_path: Path,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: Sequence[str],
    settings: Mapping[str, str],
    said: str,
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    told = explain_many(source, tmp_path / "out", *QUICK, *more, code=1)
    assert said in " ".join(told.split())
    assert "Traceback" not in told
    assert manifest_of(tmp_path / "out") is None


def test_a_full_disk_ends_it_with_a_sentence_and_it_goes_on(tmp_path: Path, source: Path, undisturbed: Path) -> None:
    """The limit on the size of a file fails a write as a full disk does."""
    out = tmp_path / "out"
    limited = f"ulimit -f 20; trap '' XFSZ; exec {' '.join(command(source, out, *QUICK))}"
    done = subprocess.run(["bash", "-c", limited], cwd=ROOT, capture_output=True, text=True, timeout=250)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(out.glob(".*.part"))
    explain_many(source, out, *QUICK)
    assert rows_in(out).equals(rows_in(undisturbed))


def test_help_answers_without_loading_anything() -> None:
    code = "import sys; from server.__main__ import main; main(['explain-many', '--help'], standalone_mode=False)"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert "--explain-if" in done.stdout
    assert not [name for name in ("numpy", "pyarrow", "ray") if f" {name}\n" in done.stderr]


def test_what_cannot_be_read_at_all_ends_no_run(tmp_path: Path) -> None:
    """Names that are no text, a compression that nobody needs, and files that lie beside pictures."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in (b"a.png", b"\xff.png", b"z.png"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(as_png(digits(1)[0]))
    explain_many(folder, tmp_path / "out", *QUICK)
    found = columns(tmp_path / "out")
    assert (found["name"], found["explained"]) == (["a.png", "z.png", "?.png"], [True] * 3)
    with zipfile.ZipFile(tmp_path / "in.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("bomb.png", bytes(1_000_000))
        archive.writestr("./a.png", as_png(digits(1)[0]), zipfile.ZIP_DEFLATED)
    explain_many(tmp_path / "in.zip", tmp_path / "zip", *QUICK)
    assert columns(tmp_path / "zip")["code"] == ["damaged_image", None]


def test_a_run_of_errors_alone_fails(tmp_path: Path) -> None:
    (tmp_path / "in.zip").write_bytes(zipped({"a.txt": b"text"}))
    assert "no picture could be read" in explain_many(tmp_path / "in.zip", tmp_path / "out", *QUICK, code=1)
    assert columns(tmp_path / "out")["code"] == ["unsupported_image"]


def test_results_do_not_come_among_the_pictures(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(as_png(digits(1)[0]))
    said = explain_many(tmp_path / "in", tmp_path / "in" / "out", *QUICK, code=1)
    assert "among the pictures" in " ".join(said.split())
    assert not (tmp_path / "in" / "out").exists()


def test_a_run_keeps_its_version_wherever_the_label_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, source = tmp_path / "store", write_npz(tmp_path / "in.npz", images=digits(2))
    shutil.copytree(SHIPPED / "cnn", store / "cnn")
    monkeypatch.setenv("INKLING_MODEL_STORE", str(store))
    how = ("--model", "cnn", "--method", "saliency", "--workers", "1")
    assert "cnn/9" in explain_many(source, tmp_path / "out", *how)
    write_labels(store, {"stable": 10}, "cnn")
    (tmp_path / "out" / "data" / "part-000000.parquet").unlink()
    assert "cnn/9" in explain_many(source, tmp_path / "out", *how)
    assert "cnn/10" in explain_many(source, tmp_path / "new", *how)


def test_a_complete_run_is_left_as_it_is(undisturbed: Path, source: Path) -> None:
    before = (undisturbed / "manifest.json").read_bytes()
    explain_many(source, undisturbed, *QUICK)
    assert (undisturbed / "manifest.json").read_bytes() == before


def test_a_run_that_was_killed_as_it_began_goes_on(tmp_path: Path, source: Path, undisturbed: Path) -> None:
    """Before its manifest was there."""
    out = tmp_path / "out"
    (out / "data").mkdir(parents=True)
    for left in (out / ".lock", out / ".manifest.json.1.part", out / "data" / ".part-000000.parquet.1.part"):
        left.touch()
    explain_many(source, out, *QUICK)
    assert rows_in(out).equals(rows_in(undisturbed))
    assert not list(out.rglob(".*.part"))


def test_a_file_beside_nothing_of_ours_is_not_ours(tmp_path: Path, source: Path) -> None:
    (tmp_path / "out" / "data").mkdir(parents=True)
    (tmp_path / "out" / "data" / "part-000000.parquet").write_bytes(b"somebody's")
    assert "is not empty and has no manifest.json" in explain_many(source, tmp_path / "out", *QUICK, code=1)
