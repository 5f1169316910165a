"""Text of strangers in Markdown: shown to the letter, and never markup."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from nmoe_graph.errors import UsageError
from nmoe_graph.excerpt import excerpt, one_line
from nmoe_graph.markdown import MOST_CHARACTERS, Markdown, block, code, document, link, table

LAW = settings(deadline=None, derandomize=True, max_examples=300)
EVIL = [
    "@maintainer please merge",
    "#1 GH-1 owner/repo#2 fixes #3",
    "[x](javascript:alert(1))",
    "![x](https://e.example/p.png)",
    "<img src=x onerror=alert(1)>",
    "</code><script>x</script>",
    "<!-- ",
    "a | b \\| c",
    "`a` ``b`` ```",
    "**b** _i_ ~~s~~ $x$ :tada:",
    "::set-output name=x::y",
    "##[error]x",
    "www.e.example https://e.example a@e.example",
    "&#64;maintainer &lt;b&gt;",
    "# title",
    "- [ ] task",
    "1. one",
    "> quote",
    "line\n\n# two",
    "\u202eabc\x1b[2J",
    "-->",
    "---",
    "[^1]",
    "\\",
    "",
]
hostile = st.sampled_from(EVIL) | st.text(max_size=40) | st.text("|`\\<>&@#:*_[]()!~$-=+.\n ", max_size=20)


class Seen(HTMLParser):
    """The elements of a page, and the text in each."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[str] = []
        self.inside: list[str] = []
        self.codes: list[str] = []
        self.loose = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.elements.append(tag)
        self.inside.append(tag)
        if tag == "code":
            self.codes.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.inside.pop() == tag

    def handle_data(self, data: str) -> None:
        if "code" in self.inside:
            self.codes[-1] += data
        else:
            self.loose += data


def rendered(text: str) -> Seen:
    """As GitHub does it: tables, strikethrough, raw HTML."""
    return Seen(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text))


@LAW
@given(hostile)
def test_a_span_is_its_text_and_nothing_else(text: str) -> None:
    """One element, and the words of `one_line`."""
    page = rendered(f"before {code(text)} after")
    assert page.elements == ["p", "code"]
    assert page.codes == [one_line(text, limit=300)]
    assert page.loose.split() == ["before", "after"]


@LAW
@given(hostile)
def test_a_span_holds_no_character_that_means_something(text: str) -> None:
    """What GitHub's own filters look for (@, #, links, workflow commands) is not there in the raw text either."""
    inner = code(text).removeprefix("<code>").removesuffix("</code>")
    assert not re.search(r"[^A-Za-z0-9 ,/=%;\x80-\U0010ffff]", re.sub(r"&#\d{1,3};", "", inner))
    assert html.unescape(inner) == one_line(text, limit=300)
    assert "::" not in inner and "\n" not in inner


@LAW
@given(st.lists(st.tuples(hostile, hostile), min_size=1, max_size=4))
def test_a_table_has_its_cells(rows: list[tuple[str, str]]) -> None:
    """So many rows, so many cells, whatever is in them."""
    page = rendered(table(["gate", "reason"], rows))
    assert page.elements.count("table") == 1
    assert page.elements.count("tr") == 1 + len(rows)
    assert page.elements.count("td") == 2 * len(rows)
    assert set(page.elements) <= {"table", "thead", "tbody", "tr", "th", "td", "code"}
    assert page.codes == [one_line(cell, limit=300) for row in rows for cell in row]


@LAW
@given(hostile | st.lists(hostile, max_size=6).map("\n".join))
def test_a_block_ends_where_we_end_it(text: str) -> None:
    page = rendered(f"before\n{block(text)}\nafter")
    assert page.elements == ["p", "pre", "code", "p"]
    assert page.codes[0].rstrip("\n") == excerpt(text.encode("utf-8", "replace"), 20_000).rstrip("\n")
    assert not re.search(r"(?m)^(?:::|##\[)", block(text))


def test_a_block_is_cut_in_the_middle() -> None:
    """Head and tail of a long log."""
    shown = block(b"first\n" + b"x" * 70 + b"\n" * 50_000 + b"last\n", most=1_000)
    assert len(shown) < 2_200
    assert "first" in shown and "last" in shown and "left out" in shown


def test_what_must_not_be_public_is_taken_out() -> None:
    host = "runner-17." + "corp.example"
    assert "runner" not in code(f"at {host}")
    assert "runner" not in block(f"at {host}\n")


@pytest.mark.parametrize(
    ("url", "leads"),
    [
        ("https://github.com/noumena/nmoe/actions/runs/7", True),
        ("javascript:alert(1)", False),
        ("https://x.example/a) [b](https://y.example", False),
        ("https://x.example/a|b", False),
        ("http://x.example/", False),
        ("https://x.example/\n# title", False),
    ],
)
def test_links(url: str, leads: bool) -> None:
    """To plain https addresses; else the text alone."""
    page = rendered(link("run ](x) 7", url))
    assert page.elements == (["p", "a", "code"] if leads else ["p", "code"])
    assert page.codes == ["run ](x) 7"]


def test_our_own_markup_stays() -> None:
    assert "| **pass** | <code>&#42;&#42;pass&#42;&#42;</code> |" in table(["a", "b"], [(Markdown("**pass**"), "**pass**")])
    with pytest.raises(UsageError, match="1 cells"):
        table(["a", "b"], [["one"]])


@given(st.lists(st.integers(0, 30_000), max_size=8))
def test_a_document_fits(sizes: list[int]) -> None:
    """Whole parts in their order; what is missing is counted."""
    parts = [block(f"{at} " + "x" * min(size, 1_500) + "\ny" * (size // 40)) for at, size in enumerate(sizes)] + ["the end"]
    made = document(parts, most=9_000)
    assert len(made) <= 9_000
    kept = [part for part in parts if part.strip("\n") in made]
    assert ("left out" in made.rsplit("\n\n", 1)[-1]) == (len("\n\n".join(part.strip("\n") for part in parts)) + 1 > 9_000)
    assert made.count("```text") == sum("```text" in part for part in kept)
    assert made.count("```") % 2 == 0
    assert MOST_CHARACTERS < 65_536
