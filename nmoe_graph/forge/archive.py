"""Artifact zips, read in memory and believed in nothing.

What a run left was packed by a machine that runs other people's changes.  Nothing is extracted to a disk; a name counts only if
it was expected; sizes are counted while the bytes come, not read from the headers.
"""

from __future__ import annotations

import fnmatch
import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence

from ..errors import printable
from .errors import ForgeError, Trouble

__all__ = ["ArchiveError", "read_archive"]

_CHUNK = 1 << 16
_MOST_RATIO = 200  # of what comes out to what went in; text of a log packs to a hundredth at most
_FREE_BYTES = 1 << 20  # a file up to here may be packed as tightly as it likes
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+=-]{0,127}(?:/[A-Za-z0-9][A-Za-z0-9._@+=-]{0,127}){0,7}")
#: What zipfile and zlib raise over bytes that are not what they seem.
_DAMAGE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    OverflowError,
    AttributeError,
    TypeError,
)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ArchiveError(ForgeError):
    """A zip is not one that a run of ours would have left."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the artifact {why}", Trouble.REFUSED, "nothing of it was taken; what does the run's log say?")


def read_archive(
    data: bytes, expected: Sequence[str], *, most_files: int = 1_000, most_bytes: int = 256 << 20, most_file_bytes: int = 64 << 20
) -> dict[str, bytes]:
    """The files of a zip by name, in the order of their names.

    Args:
        expected: patterns of names (`*` does not match a slash); a file that matches none is refused.
        most_files, most_bytes, most_file_bytes: bounds on what comes out.

    Raises:
        ArchiveError: anything about it is not as expected; nothing is returned in part.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > most_files:
                raise ArchiveError(f"has {len(members):,} entries, and {most_files:,} are taken")
            _lay_out(members, len(data))
            files = [member for member in members if not member.is_dir()]
            _names(members, files, expected)
            found: dict[str, bytes] = {}
            left = most_bytes
            for member in sorted(files, key=lambda one: one.filename):
                found[member.filename] = _read(archive, member, min(left, most_file_bytes))
                left -= len(found[member.filename])
            return found
    except ArchiveError:
        raise
    except _DAMAGE:
        # zipfile's own words may quote a name; they are not needed.
        raise ArchiveError("is damaged: no zip, cut, or with a wrong check sum") from None


def _lay_out(members: Sequence[zipfile.ZipInfo], size: int) -> None:
    """Entries that share bytes are a bomb, whatever their sizes say."""
    end = 0
    for member in sorted(members, key=lambda one: one.header_offset):
        if member.header_offset < end or member.header_offset + member.compress_size > size:
            raise ArchiveError("has entries that overlap")
        end = member.header_offset + 30 + member.compress_size


def _names(members: Sequence[zipfile.ZipInfo], files: Sequence[zipfile.ZipInfo], expected: Sequence[str]) -> None:
    seen: set[str] = set()
    folders: set[str] = set()
    for member in members:
        name = member.filename.removesuffix("/")
        shown = printable(repr(member.orig_filename), limit=100)
        if member.orig_filename != member.filename or not _NAME.fullmatch(name):
            raise ArchiveError(f"has an entry named {shown}, which no file of ours is")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFDIR if member.is_dir() else stat.S_IFREG):
            raise ArchiveError(f"has an entry {shown} that is a link or a device")
        if member.flag_bits & 0x41:
            raise ArchiveError(f"has an entry {shown} that is encrypted")
        if member.compress_type not in _METHODS:
            raise ArchiveError(f"has an entry {shown} that is packed in an unusual way")
        folded = name.casefold()
        if folded in seen:
            raise ArchiveError(f"has two entries named {shown}, or almost")
        seen.add(folded)
    for member in files:
        parts = member.filename.casefold().split("/")
        folders |= {"/".join(parts[:count]) for count in range(1, len(parts))}
        if not any(_matches(member.filename, pattern) for pattern in expected):
            raise ArchiveError(f"has an entry {printable(repr(member.filename), limit=100)}, which is not expected")
    if any(member.filename.casefold() in folders for member in files):
        raise ArchiveError("has a name that is a file and a folder")


def _matches(name: str, pattern: str) -> bool:
    parts, patterns = name.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(fnmatch.fnmatchcase(*pair) for pair in zip(parts, patterns, strict=True))


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    out = bytearray()
    most = min(most, max(_FREE_BYTES, _MOST_RATIO * member.compress_size))
    with archive.open(member) as stream:
        while chunk := stream.read(_CHUNK):
            out += chunk
            if len(out) > most:
                raise ArchiveError(f"has an entry {printable(repr(member.filename), limit=100)} that grows too large")
    if len(out) != member.file_size:
        raise ArchiveError("is damaged: a file is not as long as it says")
    return bytes(out)
