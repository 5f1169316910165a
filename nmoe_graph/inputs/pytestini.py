"""What pytest's configuration adds to a command line: from its files at a snapshot, and from the environment.

pytest takes the first file that configures it; here all of them count together, which is never less.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..git.snapshot import Snapshot

__all__ = ["Settings", "options_in", "read_settings"]

NAMES = (
    "pytest.toml",
    ".pytest.toml",
    "pytest.ini",
    ".pytest.ini",
    "pyproject.toml",
    "tox.ini",
    "setup.cfg",
)


@dataclass(slots=True)
class Settings:
    """Paths are relative to the workspace root."""

    plugins: list[str] = field(default_factory=list)  # modules
    paths: list[str] = field(default_factory=list)  # among the options
    testpaths: list[str] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)  # put on sys.path
    unknown: str = ""  # why it cannot be told what is read

    def add_options(self, words: Iterable[str], folder: str) -> None:
        """Words of `addopts` or of an environment variable."""
        waiting = ""
        for word in words:
            if waiting == "-p" or (word.startswith("-p") and len(word) > 2 and not word.startswith("--")):
                name = word if waiting else word[2:].lstrip("=")
                if not name.startswith("no:"):
                    self.plugins.append(name)
                waiting = ""
            elif waiting:
                waiting = ""
            elif word in ("-c", "--config-file", "--rootdir", "--confcutdir"):
                self.unknown = f"pytest is told to look elsewhere by {word}"
            elif word == "-p" or word in options_with_value():
                waiting = word
            elif word.startswith(("-c", "--config-file=", "--rootdir=", "--confcutdir=")) and not word.startswith(("--c", "--co")):
                self.unknown = f"pytest is told to look elsewhere by {word}"
            elif not word.startswith("-"):
                self.paths.append(_joined(folder, word.partition("::")[0]))


def options_with_value() -> frozenset[str]:
    """Options of pytest that take the next word."""
    return frozenset(
        [
            "-k",
            "-m",
            "-n",
            "-o",
            "-W",
            "-r",
            "--tb",
            "--dist",
            "--maxfail",
            "--durations",
            "--durations-min",
            "--junitxml",
            "--junit-xml",
            "--import-mode",
            "--basetemp",
            "--color",
            "--capture",
            "--log-level",
            "--log-cli-level",
            "--log-file",
            "--deselect",
            "--ignore",
            "--ignore-glob",
            "--cov",
            "--cov-report",
            "--cov-config",
            "--timeout",
            "--numprocesses",
            "--override-ini",
            "--pythonwarnings",
            "--verbosity",
            "--show-capture",
            "--lfnf",
            "--last-failed-no-failures",
            "--doctest-glob",
            "--hypothesis-profile",
            "--hypothesis-seed",
            "--randomly-seed",
            "--reruns",
        ]
    )


def _joined(folder: str, path: str) -> str:
    found = posixpath.normpath(posixpath.join(folder, path))
    return "" if found == "." else found


def options_in(env: Mapping[str, str]) -> Settings:
    """What PYTEST_ADDOPTS and PYTEST_PLUGINS say."""
    found = Settings()
    try:
        found.add_options(shlex.split(env.get("PYTEST_ADDOPTS", "")), "")
    except ValueError:
        found.unknown = "PYTEST_ADDOPTS cannot be read"
    found.plugins += [word.strip() for word in env.get("PYTEST_PLUGINS", "").split(",") if word.strip()]
    return found


def read_settings(snapshot: Snapshot, folders: Iterable[str]) -> Settings:
    """What the files in these folders say together."""
    found = Settings()
    for folder in folders:
        for name in NAMES:
            path = f"{folder}/{name}".lstrip("/")
            if not snapshot.is_file(path):
                continue
            for table in _tables(name, snapshot.read(path) or b""):
                _apply(found, table, folder)
    return found


def _words(value: object) -> list[str]:
    if isinstance(value, str):
        try:
            return shlex.split(value)
        except ValueError:
            return value.split()
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []


def _apply(found: Settings, table: Mapping[str, object], folder: str) -> None:
    found.add_options(_words(table.get("addopts")), folder)
    found.testpaths += [_joined(folder, word) for word in _words(table.get("testpaths"))]
    found.roots += [_joined(folder, word) for word in _words(table.get("pythonpath"))]


def _tables(name: str, data: bytes) -> list[Mapping[str, object]]:
    if name.endswith(".toml"):
        import tomli

        try:
            whole = tomli.loads(data.decode("utf-8"))
        except (ValueError, RecursionError):
            return []
        if name != "pyproject.toml":
            inner = whole.get("pytest")
            return [inner] if isinstance(inner, dict) else []
        tool = whole.get("tool")
        inner = tool.get("pytest") if isinstance(tool, dict) else None
        if not isinstance(inner, dict):
            return []
        older = inner.get("ini_options")
        return [inner, older] if isinstance(older, dict) else [inner]
    import configparser

    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string(data.decode("utf-8", "replace"))
    except configparser.Error:
        return []
    sections = ("tool:pytest",) if name == "setup.cfg" else ("pytest",)
    return [{key: value or "" for key, value in parser.items(section)} for section in sections if parser.has_section(section)]
