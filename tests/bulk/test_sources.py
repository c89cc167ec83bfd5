"""Where the pictures of a bulk run come from: every kind of source, in order, with what is wrong in its place."""

import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from server.bulk.errors import SourceError
from server.bulk.sources import Bounds, Item, open_source
from tests.bulk.pictures import as_png, digits, write_npz
from tests.support.models.stores import zipped

FIVE = digits(5)
FILES = {
    f"{place}/{number}.png": as_png(digit) for number, (place, digit) in enumerate(zip("abcab", FIVE, strict=True))
}
LARGEST = 100_000


def folder(path: Path) -> Path:
    for name, body in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(body)
    return path


def write_parquet(path: Path, column: str, values: list[object], **more: list[object]) -> Path:
    parquet.write_table(pa.table({column: values, **more}), path, row_group_size=2)
    return path


def parquet_folder(path: Path) -> Path:
    path.mkdir()
    bodies = [FILES[name] for name in sorted(FILES)]
    write_parquet(path / "one.parquet", "image", bodies[:3], name=sorted(FILES)[:3])
    write_parquet(path / "two.parquet", "image", bodies[3:], name=sorted(FILES)[3:])
    return path


def as_zip(path: Path) -> Path:
    path.write_bytes(zipped({name: FILES[name] for name in sorted(FILES)}))
    return path


ENCODED: dict[str, Callable[[Path], Path]] = {
    "folder": folder,
    "zip": as_zip,
    "parquet": lambda path: write_parquet(
        path, "image", [FILES[name] for name in sorted(FILES)], file_name=sorted(FILES)
    ),
    "parquet of structs": lambda path: write_parquet(
        path, "image", [{"bytes": FILES[name], "path": name} for name in sorted(FILES)]
    ),
    "folder of parquet": parquet_folder,
}
NUMBERS: dict[str, Callable[[Path], Path]] = {
    "npz": lambda path: write_npz(path.with_suffix(".npz"), images=FIVE, labels=np.arange(5)),
    "npz, squares in one row": lambda path: write_npz(path.with_suffix(".npz"), images=FIVE.reshape(5, 784)),
    "parquet of numbers": lambda path: write_parquet(path, "pixels", FIVE.tolist()),
}


def items(path: Path | str, rows: range = range(5), array: str | None = None) -> list[Item]:
    with closing(open_source(str(path), array, LARGEST)) as source:
        assert len(source) == 5
        return [source.read(row) for row in rows]


def fingerprint(path: Path) -> str:
    with closing(open_source(str(path), None, LARGEST)) as source:
        return source.fingerprint


@pytest.mark.parametrize("kind", ENCODED)
def test_encoded_pictures_come_in_the_order_of_their_names(tmp_path: Path, kind: str) -> None:
    found = items(ENCODED[kind](tmp_path / "in"))
    assert [item.name for item in found] == sorted(FILES)
    assert [item.picture and item.picture.body for item in found] == [FILES[name] for name in sorted(FILES)]


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_come_row_by_row(tmp_path: Path, kind: str) -> None:
    found = items(NUMBERS[kind](tmp_path / "in"))
    assert [item.name for item in found] == list("01234")
    pixels = [np.reshape(item.picture.pixels, (28, 28)) for item in found if item.picture]  # type: ignore[call-overload]
    np.testing.assert_array_equal(pixels, FIVE)


@pytest.mark.parametrize("kind", [*ENCODED, *NUMBERS])
def test_any_rows_can_be_had(tmp_path: Path, kind: str) -> None:
    path = {**ENCODED, **NUMBERS}[kind](tmp_path / "in")
    whole = items(path)
    assert [items(path, range(start, stop)) for start, stop in ((0, 2), (2, 5), (4, 5), (1, 1))] == [
        whole[0:2], whole[2:5], whole[4:5], [],
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [*ENCODED, *NUMBERS])
def test_the_fingerprint_tells_another_content_and_not_another_place(tmp_path: Path, kind: str) -> None:
    make = {**ENCODED, **NUMBERS}[kind]
    (tmp_path / "other").mkdir()
    path, same = make(tmp_path / "in"), make(tmp_path / "other" / "in")
    before = fingerprint(path)
    assert before == fingerprint(same)
    if path.is_dir():
        (next(path.rglob("*.p*"))).unlink()
    elif path.suffix == ".npz":
        write_npz(path, images=FIVE[::-1])
    elif kind == "zip":
        path.write_bytes(zipped({name: FILES[name] for name in sorted(FILES, reverse=True)}))
    else:
        write_parquet(path, "image", [as_png(one) for one in FIVE])
    assert fingerprint(path) != before


def test_what_systems_leave_behind_is_no_picture(tmp_path: Path) -> None:
    left = {"__MACOSX/a/._0.png": b"x", ".DS_Store": b"x", "a/Thumbs.db": b"x", "a/": b""}
    path = tmp_path / "in.zip"
    path.write_bytes(zipped({**left, **{name: FILES[name] for name in sorted(FILES)}}))
    assert [item.name for item in items(path)] == sorted(FILES)
    for name in ("._x", ".DS_Store"):
        (folder(tmp_path / "in") / name).write_bytes(b"x")
    assert [item.name for item in items(tmp_path / "in")] == sorted(FILES)


def test_what_is_wrong_with_one_picture_is_said_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("0 good.png", FILES["a/0.png"])
        archive.writestr("1 empty.png", b"")
        archive.writestr("2 large.png", bytes(LARGEST + 1))
        archive.writestr("3 damaged.png", FILES["a/0.png"])
        archive.writestr("4 good.png", FILES["a/0.png"])
    raw = bytearray(path.read_bytes())
    at = raw.index(b"3 damaged.png") + 13
    raw[at + 20] ^= 0xFF
    path.write_bytes(raw)
    found = items(path)
    assert [item.error and item.error.code for item in found] == [
        None, "empty_body", "image_too_large", "damaged_image", None,
    ]  # fmt: skip
    assert [item.picture is None for item in found] == [False, True, True, True, False]


def test_an_empty_cell_is_said_in_its_place(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "in", "image", [*[FILES[name] for name in sorted(FILES)][:4], None])
    assert [item.error and item.error.code for item in items(path)] == [None] * 4 + ["empty_body"]


@pytest.mark.parametrize(
    ("content", "array", "said"),
    [
        (b"hello, this is text", None, "in is none of these; expected a folder or zip"),
        (b"", None, "in is none of these"),
        (b"PK\x03\x04 broken", None, "begins as a zip and cannot be read"),
        (b"PAR1 broken", None, "cannot be read as Parquet"),
        (b"\x93NUMPY\x01\x00 broken", None, "cannot be read as an array"),
        (zipped(FILES), "images", "a zip of pictures has no array 'images'"),
    ],
)
def test_what_holds_no_pictures_is_refused(tmp_path: Path, content: bytes, array: str | None, said: str) -> None:
    (tmp_path / "in").write_bytes(content)
    with pytest.raises(SourceError, match=said):
        open_source(str(tmp_path / "in"), array, LARGEST)


def test_of_several_arrays_one_has_to_be_named(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "in.npz", x_train=FIVE[:2], x_test=FIVE, y_test=np.arange(5))
    with pytest.raises(
        SourceError, match=r"x_train \(2, 28, 28\), x_test \(5, 28, 28\), y_test .*name the one.*--array"
    ):
        open_source(str(path), None, LARGEST)
    with pytest.raises(SourceError, match="name the one"):
        open_source(str(path), "x_tset", LARGEST)
    assert len(items(path, array="x_test")) == 5


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.array([[{"a": 1}]], object), allow_pickle=True)
    with pytest.raises(SourceError, match="type object; expected numbers"):
        open_source(str(tmp_path / "in.npy"), None, LARGEST)


def test_a_place_where_nothing_is_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not there; give a folder"):
        open_source(str(tmp_path / "nowhere"), None, LARGEST)
    with pytest.raises(SourceError, match=r"ftpx://... is of no kind"):
        open_source("ftpx://host/in", None, LARGEST)


def test_an_address_is_read_as_a_folder_is(tmp_path: Path) -> None:
    path = folder(tmp_path / "in")
    assert [item.name for item in items(f"file://{path}")] == sorted(FILES)
    assert [item.name for item in items(f"file://{as_zip(tmp_path / 'in.zip')}")] == sorted(FILES)
    with pytest.raises(SourceError, match="nothing is at"):
        open_source(f"file://{tmp_path}/nowhere", None, LARGEST)


def big_array(shape: tuple[int, ...], path: Path) -> Path:
    """An npz of some kilobytes that unpacks to an array of this shape."""
    np.savez_compressed(path, images=np.zeros(shape, np.uint8))
    return path


def claiming(shape: str, path: Path) -> Path:
    """An npy file with a header that promises what does not follow."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
    return path


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: big_array((1001, 28, 28), path / "in.npz"), "images has 1001 rows; 1000 at most are taken"),
        (lambda path: big_array((900, 40, 40), path / "in.npz"), "images takes more than 1000000 bytes"),
        (lambda path: claiming("(5, 1000000, 1000000)", path / "in.npy"), "in.npy takes more than 1000000 bytes"),
        (lambda path: claiming("(1000000, 28, 28)", path / "in.npy"), "in.npy has 1000000 rows"),
    ],
)
def test_what_is_larger_than_strangers_may_send_is_refused_unread(
    tmp_path: Path, make: Callable[[Path], Path], said: str
) -> None:
    with pytest.raises(SourceError, match=said):
        open_source(str(make(tmp_path)), None, LARGEST, Bounds(1000, 1_000_000))


def test_a_zip_of_too_many_entries_is_refused_before_its_directory_is_read(tmp_path: Path) -> None:
    path = tmp_path / "in.zip"
    path.write_bytes(zipped({f"{at}.png": b"" for at in range(1000)}))
    bounds = Bounds(50, 1_000_000)
    with pytest.raises(SourceError, match=r"in\.zip has more than 50 entries"):
        open_source(str(path), None, LARGEST, bounds)
    with closing(open_source(str(path), None, LARGEST, Bounds(1000, 1_000_000))) as source:
        assert len(source) == 1000


def test_rows_of_one_large_group_are_decoded_once(tmp_path: Path) -> None:
    """Shard after shard, and then from the start again; what lies between is skipped."""
    table = pa.table({"pixels": pa.array([[float(at % 2)] * 784 for at in range(300)])})
    parquet.write_table(table, tmp_path / "in", row_group_size=200)
    with closing(open_source(str(tmp_path / "in"), None, LARGEST)) as source:
        for rows in (range(40), range(80, 120), range(190, 210), range(299, 300), range(3, 4)):
            found = [source.read(row) for row in rows]
            assert [item.name for item in found] == [str(row) for row in rows]
            assert [item.picture and item.picture.pixels[0] for item in found] == [float(row % 2) for row in rows]  # type: ignore[index]


def test_a_group_that_is_damaged_is_an_error_for_each_of_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "in"
    parquet.write_table(
        pa.table({"image": [bytes(range(256)) * (at + 1) for at in range(40)]}), path, row_group_size=10
    )
    place = parquet.ParquetFile(path).metadata.row_group(1).column(0)
    body = bytearray(path.read_bytes())
    start = place.dictionary_page_offset or place.data_page_offset
    body[start : start + 60] = bytes(60)
    path.write_bytes(body)
    with closing(open_source(str(path), None, LARGEST)) as source:
        found = [source.read(row) for row in range(40)]
    assert [item.error is not None for item in found] == [False] * 10 + [True] * 10 + [False] * 20
    assert found[15].error is not None and found[15].error.code == "damaged_image"


def test_files_of_one_folder_have_one_column_of_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_parquet(folder / "a.parquet", "image", [b"x"])
    write_parquet(folder / "b.parquet", "picture", [b"x"])
    with pytest.raises(SourceError, match=r"b.parquet lacks the column image"):
        open_source(str(folder), None, LARGEST)
