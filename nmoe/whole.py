"""Files that count only when they are whole.  Checkpoints, frozen experts and data folders are written in the same manner: first
the files, then a JSON file that lists them with their sha256.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .faults import Fault

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["damaged", "digest", "flush", "read_tensors", "write_tensors", "write_whole"]


def digest(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damaged(folder: Path, digests: Mapping[str, str]) -> list[str]:
    """Names of the files that are not there, or are not what their digest says."""

    def intact(name: str) -> bool:
        try:
            return digest(folder / name) == digests[name]
        except OSError:
            return False

    return [name for name in sorted(digests) if not intact(name)]


def flush(path: Path) -> None:
    """Make a file, or the names in a folder, safe on the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def write_whole(path: Path, text: str) -> None:
    """At any moment, a crash included, `path` is what it was, or all of `text`."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text)
    flush(part)
    os.replace(part, path)
    flush(path.parent)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write a safetensors file and make it safe; returns its digest."""
    from safetensors.torch import save_file

    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, path)
    flush(path)
    return digest(path)


def read_tensors(path: Path, error: type[Fault]) -> Any:
    """An open safetensors file, for a `with`.

    Raises:
        error: it cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt", device="cpu")
    except (OSError, SafetensorError) as fault:
        raise error(f"{path}: cannot be read: {fault}") from None
