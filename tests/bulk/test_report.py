"""The page about a run says what its rows say: made-up runs, whose truth is known."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.bulk.errors import RunError
from server.bulk.report.clusters import _affinity, _assigned, _coarse, _count, clusters
from server.bulk.report.drift import compare_with_reference
from server.bulk.report.gather import BATCH, SAMPLE, SHOWN, Gathered, gather, run_in
from server.bulk.report.k_smallest import KSmallest, scrambled
from server.bulk.report.report import report, write
from server.bulk.report.summary import RunSummary
from server.bulk.rows import Row, error_row, schema, table
from server.bulk.run import Run, encoded
from server.bulk.worker import RunSpec
from server.errors import DamagedImage
from server.models.card import CARD, read_card
from server.rollout.evidence import cell_shares
from server.types import REFERENCE_BOUNDS, Array, ImageSpec, ModelCard
from tests.support.models.stores import add_reference, write_version
from tests.support.processes.servers import ROOT

CLASSES, SIDE = 10, 28
HOSTILE = "<img src=x onerror=alert(1)>"
SPEC = RunSpec(
    "pictures.npz", None, "f", 0, 50, "fake", "", "1", "", {"method": "shapley"}, None, "auto", False, 1 << 20
)  # fmt: skip


def made_row(row: int, index: int, **changes: Any) -> Row:
    """A picture that is read as a class, and explained, drawn by its number."""
    rng = np.random.default_rng([row, index])
    rest = rng.dirichlet(np.ones(CLASSES - 1)) * 0.04
    given = {
        "row": row,
        "name": f"digit-{row}.png",
        "class": index,
        "label": str(index),
        "probabilities": np.insert(rest, index, 0.96),
        "in_distribution": True,
        "energy": 20 + rng.random(),
        "pixels": rng.random((SIDE, SIDE)),
        "explained": True,
        "target": str(index),
        "values": rng.normal(size=(SIDE, SIDE)),
        "unit": "logit",
        "alt": f"Predicted {index}.",
    }
    found = {**given, **changes}
    return {**found, "probability": float(np.max(found["probabilities"]))}


def made_run(out: Path, rows: Sequence[Row], written: int | None = None, **spec: Any) -> Path:
    """A run of these rows, of which so many shards are written."""
    run_spec = replace(SPEC, rows=len(rows), **spec)
    run = Run.begin_or_resume(out, run_spec)
    of = schema(ImageSpec(SIDE, SIDE), CLASSES, run_spec.float16)
    for shard in range(run_spec.shards)[:written]:
        run.write_file(shard, encoded(table([rows[at] for at in run_spec.rows_of(shard)], of), run.identity))
    if written is None:
        run.finish(3.25)
    return out


def gathered(out: Path) -> Gathered:
    return gather(run_in(out)[0], None)[0]


def summary(out: Path, store: Path = Path("nowhere")) -> RunSummary:
    return report(out, store)[1]


def rows_of(*classes: int, **changes: Any) -> list[Row]:
    return [made_row(row, index, **changes) for row, index in enumerate(classes)]


def mixed(count: int) -> list[int]:
    return [(row * row) % CLASSES for row in range(count)]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A folder of models with a version that has a reference."""
    add_reference(write_version(tmp_path / "store"))
    return tmp_path / "store"


def card_of(store: Path) -> ModelCard:
    return read_card(store / "fake" / "1")


def of_card(store: Path) -> dict[str, Any]:
    return {"digest": card_of(store).digest}


class Read(HTMLParser):
    """What a browser would find: tags with their attributes, and the words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.words += f"{data} "


def test_class_means_are_the_means_of_their_rows(tmp_path: Path) -> None:
    rows = rows_of(*mixed(330))
    rows[7] = {**rows[7], "explained": False, "values": None, "target": None}
    rows[8] = error_row(8, "broken.png", DamagedImage("it is cut off"))
    found = summary(made_run(tmp_path / "out", rows))
    read = [row for row in rows if "class" in row]
    for index in found.read_classes:
        pictures = [row["pixels"].astype(np.float32) for row in read if row["class"] == index]
        maps = [row["values"].astype(np.float32) for row in read if row["class"] == index and row["explained"]]
        assert (found.gathered.counts.classes[index], found.gathered.mapped[index]) == (len(pictures), len(maps))
        np.testing.assert_allclose(found.mean_picture(index), np.mean(pictures, axis=0, dtype=float), rtol=1e-9)
        np.testing.assert_allclose(found.mean_map(index), np.mean(maps, axis=0, dtype=float), rtol=1e-9, atol=1e-12)
    assert (found.gathered.rows, found.gathered.explained, found.gathered.errors) == (330, 328, 1)
    assert (found.gathered.failed["damaged_image"].names, found.whole) == (["broken.png"], True)


def test_sixteen_bits_give_the_same_to_their_rounding(tmp_path: Path) -> None:
    rows = rows_of(*mixed(120))
    full, float16 = (summary(made_run(tmp_path / str(of), rows, float16=of)) for of in (False, True))
    for index in full.read_classes:
        np.testing.assert_allclose(float16.mean_map(index), full.mean_map(index), atol=4 * 2.0**-11)
        np.testing.assert_allclose(float16.mean_picture(index), full.mean_picture(index), atol=2.0**-11)
    names = [[case.name for case in one.gathered.doubtful.ascending()] for one in (full, float16)]
    assert names[0] == names[1]


def test_a_map_that_is_too_large_for_sixteen_bits_is_left_out_and_told(tmp_path: Path) -> None:
    rows = rows_of(3, 3, 3)
    rows[1]["values"] = np.full((SIDE, SIDE), 1e6)
    with np.errstate(over="ignore"):
        out = made_run(tmp_path / "out", rows, float16=True)
    page, found = report(out, Path("nowhere"))
    assert (found.gathered.odd, found.gathered.mapped[3], found.gathered.explained) == (1, 2, 3)
    assert "as they hold numbers that are not finite: 1 maps" in page


def planted(count: int, kinds: int) -> tuple[Array, Array]:
    """Maps of so many kinds, which look at other places, and the kind of each."""
    rng = np.random.default_rng(5)
    places = [(slice(4, 12), slice(4, 12)), (slice(16, 24), slice(14, 24))]
    kind = np.arange(count) % 3 % kinds  # unequal: two in three are of the first
    maps = rng.normal(scale=0.5, size=(count, SIDE, SIDE))
    for at in range(count):
        maps[at][places[kind[at]]] += 1
    return maps, kind


@pytest.mark.parametrize("count", [24, 90, 400])
def test_two_kinds_of_maps_are_two_clusters_with_the_right_members(count: int) -> None:
    maps, kind = planted(count, 2)
    found = clusters(maps)
    assert [one.members.tolist() for one in found] == [np.flatnonzero(kind == of).tolist() for of in (0, 1)]
    for one in found:
        assert set(one.nearest) <= set(one.members)
    assert all((a.members == b.members).all() for a, b in zip(found, clusters(maps), strict=True))


@pytest.mark.parametrize("count", [24, 90, 400])
def test_one_kind_of_maps_is_one_cluster(count: int) -> None:
    maps, _ = planted(count, 1)
    assert [len(one.members) for one in clusters(maps)] == [count]


def test_one_kind_would_be_split_by_who_does_not_count() -> None:
    """The broken twin of the one before: that there is one cluster is told by the gap, and not by the clustering."""
    maps, kind = planted(90, 1)
    affinity = _affinity(_coarse(maps))
    assert _count(affinity) == 1
    assert min(np.bincount(_assigned(affinity, 2, 0))) > 5
    assert not kind.any()


def test_a_cluster_shows_the_maps_that_are_nearest_to_its_mean() -> None:
    maps, _ = planted(30, 1)
    maps[[4, 9, 2]] = 0.0  # without noise, and ever less alike
    for at, strength in ((4, 0.0), (9, 0.15), (2, 0.25)):
        maps[at][4:12, 4:12] = 1
        maps[at] += strength * maps[0]
    assert clusters(maps)[0].nearest.tolist() == [4, 9, 2]


def test_maps_that_say_nothing_are_one_cluster() -> None:
    assert [len(one.members) for one in clusters(np.zeros((25, SIDE, SIDE)))] == [25]


def test_the_page_shows_clusters_with_their_names_and_says_where_there_are_too_few(tmp_path: Path) -> None:
    maps, kind = planted(60, 2)
    rows = [made_row(at, 4, values=one, name=f"kind{kind[at]}-{at}") for at, one in enumerate(maps)]
    rows += [made_row(60 + at, 7) for at in range(3)]
    words = Read(report(made_run(tmp_path / "out", rows), Path("nowhere"))[0]).words
    section = words[words.index("Maps of one class that are alike") : words.index("Nothing to compare with")]
    assert "4: 2 clusters, of 60 maps" in section
    assert "40 maps, 67 %" in section
    assert "20 maps, 33 %" in section
    assert [name[4] for name in re.findall(r"kind\d-\d+", section)] == ["0"] * 3 + ["1"] * 3
    assert "fewer than 20, to look for clusters: 7 (3)" in section
    assert "no verdict" in section


def test_maps_of_a_large_class_are_sampled_and_that_is_told(tmp_path: Path) -> None:
    count = SAMPLE + 140
    out = made_run(tmp_path / "out", [made_row(row, 2) for row in range(count)], shard_rows=250)
    found = gathered(out)
    sample = [case.row for case in found.samples[2].ascending()]
    assert len(sample) == SAMPLE == len(set(sample))
    assert abs(np.mean(sample) - count / 2) < 30  # of the whole run, and not of its beginning
    assert f"{SAMPLE} maps, drawn from {count}" in report(out, Path("nowhere"))[0]


def by_hand(counts: Sequence[float], usual: Sequence[float]) -> float:
    total, index = sum(counts), 0.0
    for count, share in zip(counts, usual, strict=True):
        p, q = (count + 0.5) / (total + len(counts) / 2), (share * total + 0.5) / (total + len(counts) / 2)
        index += (p - q) * np.log(p / q)
    return index


def test_drift_is_the_stability_index_by_hand(tmp_path: Path, store: Path) -> None:
    rows = [
        made_row(row, index, in_distribution=bool(row % 9), probabilities=np.insert(np.full(9, (1 - p) / 9), index, p))
        for row, (index, p) in enumerate(zip(mixed(300), np.linspace(0.25, 0.9995, 300), strict=True))
    ]
    found = summary(made_run(tmp_path / "out", rows, **of_card(store)), store)
    classes = [sum(row["class"] == index for row in rows) for index in range(CLASSES)]
    edges = [0.0, *REFERENCE_BOUNDS, 1.1]
    bins = [sum(low < row["probability"] <= high for row in rows) for low, high in pairwise(edges)]
    strange = sum(not row["in_distribution"] for row in rows)
    cells = sum(cell_shares(row["values"].astype(np.float32)).ravel() for row in rows)
    assert found.drift.indices["classes"] == pytest.approx(by_hand(classes, [0.1] * 10))
    assert found.drift.indices["confidence"] == pytest.approx(by_hand(bins, [0.1] * 10))
    assert found.drift.indices["out_of_distribution"] == pytest.approx(by_hand([300 - strange, strange], [0.99, 0.01]))
    assert found.drift.indices["evidence"] == pytest.approx(by_hand(cells, [1 / 16] * 16), rel=1e-5)


@pytest.mark.parametrize(
    ("classes", "words"),
    [([row % 10 for row in range(400)], "as usual"), ([row % 10 % 5 for row in range(400)], "moved much")],
)
def test_drift_is_told_where_labels_are_shifted(tmp_path: Path, store: Path, classes: list[int], words: str) -> None:
    page, found = report(made_run(tmp_path / "out", rows_of(*classes), **of_card(store)), store)
    assert (found.drift.indices["classes"] > 0.25) == (words == "moved much")
    assert f"<td>classes</td><td><b>{words}</b></td>" in page


def test_of_few_pictures_no_drift_is_told(tmp_path: Path, store: Path) -> None:
    page, found = report(made_run(tmp_path / "out", rows_of(*[3] * 150), **of_card(store)), store)
    assert found.drift.indices["classes"] > 0.25
    assert "moved much</b>" not in page
    assert "Of fewer than 200 pictures, an index is mostly chance" in page
    found.gathered.counts.add(np.full(100, 3), np.zeros(100, int), np.zeros(100, int))
    drift = compare_with_reference(found.gathered, found.spec, found.version)
    assert [drift.in_words(of) for of in ("classes", "evidence")] == ["moved much", "too few to tell"]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"options": {"method": "saliency"}}, "the reference is of shapley with its defaults, this run is not"),
        ({"options": {"method": "shapley", "grid": "4"}}, "the reference is of shapley with its defaults"),
        ({"options": {"method": "shapley", "output": "probability"}}, "the reference is of shapley with its defaults"),
        ({"options": {"method": "shapley", "target": "3"}}, "the reference explains the predicted class alone"),
        ({"options": {"method": "shapley"}, "explain_if": "probability<0.9"}, "only those with probability&lt;0.9"),
    ],
)
def test_evidence_is_compared_with_its_like_alone(tmp_path: Path, store: Path, spec: Any, why: str) -> None:
    page, found = report(made_run(tmp_path / "out", rows_of(*mixed(30)), **of_card(store), **spec), store)
    assert "evidence" not in found.drift.indices
    assert why in page


def test_where_there_is_no_reference_the_page_says_why(tmp_path: Path, store: Path) -> None:
    out = made_run(tmp_path / "out", rows_of(1, 2), digest="sha256:other")
    assert "Nothing to compare with: fake/1 in the folder of models is another version" in report(out, store)[0]
    assert "(INKLING_MODEL_STORE) does not have fake/1" in report(out, tmp_path / "empty")[0]
    bare = card_of(write_version(tmp_path / "bare").parent.parent)
    out = made_run(tmp_path / "other", rows_of(1, 2), digest=bare.digest)
    assert "the card of the version has no reference" in report(out, tmp_path / "bare")[0]
    (store / "fake" / "1" / CARD).write_text("{}")
    assert "fake/1 cannot be used" in report(out, store)[0]
    outside = made_run(tmp_path / "outside", rows_of(1), model="../store/fake", digest=bare.digest)
    assert "does not have ../store/fake/1" in report(outside, store)[0]


def test_the_most_doubtful_and_the_least_alike_come_first(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    margins, energies = rng.permutation(np.linspace(0.01, 0.9, 200)), rng.permutation(np.linspace(1, 30, 200))
    rows = []
    for row, margin in enumerate(margins):
        probabilities = np.zeros(CLASSES)
        probabilities[[row % 10, (row + 1) % 10]] = (1 + margin) / 2, (1 - margin) / 2
        strange = bool(energies[row] < 5)
        rows.append(
            made_row(row, row % 10, probabilities=probabilities, energy=energies[row], in_distribution=not strange)
        )
    page, found = report(made_run(tmp_path / "out", rows), Path("nowhere"))
    doubtful, strange_ = found.gathered.doubtful.ascending(), found.gathered.strange.ascending()
    assert [case.row for case in doubtful] == np.argsort(margins)[:SHOWN].tolist()
    assert [case.row for case in strange_] == np.argsort(energies)[:SHOWN].tolist()
    below, above = found.gathered.threshold
    assert below == pytest.approx(energies[energies < 5].max())
    assert above == pytest.approx(energies[energies >= 5].min())
    words = Read(page).words
    shown = re.findall(r"digit-(\d+)\.png", words[words.index("two likeliest classes are closest") :])
    assert list(map(int, shown)) == [case.row for case in (*doubtful, *strange_)]
    first = doubtful[0]
    np.testing.assert_array_equal(first.pixels, rows[first.row]["pixels"].astype(np.float32))
    assert first.values is not None
    np.testing.assert_array_equal(first.values, rows[first.row]["values"].astype(np.float32))
    assert f"or {(first.row + 1) % 10} (49.5 %)" in words


def test_what_is_kept_does_not_depend_on_the_order_or_on_the_pieces() -> None:
    keys = np.random.default_rng(0).integers(0, 40, 500).astype(float)  # with many ties
    keys[::7] = np.inf
    expected = [int(at) for at in np.lexsort((np.arange(500), keys))[:30]]
    for pieces in (1, 7, 100):
        for spec in (np.arange(500), np.arange(500)[::-1]):
            kept = KSmallest[int](30)
            for piece in np.array_split(spec, pieces):
                kept.add(keys[piece], piece, lambda at, piece=piece: int(piece[at]))  # type: ignore[misc]
            assert kept.ascending() == expected
    kept.add(keys, np.arange(500), int)  # all of them once more
    assert kept.ascending() == sorted(2 * expected, key=lambda at: (keys[at], at))[:30]
    assert len(np.unique(scrambled(np.arange(10_000)))) == 10_000


def test_rows_of_several_batches_are_all_there(tmp_path: Path) -> None:
    count = 2 * BATCH + 17
    rows = [made_row(row, row % 10, values=None, explained=False, target=None) for row in range(count)]
    found = gathered(made_run(tmp_path / "out", rows, shard_rows=count))
    assert (found.rows, found.read, found.explained) == (count, count, 0)
    assert "No picture is explained." in report(tmp_path / "out", Path("nowhere"))[0]


def test_a_run_that_is_not_whole_says_how_much_of_it_is_there(tmp_path: Path) -> None:
    rows = rows_of(*mixed(120))
    page, found = report(made_run(tmp_path / "out", rows, written=2), Path("nowhere"))
    assert not found.whole
    assert "The run is not whole: 100 of 120 pictures are here, in 2 of 3 files." in page
    assert "not known before its end" in page
    assert "The run is whole" in report(made_run(tmp_path / "whole", rows), Path("nowhere"))[0]


def test_hostile_names_are_inert(tmp_path: Path) -> None:
    nasty = [
        HOSTILE,
        '"><script>alert(1)</script>',
        "\u202egnp.exe",
        "' onload='x",
        "</style><script>x</script>" + 90 * "x",
    ]
    rows = [made_row(row, 1, name=nasty[row % 5], alt=HOSTILE, target=HOSTILE, label=HOSTILE) for row in range(25)] + [
        error_row(25 + at, one, DamagedImage(HOSTILE)) for at, one in enumerate(nasty)
    ]
    out = made_run(tmp_path / "out", rows, model=HOSTILE, options={"method": "shapley"}, explain_if=HOSTILE)
    page, _ = report(out, tmp_path)
    read = Read(page)
    allowed = {"html", "head", "meta", "title", "style", "body", "header", "h1", "p", "nav", "a", "main", "section",
               "h2", "h3", "ul", "ol", "li", "b", "dl", "dt", "dd", "bdi", "div", "table", "caption", "tr", "th", "td",
               "span", "figure", "figcaption", "img"}  # fmt: skip
    assert {tag for tag, _ in read.tags} <= allowed
    assert {name for _, given in read.tags for name in given} <= {
        "lang", "charset", "http-equiv", "content", "name", "href", "id", "class", "src", "alt", "scope", "title",
    }  # fmt: skip
    assert all((given["src"] or "").startswith("data:image/png;base64,") for tag, given in read.tags if tag == "img")
    assert all((given["href"] or "").startswith("#") for tag, given in read.tags if tag == "a")
    assert HOSTILE in read.words
    policy = next(given["content"] for tag, given in read.tags if given.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"(?i)https?://|url\(|@import|style=", page)
    assert "<bdi>\u202egnp.exe</bdi>" in page


def test_other_targets_are_named(tmp_path: Path) -> None:
    rows = rows_of(*mixed(30), target="3, not 5")
    options = {"method": "saliency", "target": "3", "versus": "5"}
    for row in rows:
        row["unit"] = "logit_per_ink"
    page = report(made_run(tmp_path / "out", rows, options=options), Path("nowhere"))[0]
    assert "Every map is about the class 3, and not 5." in page
    assert "more ink helps 3" in page
    assert "more ink helps 5" in page
    assert "its map is about 3, not 5" in page


def no_folder(out: Path) -> None:
    """Nothing is made."""


def no_manifest(out: Path) -> None:
    out.mkdir()


def nothing_done(out: Path) -> None:
    made_run(out, rows_of(1, 2), written=0)


def torn(out: Path) -> None:
    path = made_run(out, rows_of(1, 2)) / "data" / "part-000000.parquet"
    path.write_bytes(path.read_bytes()[:-100])


def damaged_inside(out: Path) -> None:
    path = made_run(out, rows_of(*mixed(40))) / "data" / "part-000000.parquet"
    content = bytearray(path.read_bytes())
    content[2000:60_000] = bytes(58_000)
    path.write_bytes(content)


def of_another(out: Path) -> None:
    made_run(out, rows_of(1, 2))
    other = made_run(out.parent / "other", rows_of(3, 4), digest="x")
    (other / "data" / "part-000000.parquet").rename(out / "data" / "part-000000.parquet")


def unreadable(out: Path) -> None:
    (made_run(out, rows_of(1)) / "manifest.json").write_text("{")


def of_later(out: Path) -> None:
    path = made_run(out, rows_of(1)) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 9}))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (no_folder, "is not a folder; give the one that explain-many has written its results to"),
        (no_manifest, "has no manifest.json"),
        (nothing_done, "nothing is done yet in "),
        (torn, "part-000000.parquet is damaged, or of another run"),
        (damaged_inside, "part-000000.parquet is damaged, or of another run"),
        (of_another, "part-000000.parquet is damaged, or of another run"),
        (unreadable, "manifest.json cannot be read; is "),
        (of_later, "has format 9 in its manifest.json"),
    ],
)
def test_what_cannot_be_read_is_one_clear_sentence(tmp_path: Path, make: Callable[[Path], None], says: str) -> None:
    make(tmp_path / "out")
    with pytest.raises(RunError, match=re.escape(says)) as told_:
        report(tmp_path / "out", Path("nowhere"))
    assert "\n" not in str(told_.value)


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write("half \ud800 of a pair", tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == "half ? of a pair"
    with pytest.raises(RunError, match="cannot be written"):
        write("page", tmp_path / "nowhere" / "page.html")
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]


def explain_report(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "server", "explain-report", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)


def test_the_command_writes_the_page_and_says_where(tmp_path: Path) -> None:
    out = made_run(tmp_path / "out", rows_of(*mixed(60)), written=1)
    done = explain_report(out)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{out / 'report.html'}: 50 pictures, of 60 that were ordered, 50 explained, 0 with an error"
    ]
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    assert explain_report(out, "--to", tmp_path / "page.html").returncode == 0
    assert (tmp_path / "page.html").read_text() == (out / "report.html").read_text()
    failed = explain_report(tmp_path / "nowhere")
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"Error: {tmp_path / 'nowhere'} is not a folder")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['server', 'explain-report', '--help']\n"
        "from server.__main__ import main\n"
        "try: main()\n"
        "finally: assert not {'numpy', 'pyarrow', 'sklearn', 'tensorflow', 'PIL'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout
