"""Soundness by mutation: change a project at random, run every gate that is *not* affected, and demand the same outcome.

    python benchmarks/mutation.py PROJECT... [--mutations 200] [--seed 1] [--state FILE] [--python PYTHON] [--minutes M]

A PROJECT is a folder, or a source distribution (`pip download --no-deps --no-binary :all: NAME`).  Each test file becomes a
gate, `python -m pytest tests/test_x.py`.  A run of a gate is real: pytest on the whole mutated tree, no sandbox, in a process
of its own, forked from one that has loaded pytest and nothing of the project.  The outcome is that of every single test.

A gate whose outcome differs although it was not affected is a miss; it is run again, mutated and not, before it counts.
Precision: the share of affected gates that did open the mutated file when they ran unmutated,
beside what file-level ("any change affects all") and package-level ("a file in a folder of its closure") answers give.

With --state every finished mutation is kept, and the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WHO = ["-c", "user.name=bench", "-c", "user.email=bench@example.com", "-c", "gc.auto=0", "-c", "core.autocrlf=false"]
_SLOW_S = 6.0  # a gate that takes longer is left out: there are thousands of runs
_LIMIT_S = 40.0


# -- running gates: this half runs in the project's interpreter and imports nothing of ours ----------------------------------------


def _child(request: dict[str, Any], answer: int) -> None:
    """One gate, in a forked process."""
    root = request["root"]
    os.chdir(root)
    sys.path[:0] = [root, *(os.path.join(root, one) for one in request["path"])]
    os.environ["PYTHONPATH"] = os.pathsep.join(os.path.join(root, one) for one in request["path"])
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    rows: list[str] = []
    opened: set[str] = set()
    if request["trace"]:
        sep = root + os.sep

        def hook(event: str, args: tuple[object, ...]) -> None:
            if event in ("open", "os.listdir", "os.scandir", "subprocess.Popen") and args:
                words = args[:1] if event != "subprocess.Popen" else [str(args[0]), *map(str, args[1])]  # type: ignore[call-overload]
                for word in words:
                    if isinstance(word, (str, bytes, os.PathLike)):
                        path = os.path.abspath(os.fsdecode(word))
                        if path.startswith(sep):
                            opened.add(path[len(sep) :])
                        elif path == root:
                            opened.add("")

        sys.addaudithook(hook)

    class Outcomes:
        def pytest_runtest_logreport(self, report: Any) -> None:
            rows.append(f"{report.nodeid} {report.when} {report.outcome}")

        def pytest_collectreport(self, report: Any) -> None:
            if report.outcome != "passed":
                rows.append(f"{report.nodeid} collect {report.outcome}")

    import pytest

    code: object
    try:
        code = int(pytest.main([*request["args"]], plugins=[Outcomes()]))
    except BaseException as error:  # noqa: BLE001 (whatever ends it is its outcome)
        code = type(error).__name__
    data = json.dumps({"code": code, "rows": sorted(rows), "opened": sorted(opened)}).encode("utf-8", "replace")
    with os.fdopen(answer, "wb") as pipe:
        pipe.write(data)
    os._exit(0)


def serve() -> None:
    """Answer requests, one line of JSON each, with what came of one gate."""
    import pytest

    sys.path[:] = [one for one in sys.path if one and os.path.realpath(one) != str(Path(__file__).resolve().parent)]
    warm = tempfile.mkdtemp()
    Path(warm, "test_nothing.py").write_text("import re, unittest, doctest, json, subprocess\ndef test_x(tmp_path): assert 1\n")
    sink = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what anybody else prints is no answer
    pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", warm, warm])
    shutil.rmtree(warm)
    sys.modules.pop("test_nothing", None)
    for line in sys.stdin:
        request = json.loads(line)
        read, write = os.pipe()
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            os.close(read)
            os.setsid()
            _child(request, write)
        os.close(write)
        signal.signal(signal.SIGALRM, lambda *_, child=child: os.killpg(child, signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, request["limit"])
        with os.fdopen(read, "rb") as pipe:
            data = pipe.read()
        os.waitpid(child, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            answer = json.loads(data)
        except ValueError:
            answer = {"code": "died", "rows": [], "opened": []}
        answer["seconds"] = time.monotonic() - started
        sink.write(json.dumps(answer) + "\n")
        sink.flush()


# -- the project -------------------------------------------------------------------------------------------------------------------


class Runner:
    """Gates run for real."""

    def __init__(self, python: str, root: Path, path: list[str]) -> None:
        self.root, self.path = root, path
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "GIT_"))}
        env |= {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TZ": "UTC"}
        self.process = subprocess.Popen(
            [python, __file__, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=env,
            text=True,
        )

    def run(self, test: str, trace: bool = False) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        request = {
            "root": str(self.root),
            "path": self.path,
            "args": ["-q", "-p", "no:cacheprovider", test],
            "trace": trace,
            "limit": _LIMIT_S,
        }
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        self.process.communicate()


def outcome(answer: dict[str, Any]) -> list[Any]:
    """What counts of a run."""
    return [answer["code"], answer["rows"]]


@dataclass
class Project:
    """A project as a workspace, with what its gates do when nothing is mutated."""

    name: str
    root: Path
    tests: dict[str, str]  # gate id -> test file
    path: list[str]
    runner: Runner
    expected: dict[str, list[Any]] = field(default_factory=dict)
    opened: dict[str, set[str]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def git(self, *args: str) -> None:
        subprocess.run(["git", *WHO, *args], cwd=self.root, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def measure(self) -> None:
        """Run all gates twice; those that fail, are slow or differ are left out, and say so."""
        for gate, test in list(self.tests.items()):
            first = self.runner.run(test, trace=True)
            second = self.runner.run(test)
            if outcome(first) != outcome(second) or first["code"] != 0 or second["seconds"] > _SLOW_S:
                self.left_out.append(test)
                del self.tests[gate]
                continue
            self.expected[gate] = outcome(second)
            self.opened[gate] = set(first["opened"])


def _extract(what: Path, into: Path) -> Path:
    if what.is_dir():
        target = into / what.name
        shutil.copytree(what, target, ignore=shutil.ignore_patterns(".git", "__pycache__", ".venv"), symlinks=True)
        return target
    with tarfile.open(what) as archive:
        archive.extractall(into, filter="data")
    return next(path for path in into.iterdir() if path.is_dir())


def prepare(what: Path, into: Path, python: str) -> Project:
    """The project as a git workspace with a gate for each test file."""
    into.mkdir(parents=True, exist_ok=True)
    root = _extract(what, into).resolve()
    tests = sorted(
        path.relative_to(root).as_posix()
        for pattern in ("test_*.py", "*_test.py")
        for path in root.rglob(pattern)
        if "docs" not in path.parts and "benchmarks" not in path.parts
    )
    path = ["src"] if (root / "src").is_dir() else []
    prefix = "PYTHONPATH=src " if path else ""
    gates = ['[meta]\nversion = "1"\n']
    named: dict[str, str] = {}
    for test in tests:
        gate = "cpu:" + re.sub(r"\W+", "_", test.removesuffix(".py"))
        named[gate] = test
        command = f"{prefix}python -m pytest -q -p no:cacheprovider {test}"
        gates.append(f'[gates."{gate}"]\ntier = "a"\ntimeout_s = 600\ncmd = "{command}"\n')
    (root / "gates.toml").write_text("\n".join(gates))
    (root / "BUILD.toml").write_text('[workspace]\nname = "mutated"\nbase = "main"\ngates = "gates.toml"\n')
    project = Project(root.name, root, named, path, Runner(python, root, path))
    project.git("init", "-q", "-b", "main")
    project.git("add", "-Af")
    project.git("commit", "-qm", "start")
    project.measure()
    return project


# -- mutations -----------------------------------------------------------------------------------------------------------------


_SWAPS = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "+"), ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="),
    ast.Lt: ("<", ">="), ast.Gt: (">", "<="), ast.LtE: ("<=", ">"), ast.GtE: (">=", "<"), ast.And: ("and", "or"),
    ast.Or: ("or", "and"), ast.In: ("in", "not in"), ast.Is: ("is", "is not"), ast.Mod: ("%", "+"),
}  # fmt: skip


class _Source:
    """A Python file whose parts can be replaced by position."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.tree = ast.parse(data)
        self.starts = [0]
        for line in data.split(b"\n"):
            self.starts.append(self.starts[-1] + len(line) + 1)

    def span(self, node: Any) -> tuple[int, int]:
        return self.starts[node.lineno - 1] + node.col_offset, self.starts[node.end_lineno - 1] + node.end_col_offset

    def replaced(self, node: Any, text: str) -> bytes:
        start, end = self.span(node)
        return self.data[:start] + text.encode() + self.data[end:]

    def nodes(self, *kinds: type) -> list[Any]:
        return [node for node in ast.walk(self.tree) if isinstance(node, kinds)]


def _operator(source: _Source, pick: random.Random) -> bytes | None:
    found = []
    for node in source.nodes(ast.BinOp, ast.Compare, ast.BoolOp, ast.AugAssign):
        if isinstance(node, ast.Compare):
            pair, left, right = _SWAPS.get(type(node.ops[0])), node.left, node.comparators[0]
        elif isinstance(node, ast.BoolOp):
            pair, left, right = _SWAPS.get(type(node.op)), node.values[0], node.values[1]
        elif isinstance(node, ast.BinOp):
            pair, left, right = _SWAPS.get(type(node.op)), node.left, node.right
        else:
            continue
        if pair:
            start, end = source.span(left)[1], source.span(right)[0]
            between = source.data[start:end]
            if between.count(pair[0].encode()) == 1:
                found.append((start, end, between.replace(pair[0].encode(), pair[1].encode())))
    if not found:
        return None
    start, end, text = pick.choice(found)
    return source.data[:start] + text + source.data[end:]


def _constant(source: _Source, pick: random.Random) -> bytes | None:
    found = [
        node for node in source.nodes(ast.Constant) if isinstance(node.value, (int, str, bool)) and node.end_lineno == node.lineno
    ]
    if not found:
        return None
    node = pick.choice(found)
    if isinstance(node.value, bool):
        return source.replaced(node, str(not node.value))
    return source.replaced(node, str(node.value + 1) if isinstance(node.value, int) else repr(node.value + "x"))


def _statement(source: _Source, pick: random.Random) -> bytes | None:
    kinds = (ast.Assign, ast.Expr, ast.Return, ast.AugAssign, ast.If, ast.For, ast.Raise, ast.FunctionDef)
    found = source.nodes(*kinds)
    if not found:
        return None
    node = pick.choice(found)
    return source.replaced(node, "pass") if not getattr(node, "decorator_list", None) else None


def _import(source: _Source, pick: random.Random) -> bytes | None:
    found = source.nodes(ast.Import, ast.ImportFrom)
    return source.replaced(pick.choice(found), "pass") if found else None


def _returned(source: _Source, pick: random.Random) -> bytes | None:
    found = [node for node in source.nodes(ast.Return) if node.value is not None]
    return source.replaced(pick.choice(found), "return None") if found else None


def _negated(source: _Source, pick: random.Random) -> bytes | None:
    found = source.nodes(ast.If, ast.While, ast.IfExp)
    if not found:
        return None
    test = pick.choice(found).test
    start, end = source.span(test)
    return source.data[:start] + b"not (" + source.data[start:end] + b")" + source.data[end:]


def _renamed(source: _Source, pick: random.Random) -> bytes | None:
    found = source.nodes(ast.FunctionDef, ast.ClassDef)
    if not found:
        return None
    node = pick.choice(found)
    start = source.starts[node.lineno - 1] + node.col_offset
    at = source.data.find(node.name.encode(), start)
    return source.data[:at] + b"renamed_" + source.data[at:]


def _raising(source: _Source, pick: random.Random) -> bytes | None:
    return source.data.rstrip(b"\n") + b'\n\nraise RuntimeError("mutated")\n'


def _syntax(source: _Source, pick: random.Random) -> bytes | None:
    return source.data + b"\ndef (:\n"


def _docstring(source: _Source, pick: random.Random) -> bytes | None:
    found = [
        node.body[0].value
        for node in source.nodes(ast.Module, ast.FunctionDef, ast.ClassDef)
        if ast.get_docstring(node, clean=False) and node.body[0].value.lineno == node.body[0].value.end_lineno
    ]
    return source.replaced(pick.choice(found), repr("Mutated.")) if found else None


def _comment(source: _Source, pick: random.Random) -> bytes | None:
    return source.data.rstrip(b"\n") + b"\n# mutated\n"


_PYTHON: dict[str, tuple[int, Callable[[_Source, random.Random], bytes | None]]] = {
    "operator changed": (18, _operator),
    "constant changed": (18, _constant),
    "statement deleted": (14, _statement),
    "import removed": (8, _import),
    "returns None": (8, _returned),
    "condition negated": (8, _negated),
    "name changed": (4, _renamed),
    "raises on import": (8, _raising),
    "syntax broken": (2, _syntax),
    "docstring changed": (2, _docstring),
    "comment added": (1, _comment),
}
_ANY = {"emptied": 5, "deleted": 4, "cut in half": 2, "text appended": 5}


def mutate(data: bytes, path: str, pick: random.Random) -> tuple[str, bytes | None] | None:
    """What is done to a file, and its new bytes (None: it is gone); None where this pick gives nothing."""
    python = path.endswith(".py")
    if python and pick.random() < 0.88:
        kind = pick.choices(list(_PYTHON), [weight for weight, _ in _PYTHON.values()])[0]
        try:
            after = _PYTHON[kind][1](_Source(data), pick)
        except (SyntaxError, ValueError):
            return None
        return None if after is None or after == data else (kind, after)
    kind = pick.choices(list(_ANY), list(_ANY.values()))[0]
    if kind == "deleted":
        return kind, None
    after = {"emptied": b"", "cut in half": data[: len(data) // 2], "text appended": data + b"\nmutated = 1\n"}[kind]
    return None if after == data else (kind, after)


def files_of(project: Project) -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=project.root, capture_output=True, check=True).stdout
    names = [os.fsdecode(name) for name in listed.split(b"\0") if name]
    return [name for name in names if name not in ("BUILD.toml", "gates.toml") and (project.root / name).is_file()]


def choose(project: Project, files: list[str], pick: random.Random) -> tuple[str, str, bytes | None]:
    """A file, what is done to it, its new bytes."""
    tests = set(project.tests.values())
    groups = [
        [name for name in files if name.endswith(".py") and name not in tests and "test" not in name],
        [name for name in files if name.endswith(".py") and (name in tests or "test" in name)],
        [name for name in files if not name.endswith(".py")],
    ]
    while True:
        group = pick.choices(groups, [70, 14, 16])[0]
        if group:
            path = pick.choice(group)
            found = mutate((project.root / path).read_bytes(), path, pick)
            if found:
                return path, *found


# -- one mutation ------------------------------------------------------------------------------------------------------------------


def _really(project: Project, gate: str, path: str) -> bool:
    """Whether a gate opened the file when nothing was mutated.  (Python lists every folder that it imports from.)"""
    return path in project.opened[gate]


def _folder_level(project: Project, gate: str, path: str) -> bool:
    folders = {os.path.dirname(one) for one in project.opened[gate]}
    return os.path.dirname(path) in folders


def try_one(project: Project, files: list[str], seed: int, number: int, dry: bool = False) -> dict[str, Any]:
    """Mutate, ask what is affected, run the rest (unless dry), compare, undo."""
    from nmoe_graph import Workspace

    pick = random.Random(f"{seed}/{project.name}/{number}")
    path, kind, after = choose(project, files, pick)
    target = project.root / path
    before, mode = target.read_bytes(), target.stat().st_mode
    missed = []
    try:
        if after is None:
            target.unlink()
        else:
            target.write_bytes(after)
        labels = Workspace.open(project.root).affected("HEAD").labels()
        affected = {label.removeprefix("//gates/") for label in labels} & project.tests.keys()
        rest = [] if dry else sorted(project.tests.keys() - affected)
        for gate in rest:
            got = outcome(project.runner.run(project.tests[gate]))
            if got == project.expected[gate]:
                continue
            if outcome(project.runner.run(project.tests[gate])) != project.expected[gate]:
                missed.append({"gate": gate, "got": [got[0], sorted(set(got[1]) ^ set(project.expected[gate][1]))[:6]]})
    finally:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(before)
        target.chmod(mode)
    if missed:  # a gate that is flaky by itself is no miss
        missed = [one for one in missed if outcome(project.runner.run(project.tests[one["gate"]])) == project.expected[one["gate"]]]
    really = {gate for gate in project.tests if _really(project, gate, path)}
    return {
        "number": number,
        "path": path,
        "kind": kind,
        "gates": len(project.tests),
        "affected": len(affected),
        "precise": len(affected & really),
        "really": len(really),
        "package": sum(_folder_level(project, gate, path) for gate in project.tests),
        "ran": len(rest),
        "missed": missed,
    }


def kept(state: Path | None) -> Iterator[dict[str, Any]]:
    if state is not None and state.exists():
        for line in state.read_text().splitlines():
            yield json.loads(line)


def summary(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts and shares over the mutations of one project, or of all."""
    total = {key: sum(row[key] for row in rows) for key in ("gates", "affected", "precise", "really", "package", "ran")}
    return {
        "project": name,
        "mutations": len(rows),
        "runs": total["ran"],
        "misses": sum(len(row["missed"]) for row in rows),
        "affected": round(total["affected"] / max(1, total["gates"]), 3),
        "precision": round(total["precise"] / max(1, total["affected"]), 3),
        "file_level": round(total["really"] / max(1, total["gates"]), 3),
        "package_level": round(min(total["really"], total["package"]) / max(1, total["package"]), 3),
        "package_affected": round(total["package"] / max(1, total["gates"]), 3),
    }


def run(
    projects: list[Path],
    mutations: int,
    seed: int,
    state: Path | None,
    python: str,
    minutes: float,
    folder: Path,
    say: Callable[[str], None],
    dry: bool = False,
) -> list[dict[str, Any]]:
    """Mutate each project in turn until each has had its number, or the time is over; the summaries, all together last."""
    end = time.monotonic() + minutes * 60
    done: dict[str, dict[int, dict[str, Any]]] = {}
    for row in kept(state):
        done.setdefault(row["project"], {})[row["number"]] = row
    everything = []
    summaries = []
    for number, what in enumerate(projects):
        project = prepare(what, folder / str(number), python)
        files = files_of(project)
        rows = done.setdefault(project.name, {})
        left = f", left out (failing, slow or flaky): {', '.join(project.left_out)}" if project.left_out else ""
        say(f"{project.name}: {len(project.tests)} gates, {len(files)} files{left}")
        for index in range(mutations):
            if index in rows:
                continue
            if time.monotonic() > end:
                break
            rows[index] = {"project": project.name, **try_one(project, files, seed, index, dry)}
            if state is not None:
                with open(state, "a") as handle:
                    handle.write(json.dumps(rows[index]) + "\n")
            for one in rows[index]["missed"]:
                say(f"MISS {project.name} #{index} {rows[index]['path']}: {rows[index]['kind']}; {one['gate']} {one['got']}")
        project.runner.close()
        counted = [rows[index] for index in sorted(rows) if index < mutations]
        summaries.append(summary(project.name, counted))
        say(json.dumps(summaries[-1]))
        everything += counted
    summaries.append(summary("all", everything))
    return summaries


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("projects", nargs="*", type=Path)
    parser.add_argument("--mutations", type=int, default=200, help="for each project")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--python", default=sys.executable, help="an interpreter with pytest and what the tests need")
    parser.add_argument("--minutes", type=float, default=10_000)
    parser.add_argument("--dry", action="store_true", help="ask what is affected and run no gate: precision alone")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return 0
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as scratch:
        found = run(
            options.projects,
            options.mutations,
            options.seed,
            options.state,
            options.python,
            options.minutes,
            Path(scratch),
            _say,
            options.dry,
        )
    _say(json.dumps(found[-1]))
    return 1 if found[-1]["misses"] else 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
