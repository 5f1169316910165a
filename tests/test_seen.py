"""Public safety against spelling: what a reader can read is found, however it is written, and taken out whole.

Texts that look like secrets are put together here, so that no scanner of repositories takes this file for a leak.
"""

from __future__ import annotations

import html
import json
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmoe_graph.safe import findings, redact
from nmoe_graph.seen import readings

LAW = settings(deadline=None, derandomize=True, max_examples=200)
ROWS = [row.split("\t", 2) for row in Path(__file__).with_name("public_lines.tsv").read_text("utf-8").splitlines()]
LINES = [(kind, text.replace("‖", "")) for _, kind, text in ROWS]
CLEAN = [text for kind, text in LINES if kind == "clean" and not findings(text)]
LEAKS = [
    (kind, text, found[0].column - 1, found[0].end - 1) for kind, text in LINES if kind != "clean" and (found := findings(text))
]
TOKEN = "gh" + "p_" + "aB3dE6gH9" * 4
BODY = ["b3Blbn" + "NzaC1rZXktdjE" + "A" * 51, "QyNTUxOQAAACDinvented" + "Ab0" * 16, "inventedInvented0w=="]
BEGIN, END = "-----BEGIN OPENSSH " + "PRIVATE KEY-----", "-----END OPENSSH " + "PRIVATE KEY-----"


def inside(with_: str) -> Callable[[str, int, int], str]:
    return lambda text, one, two: text[: (one + two) // 2] + with_ + text[(one + two) // 2 :]


def each(spell: Callable[[str], str]) -> Callable[[str, int, int], str]:
    return lambda text, one, two: text[:one] + "".join(map(spell, text[one:two])) + text[two:]


SPELLINGS: dict[str, Callable[[str, int, int], str]] = {
    "colour": inside("\x1b[31m"),
    "colour in eight bits": inside("\x9b0m"),
    "link": inside("\x1b]8;;http://x\x07"),
    "no width": inside("\u200b"),
    "soft hyphen": inside("\u00ad"),
    "turned around": inside("\u202e"),
    "overstruck": inside("x\b"),
    "nul": inside("\0"),
    "json": lambda text, one, two: json.dumps({"log": f"first\n{text}\n"}),
    "json twice": lambda text, one, two: json.dumps(json.dumps(text)),
    "json in numbers": each(lambda char: f"\\u{ord(char):04x}"),
    "slashes": lambda text, one, two: text.replace("/", "\\/"),
    "bytes": each(lambda char: char if char.isalnum() else f"\\x{ord(char):02x}"),
    "query": lambda text, one, two: "q=" + urllib.parse.quote(text, safe=""),
    "percent": each(lambda char: "".join(f"%{byte:02X}" for byte in char.encode())),
    "percent twice": lambda text, one, two: urllib.parse.quote(urllib.parse.quote(text, safe=""), safe=""),
    "references": each(lambda char: f"&#{ord(char)};"),
    "html": lambda text, one, two: html.escape(text).replace("/", "&#x2F;").replace(".", "&period;"),
    "full width": each(lambda char: chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char),
    "continued": inside("\\\n"),
    "dos": lambda text, one, two: f"{text}\r\n",
    "overprinted": lambda text, one, two: f"{text}\rdone",
}
BETWEEN = [name for name, spell in SPELLINGS.items() if spell.__qualname__.startswith("inside")]


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_spelling_hides_nothing(name: str) -> None:
    """Of some 700 leaks, 98 in 100 are found in each spelling, and what was redacted holds none in any reading."""
    found = 0
    for _, text, one, two in LEAKS:
        spelt = SPELLINGS[name](text, one, two)
        found += bool(findings(spelt))
        clean = redact(spelt)
        assert not findings(clean), spelt
        assert clean.count("\n") == spelt.count("\n")
    assert len(LEAKS) > 500
    assert found >= 0.98 * len(LEAKS)


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_spelling_makes_no_leak(name: str) -> None:
    """Clean lines stay clean in every spelling, and with a colour or a sign of no width between their words, but for 2 in 100.

    (The line as it stands is looked at, too, and there the sign may hide that `version` stands before a number.)
    """
    wrong = []
    for text in CLEAN:
        blank = text.find(" ") + 1
        if findings(SPELLINGS[name](text, *((blank, blank) if name in BETWEEN else (0, len(text))))):
            wrong.append(text)
    assert len(wrong) <= 0.02 * len(CLEAN), wrong


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_spelt_token_goes_whole(name: str) -> None:
    """No half of a secret is left beside a removed one."""
    line = f"see {TOKEN} here"
    clean = redact(SPELLINGS[name](line, 4, 4 + len(TOKEN)))
    left = "".join([clean, *(text for text, _, _ in readings(clean))])
    for at in range(4, len(TOKEN) - 5):
        assert TOKEN[at : at + 5] not in left


def test_a_finding_covers_what_is_written() -> None:
    """Columns are those of the line as it stands, and what is shown are four characters of the reading."""
    line = f"a {TOKEN[:10]}\x1b[1m{TOKEN[10:]} b"
    (found,) = findings(line)
    assert line[found.column - 1 : found.end - 1] == f"{TOKEN[:10]}\x1b[1m{TOKEN[10:]}"
    assert found.shown == TOKEN[:4]


@pytest.mark.parametrize("before", ["", "  ", "| ", "2026-01-01 12:00:00 "])
def test_a_private_key_goes_with_all_its_lines(before: str) -> None:
    """The lines of a key go, indented, quoted or in a log, and the line after it stays."""
    block = "\n".join(before + line for line in [BEGIN, *BODY, END])
    clean = redact(f"first\n{block}\nafter the key").split("\n")
    assert (clean[0], clean[-1], len(clean)) == ("first", "after the key", 7)
    assert not any(line in "\n".join(clean) for line in BODY)


def test_a_private_key_that_was_cut_goes_as_far_as_it_is_there() -> None:
    clean = redact("\n".join([BEGIN, *BODY[:2], "step 12 loss 2.3"])).split("\n")
    assert clean[-1] == "step 12 loss 2.3"
    assert not any(line in "\n".join(clean) for line in BODY)
    assert redact(f"{BEGIN}\nafter").endswith("\nafter")


def test_a_private_key_in_one_line_of_json_goes_whole() -> None:
    line = json.dumps({"key": "\n".join([BEGIN, *BODY, END]), "n": 1})
    clean = redact(line)
    assert not any(part in clean for part in BODY)
    assert clean.endswith('"n": 1}')


def test_what_goes_on_in_the_next_line_is_found_in_both() -> None:
    """A wrapped token, a continued option, a value below its name, a login of netrc."""
    for text, gone in (
        (f"token: {TOKEN[:12]}\n{TOKEN[12:]}", (TOKEN[:12], TOKEN[12:])),
        (f"{'x' * 40} {TOKEN[:30]}\n{TOKEN[30:]}", (TOKEN[:30], TOKEN[30:])),
        ("login --pass" + "word \\\n    S3cret-Root9", ("S3cret-Root9",)),
        ("pass" + "word: >-\n  S3cretRoot9x", ("S3cretRoot9x",)),
        ('"api_' + 'key":\n   "S3cretRoot9xabc"', ("S3cretRoot9xabc",)),
        ("machine h\nlogin u\npass" + "word S3cretRoot9x", ("S3cretRoot9x",)),
    ):
        clean = redact(text)
        assert not any(part in clean for part in gone), text
        assert clean.count("\n") == text.count("\n")
    for text in (
        "the token:\nis read later",
        f"{TOKEN}\nstep 1",
        "if x in hostname:\n    mounts[x] = 1",
        "password:\n  required: true",
    ):
        assert redact(text).split("\n")[1] == text.split("\n")[1]


@LAW
@given(st.text(alphabet="ab/\\u0041x%2F&#;amp\x1b[m\b\n\r\u200b\uff21 .", max_size=80))
def test_readings_point_into_their_line(line: str) -> None:
    """Every character of a reading has its place in the line, in order."""
    line = line.replace("\n", " ")
    for text, begins, ends in readings(line):
        assert len(text) == len(begins) == len(ends)
        assert all(0 <= one < two <= len(line) for one, two in zip(begins, ends, strict=True))
        assert begins == sorted(begins)
        assert ends == sorted(ends)


@pytest.mark.parametrize("unit", ["\\u0067", "%67", "&#103;", "\x1b[1mg", "g\u200b", "\\\\\\\\n", "%25", "\uff47"])
def test_hostile_spellings_cost_little(unit: str) -> None:
    """A line of nothing but spellings is read in time that grows with its length."""
    start = time.process_time()
    findings(unit * 20_000)
    assert time.process_time() - start < 20
