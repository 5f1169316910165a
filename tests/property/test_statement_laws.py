"""Laws of what is signed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nmoe_graph.errors import DeclarationError
from nmoe_graph.statement.dsse import Envelope, Signature, decode_base64, pae, read_envelope
from nmoe_graph.statement.strictjson import canonical, read_json

plain = st.text(st.characters(categories=("L", "N", "P", "Zs")), max_size=20)
keys = st.text("abcdefghij", max_size=4)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_canonical_json_round_trips(value: object) -> None:
    """What is written is read back equal, and is written again with the same bytes."""
    data = canonical(value)  # type: ignore[arg-type]
    assert read_json(data, "x") == value
    assert canonical(read_json(data, "x")) == data


@given(st.dictionaries(keys, values, max_size=6), st.randoms())
def test_canonical_json_forgets_order(value: dict[str, object], random: object) -> None:
    """Insertion order is no part of a value."""
    items = list(value.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    assert canonical(dict(items)) == canonical(value)  # type: ignore[arg-type]


@given(st.tuples(st.text(max_size=30), st.binary(max_size=60)), st.tuples(st.text(max_size=30), st.binary(max_size=60)))
def test_pae_is_injective(one: tuple[str, bytes], two: tuple[str, bytes]) -> None:
    """Two different pairs of type and payload are never signed by the same bytes."""
    try:
        same = pae(*one) == pae(*two)
    except UnicodeEncodeError:
        return
    assert same == (one == two)


@given(st.binary(max_size=40), st.text("ABCab+/-_=\n 0123", max_size=60))
def test_base64_has_one_spelling_an_alphabet(data: bytes, text: str) -> None:
    """What decodes is what an encoder of that alphabet would have written."""
    import base64

    spellings = {base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()}
    assert all(decode_base64(one) == data for one in spellings)
    found = decode_base64(text)
    if found is not None:
        assert text in (base64.b64encode(found).decode(), base64.urlsafe_b64encode(found).decode())


@given(
    st.binary(max_size=200),
    st.text("abc/+.", max_size=20),
    st.lists(st.tuples(plain, st.binary(min_size=1, max_size=64)), min_size=1, max_size=3),
)
def test_envelopes_round_trip(payload: bytes, kind: str, signatures: list[tuple[str, bytes]]) -> None:
    """An envelope is read as it was written."""
    envelope = Envelope(payload, kind, tuple(Signature(*one) for one in signatures))
    assert read_envelope(envelope.to_bytes(), "x") == envelope


@given(st.binary(max_size=400))
def test_any_bytes_give_an_envelope_or_one_kind_of_error(data: bytes) -> None:
    """A stranger's bytes never end in anything else."""
    try:
        read_envelope(data, "x")
    except DeclarationError as error:
        assert error.faults
