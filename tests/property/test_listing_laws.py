"""Listings: one division whatever a list was made from, nothing lost in a digest, and a patch equals a list made anew."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmoe_graph.digest.encoding import digest, encode
from nmoe_graph.digest.listing import Listing, chunked, encoded_digest, encoded_row, rows_digest

LAW = settings(deadline=None, derandomize=True, max_examples=150)
PATH = st.text(st.characters(), max_size=8) | st.sampled_from(["", "a", "a/b", "é", "\udcc3", "s1:a", "1;"])
ROW = st.tuples(PATH, st.sampled_from([0o100644, 0o100755, 0o120000]), st.sampled_from(["bytes", "meaning", "tree"]), PATH)


def listed(count: int, seed: int) -> list[list[object]]:
    """Rows by path, as a manifest has them."""
    pick = random.Random(seed)
    names = {f"p{pick.randrange(40):02d}/{'é' if pick.random() < 0.05 else 'm'}{pick.randrange(10**6)}.py" for _ in range(count)}
    return [[name, 0o100644, "meaning", f"{pick.getrandbits(256):064x}", "imported", [], ""] for name in sorted(names)]


@LAW
@given(ROW)
def test_a_row_is_encoded_as_everything_is(row: tuple[object, ...]) -> None:
    """The short cut for rows writes what the encoding says, for any text."""
    assert encoded_row(row) == encode(list(row))


def test_a_chunk_is_digested_as_everything_is() -> None:
    """A chunk's digest is that of its rows under a tag of its own."""
    rows = listed(30, 1)
    assert encoded_digest([encoded_row(row) for row in rows]) == digest("inputs", [row[:4] for row in rows])
    assert encoded_digest([]) == digest("inputs", [])


@LAW
@given(st.lists(ROW, max_size=6, unique_by=lambda row: row[0]), st.lists(ROW, max_size=6, unique_by=lambda row: row[0]))
def test_two_lists_share_digests_only_if_they_are_equal(one: list[tuple[object, ...]], two: list[tuple[object, ...]]) -> None:
    """Whatever differs in place, mode, form or content shows."""
    one, two = sorted(one), sorted(two)
    assert (rows_digest(one) == rows_digest(two)) == (one == two)


def test_the_division_is_pinned() -> None:
    """A change here makes every recorded proof worthless: it needs a new ENCODING_VERSION."""
    rows = [[f"p/m{number}.py", 0o100644, "bytes", "0" * 40] for number in sorted(range(200), key=str)]
    assert [chunk[0][0] for chunk in chunked(rows)] == ["p/m0.py", "p/m128.py", "p/m168.py", "p/m22.py", "p/m62.py", "p/m8.py"]
    assert digest("test", rows_digest(rows)) == "041e1e675ab94afb826089a2a1edc4107e8deed938981f3a5a10fe240ab81631"


@pytest.mark.parametrize("seed", range(8))
def test_patches_are_lists_made_anew(seed: int) -> None:
    """Along random changes of rows and additions, chunks and all are those of the whole list, and only what changed is read."""
    pick = random.Random(seed)
    rows = {row[0]: row for row in listed(pick.choice([0, 1, 40, 900]), seed)}
    listing = Listing.of(rows[path] for path in sorted(rows))
    kept = {chunk.name: listing.rows_of(chunk) for chunk in listing.chunks}
    for _ in range(25):
        asked: list[str] = []

        def load(name: str, kept: dict[str, list[object]] = kept, asked: list[str] = asked) -> list[object] | None:
            asked.append(name)
            return kept.get(name)

        listing = Listing.from_json(listing.to_json(), load)
        changes = {row[0]: row for row in listed(pick.randrange(3), pick.random().__hash__())}
        if rows and pick.random() < 0.7:
            path = pick.choice(sorted(rows))
            changes[path] = [*rows[path][:3], f"{pick.getrandbits(256):064x}", *rows[path][4:]]
        before = listing
        listing = listing.with_rows(changes)
        assert len(asked) <= len(changes)
        rows |= changes
        whole = Listing.of(rows[path] for path in sorted(rows))
        assert listing.chunks == whole.chunks
        assert listing.digests() == rows_digest(rows[path] for path in sorted(rows))
        kept |= dict(listing.fresh(set()))
        assert listing.rows() == whole.rows()
        assert all(listing.get(path) == row for path, row in rows.items())
        assert listing.get("p99/none.py") is None
        moved = [path for path, _, _ in before.differing(listing)]
        assert moved == sorted(changes)


def test_a_chunk_that_is_lost_is_told() -> None:
    """A listing whose rows are gone answers nothing."""
    rows = listed(300, 3)
    listing = Listing.from_json(Listing.of(rows).to_json(), lambda name: None)
    with pytest.raises(LookupError):
        listing.get(str(rows[0][0]))
    with pytest.raises(LookupError):
        listing.rows()
    assert listing.digests() == rows_digest(rows)
