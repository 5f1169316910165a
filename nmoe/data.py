"""Token shards, and the order in which they are read: a pure function of (seed, epoch, place), so that no cursor is kept.

A data folder holds `index.json` and the `*.npy` shards that it lists.  The shards are one stream; window n is the tokens
n * seq_len .. (n + 1) * seq_len inclusive, across shard ends.  Each epoch visits every window once, in an order of its own.
"""

from __future__ import annotations

import hashlib
import json
import math
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .faults import DataError

__all__ = ["INDEX", "SCHEMA", "Stream", "read_index", "shuffled"]

INDEX = "index.json"
SCHEMA = "nmoe/tokens@1"


@dataclass(frozen=True)
class Stream:
    """The tokens of a folder.  `digest` is the sha256 of its index, which holds those of the shards."""

    folder: Path
    shards: tuple[np.ndarray[Any, Any], ...]
    begins: tuple[int, ...]  # where each shard begins in the stream
    tokens: int
    digest: str

    @classmethod
    def open(cls, folder: str | Path, vocab_size: int, eos_token_id: int, seq_len: int) -> Stream:
        """Check every shard's presence, form and length (not its bytes: `python -m nmoe.prep --check` does) and map it.

        Raises:
            DataError: with the first thing that is wrong.
        """
        folder = Path(folder)
        text, index = read_index(folder)
        if index["vocab_size"] > vocab_size:
            raise DataError(f"{folder / INDEX}: tokens up to {index['vocab_size'] - 1}, and the model's vocab_size is {vocab_size}")
        if index["eos_token_id"] != eos_token_id:
            raise DataError(
                f"{folder / INDEX}: texts end with {index['eos_token_id']}, and the model's eos_token_id is {eos_token_id}"
            )
        shards, begins, at = [], [], 0
        for one in index["shards"]:
            shards.append(_shard(folder / one["file"], one["tokens"], index["dtype"]))
            begins.append(at)
            at += one["tokens"]
        if at <= seq_len:
            raise DataError(f"{folder / INDEX}: {at} tokens are no window of seq_len {seq_len} and one to predict")
        return cls(folder, tuple(shards), tuple(begins), at, hashlib.sha256(text).hexdigest())

    def window(self, begin: int, length: int) -> np.ndarray[Any, Any]:
        """`length` tokens of the stream from `begin` on."""
        parts = []
        at = bisect_right(self.begins, begin) - 1
        while length:
            part = self.shards[at][begin - self.begins[at] :][:length]
            parts.append(part)
            begin, length, at = begin + len(part), length - len(part), at + 1
        return np.concatenate(parts)

    def batch(self, step: int, batch_size: int, seq_len: int, seed: int, rank: int = 0, world: int = 1) -> tuple[Tensor, Tensor]:
        """Tokens and targets, int64 [batch_size / world, seq_len]: this rank's contiguous slice of the step's sequences."""
        each = batch_size // world
        windows = (self.tokens - 1) // seq_len
        rows = []
        for sequence in range(step * batch_size + rank * each, step * batch_size + (rank + 1) * each):
            epoch, place = divmod(sequence, windows)
            rows.append(self.window(shuffled(place, windows, f"{seed}/{epoch}") * seq_len, seq_len + 1))
        both = torch.from_numpy(np.stack(rows).astype(np.int64))
        return both[:, :-1].contiguous(), both[:, 1:].contiguous()

    def unigram_entropy(self) -> float:
        """Nats a token if only how often each token occurs were known: a model below it has learned from what came before."""
        counts = np.zeros(1, dtype=np.int64)
        for shard in self.shards:
            more = np.bincount(shard, minlength=len(counts))
            more[: len(counts)] += counts
            counts = more
        share = counts[counts > 0] / counts.sum()
        return float(-(share * np.log(share)).sum())


def read_index(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """The index as it lies, and what it says.

    Raises:
        DataError: it cannot be read, or is no index.
    """
    path = folder / INDEX
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; python -m nmoe.prep makes data folders") from None
    try:
        index = json.loads(text)
        fine = (
            index["schema"] == SCHEMA
            and index["dtype"] in ("uint16", "uint32")
            and all(isinstance(index[name], int) for name in ("vocab_size", "eos_token_id"))
            and all(isinstance(one["file"], str) and isinstance(one["tokens"], int) and one["sha256"] for one in index["shards"])
            and all("/" not in one["file"] and one["tokens"] > 0 for one in index["shards"])
        )
    except (ValueError, KeyError, TypeError):
        fine = False
    if not fine:
        raise DataError(f"{path}: is no index of {SCHEMA}")
    return text, index


def _shard(path: Path, tokens: int, dtype: str) -> np.ndarray[Any, Any]:
    try:
        shard = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path}: the shard is missing; the index lists it") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: the shard is cut short or no .npy file: {str(error).splitlines()[0]}") from None
    if shard.dtype != np.dtype(dtype) or shard.shape != (tokens,):
        raise DataError(f"{path}: holds {shard.dtype} {list(shard.shape)}, and the index says {dtype} [{tokens}]")
    return shard


def shuffled(place: int, size: int, key: str) -> int:
    """Where `place` goes in a permutation of range(size) that `key` names, without the permutation being written down.

    Four Feistel rounds over the next even number of bits, walked until the value is inside.
    """
    half = max(1, math.ceil(max(size - 1, 1).bit_length() / 2))
    mask = (1 << half) - 1
    while True:
        left, right = place >> half, place & mask
        for turn in range(4):
            said = hashlib.blake2b(f"{key}/{turn}/{right}".encode(), digest_size=8).digest()
            left, right = right, left ^ (int.from_bytes(said, "big") & mask)
        place = left << half | right
        if place < size:
            return place
