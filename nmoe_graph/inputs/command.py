"""What a command line says that it will read.

The shell grammar understood is small on purpose: simple commands joined by && || ; | or newlines, quotes, VAR=x prefixes,
$NAME of declared variables, redirections, `cd`.  Anything else makes the command "not understood", which is safe: its gate
then needs declared inputs, or takes the whole tree.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from .names import STANDARD

__all__ = ["Program", "Reads", "read_command"]

#: Stands in a word where a value is known only when the gate runs.
OPAQUE = "\0"

_QUIET = frozenset({"true", "false", ":", "echo", "printf", "exit", "set", "export", "mkdir", "sleep", "date", "unset"})
#: Programs that read the files they name, byte for byte, and nothing else.
_READERS = frozenset(
    {"test", "[", "cat", "head", "tail", "wc", "cmp", "diff", "sort", "uniq", "cut", "tr", "grep", "egrep", "fgrep", "sha256sum"}
)
_PYTHON = re.compile(r"python(3(\.\d+)?)?\Z")
_ASSIGN = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)\Z", re.DOTALL)
_PYTHON_WITH_VALUE = {"-W", "-X", "--check-hash-based-pycs"}
_TORCHRUN_FLAGS = {"--standalone", "--no-python", "--no_python", "--run-path", "--run_path", "--tee-all"}
_COMPILEALL_WITH_VALUE = {"-d", "-s", "-p", "-x", "-r", "-j", "-o", "-e", "--invalidation-mode", "--workers"}
_PYTEST_WITH_VALUE = {
    "-k",
    "-m",
    "-n",
    "-W",
    "-r",
    "--tb",
    "--dist",
    "--maxfail",
    "--durations",
    "--junitxml",
    "--import-mode",
    "--basetemp",
    "--color",
    "--deselect",
    "--ignore",
    "--cov",
    "--cov-report",
    "--timeout",
}
_PYTEST_ELSEWHERE = {"-c", "--config-file", "--rootdir", "--confcutdir", "-o", "--override-ini", "--pyargs"}
#: Modules of the standard library that nothing in it imports, and that can be run.
_MORE_STANDARD = frozenset({"test", "this", "antigravity", "idlelib", "turtledemo", "turtle", "lib2to3"})


@dataclass(frozen=True, slots=True)
class Program:
    """A Python program that the command starts."""

    how: str  # module, script, code, entry, compileall, pytest
    what: str  # dotted name, path, or source text
    cwd: str
    roots: tuple[str, ...]  # folders of the workspace on sys.path, first first
    paths: tuple[str, ...] = ()  # what compileall or pytest are told to look at
    startup: bool = False  # whether a search path is declared from which Python imports sitecustomize
    plugins: tuple[str, ...] = ()  # modules that pytest is told to load
    env: tuple[tuple[str, str], ...] = ()  # of what the command sets itself: the variables that pytest reads


@dataclass(slots=True)
class Reads:
    """Everything that a command line names.  Paths are relative to the workspace root."""

    programs: list[Program] = field(default_factory=list)
    words: list[str] = field(default_factory=list)  # candidates for workspace paths among the arguments
    exact_words: list[str] = field(default_factory=list)  # the same, for readers that see bytes
    must_exist: list[str] = field(default_factory=list)
    strange: list[Program] = field(default_factory=list)  # commands that nobody knows, unless the workspace declares them
    not_understood: str = ""  # why, in words; empty when all is understood

    def give_up(self, why: str) -> None:
        self.not_understood = self.not_understood or why


def _is_test_bracket(text: str, at: int) -> bool:
    """`[ -f x ]`: brackets that stand alone are a command and its last word, no pattern."""
    return text[at] in "[]" and text[at - 1 : at] in ("", " ", "\n") and text[at + 1 : at + 2] in ("", " ", "\n", ";", "&")


def _split(text: str, known: Mapping[str, str]) -> list[tuple[str, str]] | str:
    """Shell text to ("word"|"op", text) tokens, or the reason why it is beyond us."""
    tokens: list[tuple[str, str]] = []
    opaque: set[str] = set()  # NAME=x in the command, and $NAME later: what it is then is beyond us
    word: list[str] | None = None
    at, end = 0, len(text)

    def variable(at: int) -> tuple[str, int] | None:
        found = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))").match(text, at)
        if not found:
            return None
        name = found[1] or found[2]
        if name not in known and any(kind == "word" and word.startswith(f"{name}=") for kind, word in tokens):
            opaque.add(name)
        return known.get(name, OPAQUE), found.end()

    while at < end:
        char = text[at]
        if char in " \t":
            if word is not None:
                tokens.append(("word", "".join(word)))
                word = None
            at += 1
        elif char == "\\":
            if text[at + 1 : at + 2] != "\n":
                word = (word or []) + [text[at + 1 : at + 2]]
            at += 2
        elif char == "'":
            close = text.find("'", at + 1)
            if close < 0:
                return "a quote is not closed"
            word = (word or []) + [text[at + 1 : close]]
            at = close + 1
        elif char == '"':
            word = word or []
            at += 1
            while at < end and text[at] != '"':
                if text[at] == "\\" and text[at + 1 : at + 2] in ('"', "\\", "$", "`", "\n"):
                    word.append("" if text[at + 1] == "\n" else text[at + 1])
                    at += 2
                elif text[at] == "$" and (got := variable(at)):
                    word.append(got[0])
                    at = got[1]
                elif text[at] in "$`":
                    return "it substitutes a command or an expression"
                else:
                    word.append(text[at])
                    at += 1
            if at >= end:
                return "a quote is not closed"
            at += 1
        elif char == "$":
            got = variable(at)
            if not got:
                return "it substitutes a command or an expression"
            word = (word or []) + [got[0]]
            at = got[1]
        elif char == "#" and word is None:
            newline = text.find("\n", at)
            at = end if newline < 0 else newline
        elif char in "&|;\n<>":
            if word is not None and not (char in "<>" and "".join(word).isdigit()):
                tokens.append(("word", "".join(word)))
            word = None
            found = re.compile(r"&&|\|\||;|\n|\||>>|>&\d|&>|>|<").match(text, at)
            if not found or text[at : at + 2] in ("<<", "<(", ">("):
                return f"{text[at : at + 2]!r} is beyond what is read here"
            tokens.append(("op", found[0]))
            at = found.end()
        elif char in "(){}`*?[]~" and not (word is not None and char in "}]~") and not _is_test_bracket(text, at):
            return f"{char!r} is beyond what is read here"
        else:
            word = (word or []) + [char]
            at += 1
    if word is not None:
        tokens.append(("word", "".join(word)))
    return f"it sets {min(opaque)} and uses it" if opaque else tokens


def _inside(cwd: str, path: str) -> str | None:
    """A path of the command as a path of the workspace; None where it leaves it or is not known."""
    if OPAQUE in path or path.startswith(("/", "~")) or not path:
        return None
    joined = posixpath.normpath(posixpath.join(cwd, path))
    return None if joined.startswith("..") else "" if joined == "." else joined


def _roots(cwd: str, first: str | None, pythonpath: str) -> tuple[str, ...]:
    found = [first] if first is not None else []
    for part in pythonpath.split(":") if pythonpath else ():
        root = _inside(cwd, part or ".")
        if root is not None:
            found.append(root)
    return tuple(dict.fromkeys(found))


def _arguments(reads: Reads, cwd: str, words: list[str], exact: bool) -> None:
    """Arguments that may name files: `a/b`, `--key=a/b`."""
    for word in words:
        for candidate in {word, word.partition("=")[2]} if word.startswith("-") else {word}:
            path = _inside(cwd, candidate)
            if path:
                (reads.exact_words if exact else reads.words).append(path)


def _module(reads: Reads, name: str, rest: list[str], cwd: str, roots: tuple[str, ...]) -> None:
    if name == "compileall":
        _tool(reads, "compileall", rest, cwd, roots, _COMPILEALL_WITH_VALUE, give_up=("-i",))
    elif name == "pytest":
        _pytest(reads, rest, cwd, roots)
    elif name == "py_compile":
        _tool(reads, "compileall", rest, cwd, roots, set())
    elif name == "unittest":
        names = [word for word in rest if not word.startswith("-")]
        if not names or names[0] == "discover" or any("/" in word for word in names):
            reads.give_up("unittest looks for its tests by itself")
        for dotted in names:
            reads.programs.append(Program("module", dotted, cwd, roots))
    elif name.partition(".")[0] in STANDARD | _MORE_STANDARD:
        reads.give_up(f"python -m {name} may read anything")
        _arguments(reads, cwd, rest, exact=True)
    else:
        reads.programs.append(Program("module", name, cwd, roots))
        _arguments(reads, cwd, rest, exact=False)


def _tool(
    reads: Reads, how: str, words: list[str], cwd: str, roots: tuple[str, ...], with_value: set[str], give_up: tuple[str, ...] = ()
) -> None:
    paths, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word in give_up:
            reads.give_up(f"{how} {word} takes its list from elsewhere")
        elif word.startswith("-"):
            skip = word in with_value
        else:
            path = _inside(cwd, word)
            if path is None:
                reads.give_up(f"{how} looks outside the workspace")
            else:
                paths.append(path)
    if not paths:
        reads.give_up(f"{how} without a path looks everywhere")
        return
    reads.must_exist += paths
    reads.programs.append(Program(how, "", cwd, roots, tuple(paths)))


def _pytest(reads: Reads, words: list[str], cwd: str, roots: tuple[str, ...]) -> None:
    plain: list[str] = []
    plugins: list[str] = []
    skip = ""
    for word in words:
        if skip == "-p" or (word.startswith("-p") and len(word) > 2):
            name = word if skip else word[2:].lstrip("=")
            if not name.startswith("no:"):
                plugins.append(name)
            skip = ""
        elif skip:
            skip = ""
        elif word == "-p" or word in _PYTEST_WITH_VALUE:
            skip = word
        elif word.partition("=")[0] in _PYTEST_ELSEWHERE or re.match(r"-[co].", word):
            reads.give_up(f"pytest {word.partition('=')[0]} has it look elsewhere")
        elif word.startswith("-"):
            continue
        else:
            path = _inside(cwd, word.partition("::")[0])
            if path is None:
                reads.give_up("pytest looks outside the workspace")
            else:
                plain.append(path)
    reads.must_exist += plain
    reads.programs.append(Program("pytest", "", cwd, roots, tuple(plain), plugins=tuple(plugins)))


def _python(reads: Reads, words: list[str], cwd: str, pythonpath: str) -> None:
    at, isolated, ignore_env = 0, False, False
    while at < len(words) and words[at].startswith("-") and words[at] != "-":
        word = words[at]
        if word.startswith("--"):
            at += 2 if word in _PYTHON_WITH_VALUE else 1
            continue
        flags = word[1:]
        for index, flag in enumerate(flags):
            isolated |= flag in "IP"
            ignore_env |= flag in "IE"
            if flag in "cm":
                value = flags[index + 1 :]
                rest = words[at + 1 :]
                if not value:
                    if not rest:
                        return
                    value, rest = rest[0], rest[1:]
                roots = _roots(cwd, None if isolated else cwd, "" if ignore_env else pythonpath)
                if OPAQUE in value:
                    reads.give_up("what it runs is known only at run time")
                elif flag == "m":
                    _module(reads, value, rest, cwd, roots)
                else:
                    reads.programs.append(Program("code", value, cwd, roots))
                    _arguments(reads, cwd, rest, exact=False)
                return
            if flag in "WX":
                if index == len(flags) - 1:
                    at += 1
                break
        at += 1
    if at >= len(words) or words[at] == "-":
        reads.give_up("python reads its program from standard input" if at < len(words) else "python without a program")
        return
    _script(reads, words[at], words[at + 1 :], cwd, pythonpath, isolated, ignore_env)


def _script(
    reads: Reads, script: str, rest: list[str], cwd: str, pythonpath: str, isolated: bool = False, ignore_env: bool = False
) -> None:
    path = _inside(cwd, script)
    if path is None:
        reads.give_up("the program lies outside the workspace")
        return
    reads.must_exist.append(path)
    folder = posixpath.dirname(path)
    roots = _roots(cwd, None if isolated else folder, "" if ignore_env else pythonpath)
    reads.programs.append(Program("script", path, cwd, roots))
    _arguments(reads, cwd, rest, exact=False)


def _torchrun(reads: Reads, words: list[str], cwd: str, pythonpath: str) -> None:
    at = 0
    while at < len(words) and words[at].startswith("-"):
        word = words[at]
        if word in ("-m", "--module"):
            rest = words[at + 1 :]
            # torchrun's workers run `python -m`, with the working folder on sys.path.
            if rest and OPAQUE not in rest[0]:
                _module(reads, rest[0], rest[1:], cwd, _roots(cwd, cwd, pythonpath))
            else:
                reads.give_up("what torchrun runs is known only at run time")
            return
        if word in ("--no-python", "--no_python"):
            reads.give_up("torchrun starts a program that is no Python")
        at += 1 if "=" in word or word in _TORCHRUN_FLAGS else 2
    if at >= len(words):
        reads.give_up("torchrun without a program")
        return
    _script(reads, words[at], words[at + 1 :], cwd, pythonpath)


def _simple(reads: Reads, words: list[str], cwd: str, env: dict[str, str], scripts: Collection[str]) -> str:
    """One simple command; returns the working folder after it."""
    env = dict(env)
    before = len(reads.programs)
    while words and (found := _ASSIGN.match(words[0])):
        env[found[1]] = found[2]
        words = words[1:]
    if words and words[0] == "env":
        words = words[1:]
        while words and (found := _ASSIGN.match(words[0])):
            env[found[1]] = found[2]
            words = words[1:]
        if words and words[0].startswith("-"):
            reads.give_up("env with options")
            return cwd
    if words and words[0] == "!":
        words = words[1:]
    if not words:
        return cwd
    name, rest = words[0], words[1:]
    if name == "exec" and rest:
        name, rest = rest[0], rest[1:]
    pythonpath = env.get("PYTHONPATH", "")
    if name == "cd":
        inside = _inside(cwd, rest[0]) if len(rest) == 1 else None
        if inside is None:
            reads.give_up("it changes to a folder outside the workspace")
            return cwd
        reads.must_exist.append(inside)
        return inside
    if name in _QUIET:
        if (name, rest[:1]) == ("printf", ["-v"]):
            reads.give_up("printf sets a variable")
        return cwd
    if name in _READERS:
        if "grep" in name and any(re.match(r"-\w*[rRf]|--(dereference-)?recursive|--file", word) for word in rest):
            reads.give_up(f"{name} looks for its files by itself")
        if any(re.match(r"-\w*c|--check", word) for word in rest if name == "sha256sum") or any(
            "files0-from" in word for word in rest
        ):
            reads.give_up(f"{name} takes its files from a list")
        _arguments(reads, cwd, [word for word in rest if word != "]"], exact=True)
    elif _PYTHON.match(name):
        _python(reads, rest, cwd, pythonpath)
    elif name == "torchrun":
        _torchrun(reads, rest, cwd, pythonpath)
    elif name in scripts:
        reads.programs.append(Program("entry", name, cwd, _roots(cwd, None, pythonpath)))
        _arguments(reads, cwd, rest, exact=False)
    elif name in ("pytest", "py.test"):
        _pytest(reads, rest, cwd, _roots(cwd, None, pythonpath))
    else:
        reads.give_up(f"{name.replace(OPAQUE, '$...')} may read anything")
        reads.strange.append(Program("entry", name, cwd, _roots(cwd, None, pythonpath)))
        _arguments(reads, cwd, words, exact=True)
    for number in range(before, len(reads.programs)):
        one = reads.programs[number]
        variables = tuple((key, env[key]) for key in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS") if one.how == "pytest" and env.get(key))
        if any(OPAQUE in value for _, value in variables):
            reads.give_up("what pytest is told is known only at run time")
        startup = bool(set(_roots(cwd, None, pythonpath)) & set(one.roots))
        reads.programs[number] = replace(one, startup=startup, env=variables)
    return cwd


#: Commands that succeed, so that what follows them after && surely runs; a `cd` does because its folder must be there.
_SURE = frozenset({"true", ":", "cd", "export", "set", "echo", "printf", "unset"})


def read_command(cmd: str, env: Mapping[str, str] | None = None, scripts: Collection[str] = ()) -> Reads:
    """Read a command line.

    `env` holds the declared variables whose values are known, `scripts` the command words that the workspace declares.
    """
    reads = Reads()
    known = dict(env or {})
    tokens = _split(cmd, known)
    if isinstance(tokens, str):
        reads.give_up(tokens)
        return reads
    cwd, words = "", list[str]()
    exported = dict(known)
    index, before = 0, ";"
    doubtful = strayed = False  # in a chain of &&: a command may fail; and a `cd` hangs on that
    while index <= len(tokens):
        kind, text = tokens[index] if index < len(tokens) else ("op", ";")
        if kind == "word":
            words.append(text)
        elif text in (">", ">>", "<", "&>"):
            index += 1
            target = tokens[index] if index < len(tokens) else ("op", "")
            if target[0] != "word":
                reads.give_up("a redirection names nothing")
            elif text == "<":
                _arguments(reads, cwd, [target[1]], exact=True)
        elif not text.startswith(">&"):
            if words and words[0] == "export":
                exported.update(found.groups() for word in words[1:] if (found := _ASSIGN.match(word)))  # type: ignore[misc]
            if words and words[0] == "cd" and {before, text} & {"|", "||"}:
                reads.give_up("it may or may not change its folder")
            if words and strayed and before != "&&":
                reads.give_up("it may or may not change its folder")
            if words:
                doubtful = doubtful if before == "&&" else False
                strayed = strayed or (words[0] == "cd" and doubtful)
                plain = next((word for word in words if not _ASSIGN.match(word)), "true")
                doubtful = doubtful or plain not in _SURE
                cwd = _simple(reads, words, cwd, exported, scripts)
            words, before = [], text
        index += 1
    return reads
