"""The grammar of the command line.  Imports nothing but argparse: `--help` must not wait for the rest."""

from __future__ import annotations

import argparse

__all__ = ["VERBS", "make_parser"]

#: verb -> (module, one line of help)
VERBS = {
    "build": ("build", "prove gates: what is proven already is not run again"),
    "affected": ("affected", "what a diff invalidates, and why"),
    "why": ("why", "why a target is affected, or why it is not proven"),
    "plan-merges": ("plan_merges", "the order in which contracts can land, and what really conflicts"),
    "graph": ("graph", "the graph as text, JSON, DOT or Mermaid"),
    "query": ("query", "deps, rdeps, or all targets that match"),
    "results": ("results", "what is proven, by label or by commit"),
    "log": ("log", "the stored log of a gate"),
    "lint": ("lint", "check one file, or every declaration of the workspace"),
}


def _common(parser: argparse.ArgumentParser, formats: tuple[str, ...]) -> None:
    parser.add_argument("-C", dest="directory", default=argparse.SUPPRESS, metavar="DIR", help="work as if started in DIR")
    parser.add_argument("--format", choices=formats, default="text", help="what to print on stdout (default: text)")


def make_parser() -> argparse.ArgumentParser:
    """The parser of every verb."""
    parser = argparse.ArgumentParser(
        prog="nmoe-graph",
        description="Gates, contracts and merges of one repository as a content-addressed graph.",
        epilog="exit codes: 0 answered or all proven, 1 not proven or lint found something, 2 usage or declaration, "
        "3 machine or remote, 130 interrupted",
        allow_abbrev=False,
    )
    from .. import __version__

    parser.add_argument("--version", action="version", version=f"nmoe-graph {__version__}")
    parser.add_argument("-C", dest="directory", default=".", metavar="DIR", help="work as if started in DIR")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    def verb(name: str, formats: tuple[str, ...] = ("text", "json")) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=VERBS[name][1], description=VERBS[name][1], allow_abbrev=False)
        _common(sub, formats)
        return sub

    build = verb("build")
    build.add_argument(
        "labels", nargs="+", metavar="LABEL", help="gates, bundles, contracts, actions or patterns; subtract with -- -//x:y"
    )
    build.add_argument("--at", metavar="REF", help="prove this commit instead of the work tree")
    build.add_argument("--keep-going", "-k", action="store_true", help="go on after a failure")
    build.add_argument("--jobs", "-j", type=_positive, metavar="N", help="gates at once (default: up to 4)")
    build.add_argument("--dry-run", "-n", action="store_true", help="say what would run")
    build.add_argument("--no-cache", action="store_true", help="run also what is proven")

    affected = verb("affected", ("text", "json", "label"))
    affected.add_argument("--since", metavar="REF", help="compare with the merge base with REF (default: the workspace's base)")
    affected.add_argument("--at", metavar="REF", help="the newer side (default: the work tree)")
    affected.add_argument(
        "--kind", default="gate", metavar="K,K", help="gate, bundle, contract, merge, files, python, action, or all (default: gate)"
    )

    why = verb("why")
    why.add_argument("label", metavar="LABEL")
    why.add_argument("--since", metavar="REF", help="explain the change since the merge base with REF")
    why.add_argument("--at", metavar="REF")

    plan = verb("plan-merges")
    plan.add_argument("contracts", nargs="*", metavar="CONTRACT", help="contract ids (default: all)")
    plan.add_argument(
        "--branch", action="append", default=[], metavar="ID=REF", help="take this ref for a contract (default: issue/ID-SLUG)"
    )
    plan.add_argument("--base", metavar="REF", help="what everything lands on (default: the workspace's base)")
    plan.add_argument("--at", metavar="REF", help="read the contracts at this commit (default: the work tree)")

    graph = verb("graph", ("text", "json", "dot", "mermaid", "label"))
    graph.add_argument("labels", nargs="*", metavar="LABEL", help="only these and what they need (default: everything)")
    graph.add_argument("--at", metavar="REF")

    query = verb("query", ("text", "json", "label"))
    query.add_argument(
        "words", nargs="+", metavar="deps|rdeps LABEL...", help="what targets need, who needs them; or just patterns"
    )
    query.add_argument("--kind", default="all", metavar="K,K")
    query.add_argument("--direct", action="store_true", help="one step only")
    query.add_argument("--at", metavar="REF")

    results = verb("results")
    results.add_argument(
        "what", nargs="?", metavar="LABEL|COMMIT", help="a label, a commit or a unique prefix of one (default: all)"
    )
    results.add_argument("--at", metavar="REF")

    log = verb("log")
    log.add_argument("label", metavar="LABEL")
    log.add_argument("--at", metavar="REF")
    log.add_argument("--raw", action="store_true", help="the bytes as they were written; not for a terminal")

    lint = verb("lint")
    lint.add_argument("kind", nargs="?", choices=("contract", "issue", "gates", "build", "attestation"), metavar="KIND")
    lint.add_argument("file", nargs="?", metavar="FILE")
    lint.add_argument("--gates", metavar="FILE", help="the gates that FILE may name")
    lint.add_argument("--contract", metavar="FILE", help="the contract that an attestation answers")
    return parser


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 1 <= value <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of jobs from 1 to 1024")
    return value
