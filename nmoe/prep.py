"""Make token shards from text: bytes are the tokens, 256 ends a text.

    python -m nmoe.prep DATA_DIR FILE...          one text a file
    python -m nmoe.prep DATA_DIR --pydoc          the help topics that come with Python
    python -m nmoe.prep DATA_DIR --check          do the shards still hold what the index says?

`--shard_tokens=N` sets the length of a shard.  Other tokenisers write the same form: `.npy` shards of uint16 or uint32 and an
`index.json` with their sha256 (`nmoe.data`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from .data import INDEX, SCHEMA, read_index
from .faults import DataError, say
from .whole import damaged, digest, write_whole

__all__ = ["EOS", "check", "main", "pydoc_texts", "write_shards"]

EOS = 256
_SHARD_TOKENS = 1 << 27


def pydoc_texts() -> list[bytes]:
    """English text that is in every CPython: its help topics.  It differs a little between versions."""
    from pydoc_data.topics import topics

    return [topics[name].encode() for name in sorted(topics)]


def write_shards(folder: Path, texts: Iterable[bytes], shard_tokens: int = _SHARD_TOKENS) -> int:
    """Write the folder; the index comes last, so that a folder with one is whole.  Returns the number of tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX).unlink(missing_ok=True)
    shards, total = [], 0
    for tokens in _cut(texts, shard_tokens):
        path = folder / f"shard_{len(shards):05d}.npy"
        np.save(path, tokens)
        shards.append({"file": path.name, "tokens": len(tokens), "sha256": digest(path)})
        total += len(tokens)
    if not shards:
        raise DataError(f"{folder}: no text was given, and no tokens are no data")
    index = {"schema": SCHEMA, "dtype": "uint16", "vocab_size": EOS + 1, "eos_token_id": EOS, "shards": shards}
    write_whole(folder / INDEX, json.dumps(index, indent=1) + "\n")
    return total


def _cut(texts: Iterable[bytes], size: int) -> Iterator[np.ndarray]:
    """The stream of all texts, each with its end, in arrays of `size` tokens; the last may be shorter."""
    waiting: list[np.ndarray] = []
    held = 0
    for text in texts:
        waiting.append(np.append(np.frombuffer(text, np.uint8).astype(np.uint16), np.uint16(EOS)))
        held += len(waiting[-1])
        if held >= size:
            stream = np.concatenate(waiting)
            whole = held - held % size
            yield from (stream[at : at + size] for at in range(0, whole, size))
            waiting, held = [stream[whole:]], held - whole
    if held:
        yield np.concatenate(waiting)


def check(folder: Path) -> list[str]:
    """Every shard whose bytes are not those of the index."""
    _, index = read_index(folder)
    names = damaged(folder, {shard["file"]: shard["sha256"] for shard in index["shards"]})
    return [f"{folder / name}: is not what the index says" for name in names]


def main(argv: Sequence[str]) -> int:
    """Exit status 2 for a wrong command line or text that cannot be read, 1 where a check found something."""
    flags = [word for word in argv if word.startswith("--")]
    words = [word for word in argv if not word.startswith("--")]
    size = _SHARD_TOKENS
    try:
        for flag in flags:
            if flag.startswith("--shard_tokens="):
                size = int(flag.partition("=")[2])
            elif flag not in ("--pydoc", "--check"):
                raise DataError(f"{flag}: the options are --pydoc, --check and --shard_tokens=N")
        if not words or size < 1 or ("--pydoc" in flags or "--check" in flags) == bool(words[1:]):
            raise DataError("python -m nmoe.prep DATA_DIR (FILE... | --pydoc | --check) [--shard_tokens=N]")
        folder = Path(words[0])
        if "--check" in flags:
            wrong = check(folder)
            sys.stderr.write("".join(f"nmoe: {line}\n" for line in wrong))
            return 1 if wrong else 0
        texts = pydoc_texts() if "--pydoc" in flags else (Path(word).read_bytes() for word in words[1:])
        sys.stdout.write(f"{write_shards(folder, texts, size):,} tokens\n")
    except (DataError, OSError, ValueError) as error:
        return say(error)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
