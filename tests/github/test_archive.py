"""Zips of strangers: read as a whole, or refused as a whole."""

from __future__ import annotations

import io
import random
import stat
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmoe_graph.forge.archive import ArchiveError, read_archive

Entries = list[tuple[str | zipfile.ZipInfo, bytes]]
EXPECTED = ("*.json", "logs/*.txt", "inner.zip")
part = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}", fullmatch=True)


def zipped(entries: Entries, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return out.getvalue()


def info(name: str, mode: int = 0, **more: int) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr = mode << 16
    for key, value in more.items():
        setattr(made, key, value)
    return made


def test_what_a_run_leaves() -> None:
    """In the order of the names; folders' own entries say nothing; a zip inside stays one."""
    inner = zipped([("x", b"y")])
    data = zipped([("logs/", b""), ("logs/b.txt", b"two"), ("a.json", b"{}"), ("inner.zip", inner)])
    found = read_archive(data, EXPECTED)
    assert found == {"a.json": b"{}", "inner.zip": inner, "logs/b.txt": b"two"}
    assert list(found) == sorted(found)


@given(st.dictionaries(part.map(lambda name: name + ".json"), st.binary(max_size=300), max_size=8), st.sampled_from([0, 8]))
def test_files_round_trip(files: dict[str, bytes], method: int) -> None:
    assert read_archive(zipped(list(files.items()), method), ["*.json"]) == dict(sorted(files.items()))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../a.json", "no file of ours"),
        ("x/../../a.json", "no file of ours"),
        ("/a.json", "no file of ours"),
        ("..\\a.json", "no file of ours"),
        ("C:a.json", "no file of ours"),
        ("a//b.json", "no file of ours"),
        ("./a.json", "no file of ours"),
        (".git/config.json", "no file of ours"),
        ("a\nb.json", "no file of ours"),
        ("größe.json", "no file of ours"),
        ("-rf.json", "no file of ours"),
        ("a\u202e.json", "no file of ours"),
        ("x" * 200 + ".json", "no file of ours"),
        ("unexpected.sh", "not expected"),
        ("logs/deep/b.txt", "not expected"),
        ("deep/a.json", "not expected"),
    ],
)
def test_names(name: str, why: str) -> None:
    """A name that is not one of ours is refused, and shown without what it could do to a terminal."""
    with pytest.raises(ArchiveError, match=why) as caught:
        read_archive(zipped([("fine.json", b"{}"), (name, b"{}")]), EXPECTED)
    assert str(caught.value).isprintable()
    assert caught.value.exit_code == 3


def test_a_name_that_goes_on_after_a_zero_byte() -> None:
    """zipfile cuts such a name; what it cut is looked at."""
    data = zipped([("a.json_evil", b"{}")]).replace(b"a.json_evil", b"a.json\0evil")
    with pytest.raises(ArchiveError):
        read_archive(data, EXPECTED)


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFDIR, stat.S_IFSOCK])
def test_links_and_devices(mode: int) -> None:
    with pytest.raises(ArchiveError, match="link or a device"):
        read_archive(zipped([(info("a.json", mode), b"/etc/passwd")]), EXPECTED)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("one", "two"), [("a.json", "a.json"), ("a.json", "A.json"), ("logs/a.txt", "logs/A.txt")])
def test_two_of_a_name(one: str, two: str) -> None:
    """Also by case: on some disks that is one file."""
    with pytest.raises(ArchiveError, match="two entries"):
        read_archive(zipped([(one, b"1"), (two, b"2")]), EXPECTED)


def test_a_file_that_is_a_folder() -> None:
    with pytest.raises(ArchiveError, match="file and a folder"):
        read_archive(zipped([("logs", b"1"), ("logs/a.txt", b"2")]), [*EXPECTED, "logs"])


def test_encrypted() -> None:
    """The flag is enough: nobody was given a password."""
    data = bytearray(zipped([("a.json", b"{}")]))
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    data[6] |= 1
    with pytest.raises(ArchiveError, match="encrypted"):
        read_archive(bytes(data), EXPECTED)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_packing(method: int) -> None:
    with pytest.raises(ArchiveError, match="unusual"):
        read_archive(zipped([("a.json", b"{}")], method), EXPECTED)


def test_bombs() -> None:
    """By the ratio, by one file, by all files, by their number; each bound is the one that is hit."""
    flat = b"\0" * (8 << 20)
    with pytest.raises(ArchiveError, match="grows too large"):
        read_archive(zipped([("a.json", flat)]), EXPECTED)
    noise = random.Random(1).randbytes(40_000)
    assert read_archive(zipped([("a.json", noise)]), EXPECTED, most_file_bytes=40_000) == {"a.json": noise}
    with pytest.raises(ArchiveError, match="grows too large"):
        read_archive(zipped([("a.json", noise)]), EXPECTED, most_file_bytes=39_999)
    both = zipped([("a.json", noise), ("b.json", noise)])
    assert len(read_archive(both, EXPECTED, most_bytes=80_000)) == 2
    with pytest.raises(ArchiveError, match="grows too large"):
        read_archive(both, EXPECTED, most_bytes=79_999)
    many = zipped([(f"{number}.json", b"") for number in range(11)])
    assert len(read_archive(many, EXPECTED, most_files=11)) == 11
    with pytest.raises(ArchiveError, match="11 entries"):
        read_archive(many, EXPECTED, most_files=10)


def test_entries_that_share_bytes() -> None:
    """One packed file that many entries point at: small inside, huge outside."""
    data = zipped([("a.json", b"{}" * 50), ("b.json", b"{}" * 50)])
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    forged = data[: second + 42] + struct.pack("<I", 0) + data[second + 46 :]
    with pytest.raises(ArchiveError, match="overlap"):
        read_archive(forged, EXPECTED)


def test_a_lie_about_the_length() -> None:
    """The header says less than there is."""
    data = zipped([("a.json", b"x" * 1000)], zipfile.ZIP_STORED)
    at = data.index(b"PK\x01\x02")
    forged = data[: at + 24] + struct.pack("<I", 10) + data[at + 28 :]
    with pytest.raises(ArchiveError):
        read_archive(forged, EXPECTED)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_is_noticed(data: st.DataObject) -> None:
    """Cut, or with one byte changed: the same files, or the one error; never other content under a name."""
    files = {"a.json": b'{"status": "passed"}' * 20, "logs/b.txt": b"line\n" * 40}
    whole = bytearray(zipped(list(files.items()), data.draw(st.sampled_from([0, 8]))))
    if data.draw(st.booleans()):
        whole = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = read_archive(bytes(whole), EXPECTED)
    except ArchiveError:
        return
    assert all(files.get(name) == content for name, content in found.items() if name in files)
    assert set(found.values()) <= set(files.values())


@given(st.binary(max_size=400) | st.binary(max_size=100).map(lambda tail: b"PK\x05\x06" + tail))
def test_any_bytes(data: bytes) -> None:
    """One error, whatever comes."""
    try:
        assert read_archive(data, EXPECTED) == {}
    except ArchiveError as error:
        assert error.faults[0].hint
