"""Words and files of strangers at the command line: refused or escaped, wherever they come from and wherever they go.

`Shell` holds every command to printing no control byte, no character that changes directions and no workflow command.  Here it is
also looked that nothing was run (`owned`), and that what is said on the pull request is markup of ours alone.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from nmoe_graph.contracts.draft import issue_body

from .double import WORKFLOW
from .double_state import packed
from .shell import Ran, Shell
from .site import Site, change, git
from .test_shell import YAML, on_main

TITLES = [
    "$(touch owned) `touch owned`; touch owned | touch owned",
    "::error file=x::y",
    "##[error]x ::set-output name=a::b",
    "</code><img src=x onerror=alert(1)><script>alert(1)</script>",
    "@everyone @maintainer fixes #3 | cell | [x](javascript:alert(1))",
    "\u202eabc\u2066 \x1b[2J\x1b]0;owned\x07 \x00\x08",
    "--upload-pack=touch owned",
    "{{7*7}} ${{ github.token }} %0A::error::x",
]
#: What git takes for the name of a branch.
BRANCHES = [
    "$(touch${IFS}owned)",
    "a;touch${IFS}owned",
    "`touch${IFS}owned`",
    "-x--upload-pack=touch",
    "a|b&c'd\"e",
    "@everyone-<b>x",
]
#: Elements that our own markup has.
OURS = {"p", "strong", "code", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "pre", "ul", "li", "a"}


class Elements(HTMLParser):
    """The elements of a page, and its text outside of `code`."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: set[str] = set()
        self.links: list[str] = []
        self.loose, self._depth = "", 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self._depth += tag == "code"
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        assert all(name in ("href", "class") for name, _ in attrs), attrs

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag == "code"

    def handle_data(self, data: str) -> None:
        if not self._depth:
            self.loose += data


def harmless(shell: Shell, site: Site) -> None:
    """Nothing ran, and what was said on GitHub is ours: no element, no link, no mention of a stranger's."""
    assert not [path for path in site.root.rglob("owned*") if "nmoe-graph" not in path.parts]
    said = [one.body for one in site.github.comments.values()] + [
        one.output.get("summary", "") for one in site.github.checks.values()
    ]
    for text in said:
        page = Elements(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text))
        assert page.found <= OURS, page.found - OURS
        assert all(url.startswith("https://github.com/noumena/nmoe/") for url in page.links), page.links
        assert "@" not in page.loose and "#3" not in page.loose
        assert not [char for char in text if ord(char) < 32 and char != "\n"] and "\u202e" not in text and "\u2066" not in text
        assert not [line for line in text.splitlines() if line.lstrip().startswith(("::", "##["))]


@pytest.mark.parametrize("texts", [TITLES[:4], TITLES[4:]], ids=["first", "second"])
def test_titles_and_bodies_of_pull_requests(shell: Shell, site: Site, texts: list[str]) -> None:
    """Judged, reported, listed, asked to be proven and to land."""
    pull, text = site.github.pulls[site.number], " ".join(texts)
    pull.title, pull.body = f"[01] {text}", f"{text}\n\n```yaml\nnmoe_pr:\n  issue: {text!r}\n```\n" + "\n".join(texts)
    number = str(site.number)
    assert "does not count" in shell("pr", "verify", number, "--report", code=1).out
    shell("pr", "verify", number, "--format", "json", code=1)
    shell("contract", "status")
    shell("tier-b", "run", number, "--bundle", "hot", "--dry-run", code=1)
    shell("merge", "--github", "01", code=1)
    pull.title = text
    assert "names no contract" in shell("tier-b", "run", number, "--bundle", "hot", code=2).err
    assert shell("pr", "update", number, code=2).out == ""
    assert len(site.github.comments) == 1
    harmless(shell, site)


def test_titles_and_bodies_of_issues(shell: Shell, site: Site) -> None:
    """Around the block they say nothing; inside of it a contract must be one."""
    on_main(shell)
    for at, text in enumerate(TITLES):
        block = issue_body(YAML.format(title="Deeper").replace("issue: 02", f"issue: {at + 20}"))
        site.github.open_issue(text, f"{text}\n\n{block}\n{text}")
    assert "8 contracts of the issues, 8 changed" in shell("contract", "sync").out
    shell("contract", "status", "--format", "json")
    for at, text in enumerate(TITLES):
        quoted = '"' + "".join(f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}" for char in text) + '"'
        block = issue_body(YAML.format(title=quoted).replace("issue: 02", f"issue: {at + 40}"))
        site.github.open_issue(f"[{at + 40}] x", block)
    said = shell("contract", "sync", code=1)
    assert "error: issue #" in said.err or "issue #" in said.err
    shell("contract", "status", code=0)
    harmless(shell, site)


def test_names_of_branches(shell: Shell, site: Site) -> None:
    """Of the head: fetched by number, and in no command. Of the base: a ref, or refused."""
    head = git(site.laptop, "rev-parse", "issue/01-wider")
    for name in BRANCHES:
        git(site.laptop, "push", "-q", "origin", f"{head}:refs/heads/{name}")
        number = site.github.open_pull(name, "[01] Wider").number
        said = shell("pr", "verify", str(number), "--report", "--tier", "a", code=1)
        assert "its branch is " in said.out
        site.github.pulls[number].base_ref = name
        shell("pr", "verify", str(number), "--tier", "a", code=None)
        refused = shell("tier-b", "run", str(number), "--bundle", "hot", "--no-wait", code=None)
        assert refused.code in (2, 3)
    harmless(shell, site)


LOG = """::error file=x::owned
##[error]owned
::add-mask::x
\x1b[2J\x1b]0;owned\x07\x1b[31mred\u202edesrever
```
</details></code><img src=x onerror=alert(1)><script>alert(1)</script>
@everyone fixes #3 [x](javascript:alert(1)) ![x](https://tracker.example/p.png)
````~~~
| a | b |
host gpu17.internal.example at 10.11.12.13, /home/somebody/data
"""


def test_logs(shell: Shell, site: Site) -> None:
    """What a gate prints goes through the runner's command line, the report, a comment, a check, an artifact and the laptop."""
    change(site, f"import sys\n\nDIM = 100\nsys.stdout.write({LOG!r})\nsys.stderr.write({LOG!r})\n")
    number = str(site.number)
    shell("tier-b", "run", number, "--bundle", "hot", "--no-wait", code=3)
    shell("tier-b", "approve", number, "--bundle", "hot", "--yes")
    said = shell("tier-b", "run", number, "--bundle", "hot", "--every", "1", code=1)
    assert "the end of the log of b200:train" in said.out and "AssertionError" in said.out
    body = next(iter(site.github.comments.values())).body
    assert "AssertionError" in body and "10.11.12.13" not in body + said.out and "gpu17" not in body + said.out
    assert shell.runners.said  # held to the same, by `Ran`
    harmless(shell, site)


def zipped(name: str, data: bytes, mode: int = stat.S_IFREG | 0o644) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = mode << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, data)
    return out.getvalue()


ZIPS: dict[str, tuple[bytes, str]] = {
    "a path that leads out": (zipped("../../owned", b"x"), "which no file of ours is"),
    "a path from the root": (zipped("/tmp/owned", b"x"), "which no file of ours is"),
    "a path of another system": (zipped("..\\owned", b"x"), "which no file of ours is"),
    "a link": (zipped("logs/x.log", b"/etc/passwd", stat.S_IFLNK | 0o777), "that is a link or a device"),
    "a bomb": (zipped("logs/x.log", bytes(80 << 20)), "that grows too large"),
    "a wrong name": (zipped("run.sh", b"touch owned"), "which is not expected"),
    "a name that steers": (zipped("logs/\x1b[2J::error::.log", b"x"), "which no file of ours is"),
    "two of one name": (packed({"logs/x.log": b"1", "logs/X.log": b"2"}), "has two entries named"),
    "no zip": (b"PK\x03\x04 owned", "is damaged"),
    "nothing": (b"", "is damaged"),
}


def test_artifacts(shell: Shell, site: Site) -> None:
    """Taken as a whole or not at all: the command says so, and what is proven hangs on none of it."""
    change(site, "DIM = 100\n")
    number = str(site.number)
    ask = ("tier-b", "run", number, "--gate", "b200:train")
    shell(*ask, "--no-wait", code=3)
    shell("tier-b", "approve", number, "--gate", "b200:train", "--yes")
    assert "the end of the log" in shell(*ask, "--every", "1", code=1).out
    (run,) = site.github.runs.values()
    for data, why in ZIPS.values():
        run.artifacts = {number: (name, data) for number, (name, _) in run.artifacts.items()}
        said = shell(*ask, code=1)
        assert "note: its logs could not be read: the artifact" in said.err and why in said.err
        assert "the end of the log" not in said.out and len(site.github.runs) == 1
    assert shell.git("status", "--porcelain") == ""
    harmless(shell, site)


def _links(folder: Path) -> None:
    """Names that are expected, and lead to what the second machine knows."""
    (folder / "results.jsonl").unlink()
    (folder / "results.jsonl").symlink_to(folder.parents[2] / "key")
    for path in (folder / "logs").iterdir():
        path.unlink()
        path.symlink_to(folder.parents[2] / "key")


def _flood(folder: Path) -> None:
    (folder / "results.jsonl").write_bytes(b"{}\n" * 200_000)


def _nested(folder: Path) -> None:
    (folder / "results.jsonl").write_bytes(b'{"a":' * 100_000 + b"\n" + b"[" * 100_000)


def _pipe(folder: Path) -> None:
    (folder / "results.jsonl").unlink()
    os.mkfifo(folder / "results.jsonl")


def _words(folder: Path) -> None:
    text = (folder / "results.jsonl").read_text()
    (folder / "results.jsonl").write_text(text.replace("b200:train", "::error::</code>@everyone\\u202e"))


def test_folders_that_the_first_job_leaves(shell: Shell, site: Site) -> None:
    """The second job reads them as a stranger's: nothing of it is signed, and nothing of its own gets out."""
    asked = json.loads(shell("tier-b", "run", str(site.number), "--bundle", "hot", "--dry-run", "--format", "json", code=1).out)
    said = {"DISPATCH": json.dumps(asked["request"]), "TIER_B_SIGN_KEY": site.key}
    honest = site.root / "gate-results"
    made = shell.start("tier-b", "job", "--out", str(honest), more=said)
    assert made.communicate(timeout=60) and made.returncode == 0
    for tamper in (_links, _flood, _nested, _pipe, _words):
        folder = site.root / "tampered" / tamper.__name__ / "gate-results"
        shutil.copytree(honest, folder)
        tamper(folder)
        process = shell.start("tier-b", "report", "--proved", "success", str(folder), token=WORKFLOW, more=said)
        out, err = process.communicate(timeout=60)
        ran = Ran(process.returncode, out, err)
        assert ran.code == 1 and "0 of 1 proven" in ran.out, (tamper, ran)
        words = ran.out + ran.err + "".join(one.body for one in site.github.comments.values())
        assert "PRIVATE KEY" not in words and site.key.splitlines()[2] not in words
    harmless(shell, site)
    process = shell.start("tier-b", "report", "--proved", "success", str(honest), token=WORKFLOW, more=said)
    assert process.communicate(timeout=60) and process.returncode == 0  # and an honest one counts
