"""Samples of metrics, read from what a run left: `metrics.jsonl`, or a declared pattern over its log.

A run says of itself what it likes, so a sample is a plain decimal number, finite and not negative, or it is refused and said to
be.  Where one sample of a metric is refused, the metric has no samples: a middle taken of the rest would be a choice.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["LogPattern", "Refused", "Samples", "guess_log", "p50", "read_jsonl", "read_log", "samples_of"]

_MOST_SAMPLES = 100_000
_MOST_METRICS = 200
_MOST_REFUSED = 1000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,99}\Z")
_NUMBER = re.compile(r"[+\-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+\-]?\d{1,4})?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Refused:
    """A sample that is none."""

    line: int
    metric: str
    why: str


@dataclass
class Samples:
    """Metric -> samples in the order in which they were written; what was refused, of which the first are told; and its metrics."""

    values: dict[str, list[float]] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    spoilt: set[str] = field(default_factory=set)

    def add(self, line: int, metric: str, value: object) -> None:
        why = "" if isinstance(value, (int, float)) and not isinstance(value, bool) else "is no number"
        if not why and not _finite(value):
            why = "is no finite number"
        elif not why and value < 0:  # type: ignore[operator]
            why = "is negative"
        listed = self.values.get(metric, [])
        if not why and metric not in self.values and len(self.values) >= _MOST_METRICS:
            why = f"is of more than {_MOST_METRICS} metrics"
        if not why and len(listed) >= _MOST_SAMPLES:
            why = f"is one of more than {_MOST_SAMPLES}"
        if why:
            self.spoilt.add(metric)
            if len(self.refused) < _MOST_REFUSED:
                self.refused.append(Refused(line, metric, why))
        else:
            self.values.setdefault(metric, []).append(float(value))  # type: ignore[arg-type]

    def sound(self) -> dict[str, tuple[float, ...]]:
        """The metrics of which no sample was refused."""
        return {name: tuple(listed) for name, listed in sorted(self.values.items()) if name not in self.spoilt}


def _finite(value: object) -> bool:
    try:
        return math.isfinite(value)  # type: ignore[arg-type]
    except OverflowError:
        return False


@dataclass(frozen=True, slots=True)
class LogPattern:
    """`tokens/s {node_tps}`: words as they stand, and one name in braces where the number is.  Linear in the line."""

    text: str

    @classmethod
    def parse(cls, text: str) -> LogPattern:
        """
        Raises:
            ValueError: there is not exactly one {metric}, or no words around it.
        """
        holes = re.findall(r"\{([^{}]*)\}", text)
        if len(holes) != 1 or text.count("{") != 1 or text.count("}") != 1 or not _NAME.match(holes[0]):
            raise ValueError(f"{text[:80]!r} does not hold one {{metric}}")
        if not text.replace("{" + holes[0] + "}", "").strip():
            raise ValueError(f"{text[:80]!r} has no words around the number, so every number would be a sample")
        return cls(text)

    @property
    def metric(self) -> str:
        return self.text[self.text.index("{") + 1 : self.text.index("}")]

    def compiled(self) -> re.Pattern[str]:
        before, _, rest = self.text.partition("{")
        after = rest.partition("}")[2]
        words = [re.sub(r"(?:\\?\s)+", r"\\s{1,20}", re.escape(part)) for part in (before, after)]
        end = words[1] if after else r"(?=,?(?:[\s;]|\Z))"
        start = r"(?<!\w)" if before[:1].isalnum() else ""
        return re.compile(f"{start}{words[0]}(?P<number>[^\\s;]{{1,100}}?){end}")


def _number(text: str) -> object:
    """A plain decimal number, or the text: `1,000` could be two numbers, and is refused."""
    return float(text) if _NUMBER.match(text) else text


def _lines(log: bytes) -> Iterable[tuple[int, str]]:
    return enumerate((line[:4000] for line in log.decode("utf-8", "replace").splitlines()), 1)


def read_log(log: bytes, patterns: Sequence[LogPattern]) -> Samples:
    """The samples that declared patterns find, one a line and pattern."""
    found = Samples()
    compiled = [(pattern.metric, pattern.compiled()) for pattern in patterns]
    for number, line in _lines(log):
        if len(found.refused) >= _MOST_REFUSED and found.spoilt.issuperset(metric for metric, _ in compiled):
            break  # whatever follows, none of them has samples
        for metric, pattern in compiled:
            if hit := pattern.search(line):
                found.add(number, metric, _number(hit["number"].rstrip(",")))
    return found


_PAIR = re.compile(
    r"(?<![\w.])(?P<name>[A-Za-z_][A-Za-z0-9_.]{0,99})[ ]?[:=][ ]?(?P<number>(?i:[+\-]?(?:\.?\d|nan|inf))[^\s;]{0,99})"
)


def guess_log(log: bytes) -> Samples:
    """Everything in a log that looks like `name: number` or `name=number`: for people who look for a pattern, never for proof."""
    found = Samples()
    for number, line in _lines(log):
        for hit in _PAIR.finditer(line):
            found.add(number, hit["name"], _number(hit["number"].rstrip(",")))
    return found


def read_jsonl(data: bytes) -> Samples:
    """`metrics.jsonl`: an object a line; every key whose value is a number is a metric.

    Raises:
        ValueError: a line is no JSON object, holds a key twice, or names a metric that is no name.
    """
    found = Samples()

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(pairs)
        if len(made) != len(pairs):
            raise ValueError("a key stands twice in an object")
        return made

    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=once)
        except RecursionError:
            raise ValueError(f"line {number} is nested too deep") from None
        except ValueError as error:
            raise ValueError(f"line {number} is no JSON object: {str(error)[:80]}") from None
        if not isinstance(row, Mapping):
            raise ValueError(f"line {number} is no JSON object")
        for name, value in row.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                if not _NAME.match(name):
                    raise ValueError(f"line {number} names a metric that is no name")
                found.add(number, name, value)
            elif value is None:
                found.add(number, str(name)[:100], None)
    return found


def samples_of(metrics: Mapping[str, Sequence[float]], name: str) -> Sequence[float]:
    """The samples behind a figure: those of its own name, or, for `X_p50`, those of X; none where there are none."""
    return metrics.get(name) or (metrics.get(name.removesuffix("_p50"), ()) if name.endswith("_p50") else ())


def p50(samples: Sequence[float]) -> float:
    """The upper median: of an even number of samples, the upper one of the two in the middle.

    Raises:
        ValueError: there are no samples.
    """
    if not samples:
        raise ValueError("there are no samples")
    return sorted(samples)[len(samples) // 2]
