"""Samples: plain numbers, finite and not negative, or none."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmoe_graph.metrics import LogPattern, guess_log, p50, read_jsonl, read_log, samples_of

LAW = settings(deadline=None, derandomize=True, max_examples=300)
NUMBERS = st.floats(min_value=0, max_value=1e300)


@LAW
@given(st.lists(NUMBERS, min_size=1, max_size=30))
def test_p50_is_the_upper_median(samples: list[float]) -> None:
    """At least half of the samples are not above it, fewer than half are above or equal beyond it; the order is of no matter."""
    middle = p50(samples)
    assert middle in samples
    assert sum(one <= middle for one in samples) * 2 > len(samples)
    assert sum(one >= middle for one in samples) * 2 >= len(samples)
    assert p50(samples[::-1]) == middle


def test_p50_of_an_even_number_and_of_none() -> None:
    """Element n // 2."""
    assert p50([1, 2, 3, 4]) == 3
    with pytest.raises(ValueError, match="no samples"):
        p50([])


@LAW
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20))
def test_only_finite_numbers_from_zero_are_samples(values: list[float]) -> None:
    """One bad sample spoils its metric, and no other."""
    lines = [json.dumps({"bad": value, "good": 1}) for value in values]
    found = read_jsonl("\n".join(lines).encode())
    fine = all(math.isfinite(value) and value >= 0 for value in values)
    assert found.sound().get("bad", ()) == (tuple(values) if fine else ())
    assert found.sound().get("good", ()) == (1.0,) * len(values)
    assert bool(found.refused) == (not fine)


@LAW
@given(st.binary(max_size=300))
def test_any_bytes_are_samples_or_refused(data: bytes) -> None:
    """Nothing but ValueError comes of a file."""
    guess_log(data)
    read_log(data, [LogPattern.parse("x {y}")])
    try:
        read_jsonl(data)
    except ValueError:
        pass


@pytest.mark.parametrize(
    "line", ["[]", "1", "{", '{"a": 1, "a": 2}', '{"a b": 1}', "[" * 100_000, '{"a": 1} x', "\xff", '{"a": 1e999999}x']
)
def test_a_file_that_is_none_is_refused(line: str) -> None:
    """A line that is no object, a key twice, a name that is none, a depth that is none."""
    with pytest.raises(ValueError, match=r"line \d|twice"):
        read_jsonl(b'{"a": 1}\n' + line.encode("latin-1"))


def test_texts_and_truths_are_no_metrics() -> None:
    """Only numbers are; a null is a sample that is missing."""
    found = read_jsonl(b'{"step": 1, "phase": "train", "ok": true, "tps": 10}\n{"step": 2, "tps": null}\n')
    assert found.sound() == {"step": (1.0, 2.0)}


@pytest.mark.parametrize(
    ("pattern", "line", "value"),
    [
        ("tok/s {tps}", "step 3 tok/s 10.5", 10.5),
        ("tok/s {tps}", "tok/s   10.5, loss 3", 10.5),
        ("node_tps: {tps} |", "node_tps: 12 | x", 12.0),
        ("{tps} tok/s", "at 7e3 tok/s", 7000.0),
        ("tps={tps}", "tps=.5", 0.5),
    ],
)
def test_patterns(pattern: str, line: str, value: float) -> None:
    """Words as they stand, blanks as wide as they like, the number in the braces."""
    assert read_log(line.encode(), [LogPattern.parse(pattern)]).sound() == {"tps": (value,)}


@pytest.mark.parametrize("number", ["nan", "inf", "-5", "1e400", "999,999", "0x10", "1_000", "١٢", "Infinity", "-nan", "1e", "--1"])
def test_what_a_log_cannot_say(number: str) -> None:
    """No sample that is no plain number from zero on."""
    assert read_log(f"tps: {number}\ntps: 3".encode(), [LogPattern.parse("tps: {tps}")]).sound() == {}


@pytest.mark.parametrize("pattern", ["", "tps", "{tps}", " {tps} ", "a {b} {c}", "a {b c}", "a {}", "a {{b}}", "a {b", "a b}"])
def test_patterns_that_are_none(pattern: str) -> None:
    """One metric in braces, and words around it."""
    with pytest.raises(ValueError, match=r"metric|number"):
        LogPattern.parse(pattern)


def test_a_word_is_not_the_end_of_another() -> None:
    """`loss {loss}` does not read `valid_loss 3`."""
    assert read_log(b"valid_loss 3\n", [LogPattern.parse("loss {loss}")]).sound() == {}


def test_a_figure_named_p50_is_of_its_samples() -> None:
    """`tps_p50` is taken from the samples of `tps`, unless somebody records samples under the whole name."""
    assert samples_of({"tps": (1.0, 2.0)}, "tps_p50") == (1.0, 2.0)
    assert samples_of({"tps": (1.0,), "tps_p50": (3.0,)}, "tps_p50") == (3.0,)
    assert samples_of({"tps": (1.0,)}, "tps") == (1.0,)
    assert samples_of({"tps": (1.0,)}, "tps_p90") == ()
    assert samples_of({}, "_p50") == ()


def test_a_flood_of_samples_is_no_sample_and_is_not_read_to_its_end() -> None:
    """More samples than anything has: the metric is spoilt, the first refusals are told, another metric of the same log stays."""
    log = b"tps 1\n" * 103_000 + b"loss 2\n"
    both = read_log(log, [LogPattern.parse("tps {tps}"), LogPattern.parse("loss {loss}")])
    assert both.sound() == {"loss": (2.0,)} and len(both.refused) == 1000 and both.spoilt == {"tps"}
    assert read_log(log, [LogPattern.parse("tps {tps}")]).sound() == {}
