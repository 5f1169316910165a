"""What a configuration is given as: a TOML file, words of a command line, variables of the environment.

Each value keeps the place where it was, for what may be said of it later.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .faults import ConfigError

__all__ = ["Given", "from_file", "from_words"]

#: Values as they were given, by key, each with the place where it was: path:line, or the word of the command line.
Given = dict[str, tuple[Any, str]]


def from_words(argv: Sequence[str], kinds: Mapping[str, str], env: Mapping[str, str], faults: list[str]) -> Given:
    """The file that the words name, and over it their `--key=value`, each parsed as what its field is; the last one counts.

    Raises:
        ConfigError: no file is named, or it cannot be read.
    """
    files = [word for word in argv if not word.startswith("-")]
    if not files:
        raise ConfigError(["a configuration file is due: CONFIG.toml [--key=value ...]; python -m nmoe CONFIG.toml lists the keys"])
    faults += [f"{word}: options are written --key=value, and one configuration file is enough" for word in files[1:]]
    given = from_file(files[0], env, faults)
    for word in argv:
        name, equals, text = word.removeprefix("--").partition("=")
        if word in ("--resume", "--no-resume"):
            given["resume"] = word == "--resume", word
        elif word.startswith("--") and equals:
            given[name] = _parsed(kinds.get(name, "str"), text), word
        elif word.startswith("-"):
            faults.append(f"{word}: options are written --key=value")
    return given


def _parsed(kind: str, text: str) -> Any:
    """What a word of the command line means for a field of that kind; text that means nothing stays text, and will not fit."""
    try:
        if kind == "bool":
            return {"true": True, "false": False}.get(text, text)
        return {"int": int, "float": float, "str": str}[kind](text)
    except ValueError:
        return text


def from_file(path: str, env: Mapping[str, str], faults: list[str]) -> Given:
    """The keys of a file, with variables of the environment put into its texts.

    Raises:
        ConfigError: it is no TOML file, or cannot be read.
    """
    if not path.endswith(".toml"):
        raise ConfigError([f"{path}: a configuration is a TOML file"])
    try:
        text = Path(path).read_text("utf-8")
        data = tomllib.loads(text)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        where = f"{path}:{found[1]}:{found[2]}" if found else path
        raise ConfigError([f"{where}: no valid TOML: {str(error).split(' (at ')[0]}"]) from None
    lines: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if key := re.match(r"\s*\[?([A-Za-z0-9_\-]+)\]?\s*(=|$)", line):
            lines.setdefault(key[1], f"{path}:{number}")
    given = {}
    for name, value in data.items():
        where = lines.get(name, path)
        given[name] = (_expand(value, where, env, faults) if isinstance(value, str) else value), where
    return given


def _expand(text: str, where: str, env: Mapping[str, str], faults: list[str]) -> str:
    """The text with `${NMOE_X}` and `${NMOE_X:-default}` replaced, once."""

    def value(found: re.Match[str]) -> str:
        name, default = found[1], found[2]
        if not re.fullmatch(r"NMOE_[A-Z0-9_]+", name):
            faults.append(f"{where}: ${{{name}}} cannot be used here; only variables that begin with NMOE_ can")
        elif name in env:
            return env[name]
        elif default is None:
            faults.append(f"{where}: ${{{name}}} is not set; export {name}=..., or write ${{{name}:-default}}")
        return default or ""

    return re.sub(r"\$\{([^}:]*)(?::-([^}]*))?\}", value, text)
