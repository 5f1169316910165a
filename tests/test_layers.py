"""Imports go one way: a room imports itself and the rooms above it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nmoe_graph

PACKAGE = Path(nmoe_graph.__file__).parent

#: The rooms, top first.  Rooms of one line stand side by side and do not know each other.
ROOMS = [
    ["saferules", "seen"],
    ["safe"],
    ["errors"],
    ["label", "markup", "excerpt", "metrics", "locks"],
    ["markdown"],
    ["result"],
    ["model"],
    ["git"],
    ["forge"],
    ["load"],
    ["graph", "inputs"],
    ["statement"],
    ["digest", "store"],
    ["plan"],
    ["answers"],
    ["attest"],
    ["execute"],
    ["asking"],
    ["merge"],
    ["contracts", "pulls"],
    ["tierb"],
    ["report"],
    ["workspace"],
    ["cli"],
    ["__main__"],
]
FLOOR = {room: number for number, line in enumerate(ROOMS) for room in line}

#: Who may import a library that has one home.
HOMES = {
    "dulwich": {"git"},
    "yaml": {"load"},
    "pydantic": {"load"},
    "networkx": {"graph"},
    "rich": {"report"},
    "ghapi": {"forge"},
    "cryptography": {"statement"},
}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """The absolute names that a file imports, anywhere in it, with the line."""
    package = ["nmoe_graph", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            yield whole, node.lineno
            yield from ((f"{whole}.{alias.name}", node.lineno) for alias in node.names)


def complaints(path: Path) -> list[str]:
    here = room_of(path)
    found = []
    for name, line in imported(path):
        parts = name.split(".")
        if parts[0] == "nmoe_graph" and len(parts) > 1 and here != "__init__":
            there = parts[1]
            if there != here and there in FLOOR and FLOOR[there] >= FLOOR[here]:
                found.append(f"{path.name}:{line}: room {here} may not import {there}: imports go from later rooms to earlier ones")
        elif parts[0] in HOMES and here not in HOMES[parts[0]]:
            found.append(f"{path.name}:{line}: {parts[0]} belongs to {', '.join(HOMES[parts[0]])}; {here} may not import it")
    return sorted(set(found))


def test_every_room_has_a_floor() -> None:
    """A new room must say where it stands."""
    rooms = {room_of(path) for path in PACKAGE.rglob("*.py")} - {"__init__"}
    assert rooms <= FLOOR.keys(), f"rooms without a floor in ROOMS: {sorted(rooms - FLOOR.keys())}"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    """A file imports its own room and the rooms above it, and a library only from the library's home."""
    assert complaints(path) == []


def test_an_import_against_the_way_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail."""
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "plan").mkdir()
    bad = tmp_path / "plan" / "bad.py"
    bad.write_text("from ..execute import build\nimport dulwich\n")
    assert [line.split(": ", 1)[1].split(":")[0] for line in complaints(bad)] == [
        "room plan may not import execute",
        "dulwich belongs to git; plan may not import it",
    ]


def test_plan_is_pure() -> None:
    """What decides imports neither files, processes, clocks nor randomness."""
    forbidden = {"os", "subprocess", "pathlib", "time", "datetime", "random", "socket", "tempfile", "shutil"}
    for path in (PACKAGE / "plan").glob("*.py"):
        used = {name.split(".")[0] for name, _ in imported(path)}
        assert not used & forbidden, f"{path.name} imports {sorted(used & forbidden)}"


HEAVY = ["pydantic", "networkx", "dulwich", "yaml", "rich", "torch", "ghapi", "asyncio", "sqlite3", "cryptography"]


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [("import nmoe_graph", set()), ("from nmoe_graph.cli.parser import make_parser; make_parser()", set()), ("import nmoe", set())],
)
def test_starting_up_loads_nothing_heavy(statement: str, allowed: set[str]) -> None:
    """Libraries are imported where they are needed."""
    code = f"import sys\n{statement}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= allowed
