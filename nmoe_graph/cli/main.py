"""Parse, run one verb, map every failure to one clear message and its exit code."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from ..errors import NmoeGraphError, UsageError, did_you_mean, printable, render_faults
from .parser import VERBS, make_parser
from .streams import mute_stdout, prepare

__all__ = ["main"]


class _Stop(Exception):
    """The parser has printed what it had to; the exit code is all that is left."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    gc.set_threshold(100_000, 20, 50)  # records that live until the answer is given are not worth walking again and again
    prepare()
    try:
        return _run(args)
    except NmoeGraphError as error:
        return _say(args, error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201
        return 130
    except BrokenPipeError:
        # The reader of our output has gone; nothing that we could still say would reach anybody.
        mute_stdout()
        return 141
    except RecursionError:
        return _say(args, UsageError("something is nested too deep to be read"))
    except OSError as error:
        from ..errors import HostError

        name = f": {printable(str(error.filename))}" if error.filename else ""
        return _say(args, HostError(f"{error.strerror or 'the system refused'}{name}"))


def _run(args: list[str]) -> int:
    from importlib import import_module

    parser = make_parser()
    first = next((one for one in args if not one.startswith("-")), None)
    if first is not None and args[0] == first and first not in VERBS:
        raise UsageError(
            f"there is no verb {printable(first, limit=60)!r}", hint=did_you_mean(first, VERBS) or f"verbs: {', '.join(VERBS)}"
        )
    try:
        options, left = parser.parse_known_args(args)
        # argparse gives a list of words up at the first flag; what follows the flag belongs to it too.
        words = next((name for name in ("labels", "words", "contracts", "paths") if hasattr(options, name)), None)
        if left and (words is None or any(one.startswith("-") for one in left)):
            verb = f"{options.verb} {getattr(options, 'action', '')}".strip()
            taken_out = any(one.startswith("-") and ":" in one for one in left) and words == "labels"
            raise UsageError(
                f"unrecognized arguments: {' '.join(printable(one, limit=60) for one in left)}",
                hint="what is taken out stands behind --, as in //gates:full -- -b200:profile"
                if taken_out
                else f"nmoe-graph {verb} --help lists what it takes",
            )
        if words is not None:
            getattr(options, words).extend(left)
    except SystemExit as stop:
        sys.stdout.flush()
        return 2 if stop.code not in (0, None) else 0
    module = import_module(f"nmoe_graph.cli.{VERBS[options.verb][0]}")
    code: int = module.run(options)
    sys.stdout.flush()
    return code


def _say(args: Sequence[str], error: NmoeGraphError) -> int:
    """The error: for people on stderr, and for programs that asked for JSON also on stdout."""
    wants_json = any(one == "--format=json" or (one == "json" and args[at - 1] == "--format") for at, one in enumerate(args))
    try:
        print(render_faults(error.faults), file=sys.stderr)  # noqa: T201
        if wants_json:
            from ..report.console import json_text

            document = {
                "schema": "nmoe-graph/error@1",
                "exit_code": error.exit_code,
                "faults": [fault.to_dict() for fault in error.faults[:50]],
            }
            print(json_text(document))  # noqa: T201
        sys.stdout.flush()
    except OSError:  # its reader has gone, or what is wrong is stdout itself
        mute_stdout()
    return error.exit_code
