"""Shards, windows and their order; and every way in which a data folder can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install 'nmoe-graph[train]'")

import numpy as np  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from nmoe import prep  # noqa: E402
from nmoe.data import Stream, shuffled  # noqa: E402
from nmoe.faults import DataError  # noqa: E402

TEXTS = [bytes(range(65, 91)) * 4, b"", b"one more text", "ünïcode".encode()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prep.write_shards(tmp_path / "d", TEXTS, 50)
    return tmp_path / "d"


def stream(folder: Path, seq_len: int = 8) -> Stream:
    return Stream.open(folder, 512, 256, seq_len)


@pytest.mark.parametrize("size", [1, 7, 50, 1000])
def test_shards_hold_the_texts_whatever_their_size(tmp_path: Path, size: int) -> None:
    """Every byte in order, 256 after each text, no shard longer than asked for, none empty."""
    prep.write_shards(tmp_path, TEXTS, size)
    expected = [token for text in TEXTS for token in (*text, 256)]
    one = stream(tmp_path)
    assert one.window(0, one.tokens).tolist() == expected
    assert all(0 < len(shard) <= size for shard in one.shards) and prep.check(tmp_path) == []


def test_windows_cross_the_ends_of_shards(folder: Path) -> None:
    """Any window is what the whole stream has there."""
    one = stream(folder)
    whole = one.window(0, one.tokens)
    assert len(one.shards) > 2
    for begin in range(one.tokens - 60):
        assert np.array_equal(one.window(begin, 60), whole[begin : begin + 60])


@given(size=st.integers(1, 5000), key=st.text(max_size=5))
@settings(max_examples=40, deadline=None)
def test_an_epoch_visits_every_window_once(size: int, key: str) -> None:
    """`shuffled` is a permutation, for every size and key."""
    places = range(min(size, 400))
    found = {shuffled(place, size, key) for place in places}
    assert len(found) == len(places) and all(0 <= one < size for one in found)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    """And not the plain one."""
    orders = [[shuffled(place, 100, key) for place in range(100)] for key in ("1/0", "1/1", "2/0")]
    assert len({tuple(order) for order in [*orders, list(range(100))]}) == 4


def test_ranks_together_read_what_one_rank_reads(folder: Path) -> None:
    """Contiguous slices of the step's sequences, for any number of ranks; targets are one token on."""
    one = stream(folder)
    for step in (0, 3, 11):
        tokens, targets = one.batch(step, 4, 8, seed=1)
        assert torch.equal(tokens[:, 1:], targets[:, :-1]) and tokens.dtype == torch.int64
        for world in (2, 4):
            parts = [one.batch(step, 4, 8, 1, rank, world)[0] for rank in range(world)]
            assert torch.equal(torch.cat(parts), tokens)
    assert not torch.equal(one.batch(0, 4, 8, seed=1)[0], one.batch(0, 4, 8, seed=2)[0])


def test_entropy_is_that_of_the_frequencies(tmp_path: Path) -> None:
    """Four tokens equally often: log 4 (here 256 is one of the four)."""
    prep.write_shards(tmp_path, [b"abc"] * 5, 4)
    assert stream(tmp_path, 2).unigram_entropy() == pytest.approx(np.log(4))


def missing(folder: Path) -> str:
    (folder / "shard_00001.npy").unlink()
    return "shard_00001.npy: the shard is missing"


def cut(folder: Path) -> str:
    path = folder / "shard_00001.npy"
    path.write_bytes(path.read_bytes()[:-10])
    return "shard_00001.npy: the shard is cut short"


def emptied(folder: Path) -> str:
    (folder / "shard_00001.npy").write_bytes(b"")
    return "shard_00001.npy: the shard is cut short or no .npy file"


def pickled(folder: Path) -> str:
    np.save(folder / "shard_00001.npy", np.array([{}], dtype=object), allow_pickle=True)
    return "shard_00001.npy: the shard is cut short or no .npy file"


def shorter(folder: Path) -> str:
    np.save(folder / "shard_00001.npy", np.zeros(3, np.uint16))
    return "holds uint16 [3], and the index says uint16 [50]"


def no_index(folder: Path) -> str:
    (folder / "index.json").unlink()
    return "cannot be read: No such file or directory; python -m nmoe.prep makes data folders"


def broken_index(folder: Path) -> str:
    (folder / "index.json").write_text('{"schema": 1')
    return "is no index of nmoe/tokens@1"


def outside(folder: Path) -> str:
    index = json.loads((folder / "index.json").read_text())
    index["shards"][0]["file"] = "../shard_00000.npy"
    (folder / "index.json").write_text(json.dumps(index))
    return "is no index of nmoe/tokens@1"


@pytest.mark.parametrize("harm", [missing, cut, emptied, pickled, shorter, no_index, broken_index, outside])
def test_wrong_folder_is_one_line_that_names_the_file(folder: Path, harm) -> None:  # type: ignore[no-untyped-def]
    """Before any token is read."""
    words = harm(folder)
    with pytest.raises(DataError) as caught:
        stream(folder)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("args", "words"),
    [((256, 256, 8), "tokens up to 256"), ((512, 0, 8), "texts end with 256"), ((512, 256, 5000), "are no window of seq_len 5000")],
)
def test_data_that_does_not_fit_the_model_is_refused(folder: Path, args: tuple[int, int, int], words: str) -> None:
    """Another vocabulary, another end of text, too few tokens."""
    with pytest.raises(DataError, match=words):
        Stream.open(folder, *args)


def test_prep_is_a_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files, pydoc, check; a flipped bit is found; a wrong command line is status 2 with one line."""
    (tmp_path / "a.txt").write_text("hello")
    out = tmp_path / "out"
    assert prep.main([str(out), str(tmp_path / "a.txt"), "--shard_tokens=4"]) == 0
    assert capsys.readouterr().out == "6 tokens\n"
    assert prep.main([str(out), "--check"]) == 0
    raw = bytearray((out / "shard_00000.npy").read_bytes())
    raw[-1] ^= 1
    (out / "shard_00000.npy").write_bytes(raw)
    assert prep.main([str(out), "--check"]) == 1 and "shard_00000.npy" in capsys.readouterr().err
    for args in (
        [],
        [str(out)],
        [str(out), "x", "--pydoc"],
        [str(out), "--shard_tokens=0", "x"],
        [str(out), str(tmp_path / "none")],
        ["--x"],
    ):
        assert prep.main(args) == 2, args
        assert capsys.readouterr().err.count("\n") == 1
