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
    "merge": ("merge", "land contracts, on a local branch or on GitHub, once all that they need is proven"),
    "graph": ("graph", "the graph as text, JSON, DOT or Mermaid"),
    "query": ("query", "deps, rdeps, or all targets that match"),
    "results": ("results", "what is proven, by label or by commit; gc, verify, export, import, push, pull"),
    "log": ("log", "the stored log of a gate"),
    "audit": ("audit", "damage the inputs of gates, and see which gates cannot fail"),
    "lint": ("lint", "check one file, or every declaration of the workspace"),
    "contract": ("contract", "work items: new, check, sync, worktree, status"),
    "pr": ("pr", "pull requests: create, verify, update"),
    "tier-b": ("tier_b", "prove a pull request's merge on the B200 runners: run, approve; job and report are for the workflow"),
    "sign": ("sign", "sign a statement"),
    "attest": ("attest", "write a pull request's block from recorded results"),
    "verify": ("verify", "what a statement, a note or a pull request's block proves, line by line"),
    "safe": ("safe", "what in a text must not be public: hosts, addresses, paths, clusters, credentials"),
}

_AT = "as this commit has it (default: the work tree)"
_KINDS = "gate, bundle, contract, merge, files, python, toolchain, action"
_LINTED = ("contract", "issue", "gates", "build", "attestation", "log")


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
    build.add_argument(
        "--trusted", metavar="BASE", help="every definition is BASE's, only the inputs are the change's: for runners"
    )
    build.add_argument("--keep-going", "-k", action="store_true", help="go on after a failure")
    build.add_argument("--jobs", "-j", type=_positive, metavar="N", help="gates at once (default: up to 4)")
    build.add_argument("--dry-run", "-n", action="store_true", help="say what would run")
    build.add_argument(
        "--executor",
        choices=("local", "github"),
        help="where gates run that need another machine: on the runners, for the pull request of this commit (default: as "
        "[workspace] executors says)",
    )
    build.add_argument("--no-cache", action="store_true", help="run also what is proven")

    affected = verb("affected", ("text", "json", "label"))
    affected.add_argument("--since", metavar="REF", help="compare with the merge base with REF (default: the workspace's base)")
    affected.add_argument("--at", metavar="REF", help="the newer side (default: the work tree)")
    affected.add_argument(
        "--kind",
        default="gate",
        metavar="K,K",
        help=f"{_KINDS}, or all (default: gate)",
    )

    why = verb("why")
    why.add_argument("label", metavar="LABEL", help="a gate, a bundle, a contract, or any other target")
    why.add_argument("--since", metavar="REF", help="explain the change since the merge base with REF")
    why.add_argument("--at", metavar="REF", help=_AT)

    plan = verb("plan-merges")
    plan.add_argument("contracts", nargs="*", metavar="CONTRACT", help="contract ids (default: all)")
    plan.add_argument(
        "--branch", action="append", default=[], metavar="ID=REF", help="take this ref for a contract (default: issue/ID-SLUG)"
    )
    plan.add_argument("--base", metavar="REF", help="what everything lands on (default: the workspace's base)")
    plan.add_argument("--at", metavar="REF", help="read the contracts at this commit (default: the work tree)")
    plan.add_argument("--objective", choices=("gpu", "time"), default="gpu", help="what counts first (default: gpu, GPU-minutes)")
    plan.add_argument("--runners", type=_positive, default=1, metavar="N", help="gates that run at once (default: 1)")
    plan.add_argument("--max-batch", type=_positive, default=0, metavar="N", help="at most N contracts in a batch")
    plan.add_argument(
        "--risk", action="append", default=[], metavar="ID=P", help="the chance that a contract fails (default: by its risk class)"
    )
    plan.add_argument(
        "--after-failure", metavar="ID,ID", help="a train that failed: what to test next, from the results that are stored"
    )

    merge = verb("merge")
    merge.add_argument("contracts", nargs="*", metavar="CONTRACT", help="contract ids (default: the plan's first batch)")
    merge.add_argument("--train", action="store_true", help="land them together: their tip is what must be proven")
    merge.add_argument("--dry-run", "-n", action="store_true", help="say what would land")
    merge.add_argument("--prove", action="store_true", help="first run the gates that lack a proof at the tree to land")
    merge.add_argument("--branch", action="append", default=[], metavar="ID=REF", help="take this ref for a contract")
    merge.add_argument("--base", metavar="BRANCH", help="the local branch to land on (default: that of the workspace's base)")

    merge.add_argument("--github", action="store_true", help="land the pull requests on GitHub instead of a local branch")
    merge.add_argument(
        "--match-head", metavar="SHA", help="with --github and one contract: land only this head, which is the one that you read"
    )
    merge.add_argument(
        "--exact",
        action="store_true",
        help="with --github: push what was tested, and only onto the base that it was tested on; GitHub then shows a squash as "
        "closed, not as merged",
    )
    _github(merge)

    graph = verb("graph", ("text", "json", "dot", "mermaid", "label"))
    graph.add_argument("labels", nargs="*", metavar="LABEL", help="only these and what they need (default: everything)")
    graph.add_argument("--at", metavar="REF", help=_AT)

    query = verb("query", ("text", "json", "label"))
    query.add_argument(
        "words", nargs="+", metavar="deps|rdeps LABEL...", help="what targets need, who needs them; or just patterns"
    )
    query.add_argument("--kind", default="all", metavar="K,K", help=f"only these: {_KINDS} (default: all)")
    query.add_argument("--direct", action="store_true", help="one step only")
    query.add_argument("--at", metavar="REF", help=_AT)

    results = verb("results")
    results.add_argument(
        "words",
        nargs="*",
        metavar="LABEL|COMMIT|VERB",
        help="a label, or a commit, a tree or an action key, whole or a unique prefix (default: all); or gc, verify, "
        "export [LABEL|COMMIT], import FILE..., push [REMOTE], pull [REMOTE]",
    )
    results.add_argument("--at", metavar="REF", help=_AT)
    results.add_argument("--max-size", metavar="SIZE", help="gc: remove the oldest until the store is this small: 500M, 20G")
    results.add_argument("--max-age", metavar="AGE", help="gc: remove what is older: 12h, 30d; newest proofs do not age")
    results.add_argument("--contract", metavar="ID", help="export, push: the contract that was worked on")
    results.add_argument(
        "--as",
        dest="namespace",
        choices=("pr", "trusted"),
        default="pr",
        help="export, push: whose results these are (default: pr)",
    )
    results.add_argument("--base", metavar="REF", help="export, push: whose definitions were used (default: the workspace's base)")
    _signing(results)

    log = verb("log")
    log.add_argument("label", metavar="LABEL", help="a gate that has run here")
    log.add_argument("--at", metavar="REF", help=_AT)
    log.add_argument("--raw", action="store_true", help="the bytes as they were written; not for a terminal")

    audit = verb("audit")
    audit.add_argument("labels", nargs="*", metavar="LABEL", help="gates, bundles or patterns (default: every gate)")
    audit.add_argument("--at", metavar="REF", help=_AT)
    audit.add_argument("--budget", type=_positive, default=20, metavar="N", help="damages tried a gate (default: 20)")
    audit.add_argument("--seed", type=int, default=0, metavar="N", help="which damages are drawn (default: 0)")
    audit.add_argument("--jobs", "-j", type=_positive, default=2, metavar="N", help="runs at once (default: 2)")

    lint = verb("lint")
    lint.add_argument("kind", nargs="?", choices=_LINTED, metavar="KIND", help=f"what FILE is: {', '.join(_LINTED)}")
    lint.add_argument(
        "file", nargs="?", metavar="FILE", help="- is stdin; without KIND and FILE: every declaration of the workspace"
    )
    lint.add_argument("--gates", metavar="FILE", help="the gates that FILE may name")
    lint.add_argument("--contract", metavar="FILE", help="the contract that an attestation answers")
    lint.add_argument("--gate", metavar="ID", help="log: read samples as this gate of --gates declares it")

    _tier_b(verbs.add_parser("tier-b", help=VERBS["tier-b"][1], description=VERBS["tier-b"][1], allow_abbrev=False))
    _pr(verbs.add_parser("pr", help=VERBS["pr"][1], description=VERBS["pr"][1], allow_abbrev=False))
    _contract(verbs.add_parser("contract", help=VERBS["contract"][1], description=VERBS["contract"][1], allow_abbrev=False))

    safe = verb("safe")
    safe.add_argument("paths", nargs="*", metavar="PATH", help="files and folders; - is stdin (default: -)")
    safe.add_argument(
        "--allow", action="append", default=[], metavar="WORD", help="may be public here, beside [public] allow of BUILD.toml"
    )
    safe.add_argument(
        "--second-opinion", choices=("detect-secrets",), metavar="TOOL", help="also ask detect-secrets, where it is installed"
    )

    sign = verb("sign", ("json",))
    sign.add_argument("file", metavar="FILE", help="a statement, as `results export` writes it; - is stdin")
    _signing(sign)

    attest = verb("attest")
    attest.add_argument("contract", metavar="CONTRACT", help="the id of a contract of the base, or a YAML file")
    attest.add_argument("--at", metavar="REF", help="the commit to attest (default: HEAD)")
    attest.add_argument("--base", metavar="REF", help="whose rules count (default: the workspace's base)")

    verify = verb("verify")
    verify.add_argument(
        "file", metavar="FILE", help="a signed statement, a note, an attestation or a pull request's body; - is stdin"
    )
    verify.add_argument("--commit", metavar="SHA", help="the commit that must be proven (default: the one that FILE names)")
    verify.add_argument("--base", metavar="REF", help="whose rules count (default: the workspace's base)")
    verify.add_argument("--contract", metavar="FILE", help="the contract that is answered (default: the base's)")
    outside = verify.add_argument_group("without a repository")
    outside.add_argument("--keys", action="append", default=[], metavar="FILE", help="public keys to trust: PEM or OpenSSH")
    outside.add_argument("--allowed-signers", metavar="FILE", help="an OpenSSH file of signers to trust")
    outside.add_argument("--principal", metavar="P", help="the signer that it must be")
    outside.add_argument("--namespace", metavar="N", help="the namespace of the signature (default: nmoe-gate-result)")
    outside.add_argument("--gates", metavar="FILE", help="the gates that it may name")
    return parser


def _actions(parser: argparse.ArgumentParser, actions: dict[str, str]) -> dict[str, argparse.ArgumentParser]:
    """A verb that has verbs of its own; all of them can name the remote that is the repository on GitHub."""
    subs = parser.add_subparsers(dest="action", metavar="|".join(actions), required=True)
    made = {}
    for name, words in actions.items():
        made[name] = subs.add_parser(name, help=words, description=words, allow_abbrev=False)
        _common(made[name], ("text", "json"))
    return made


def _github(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--remote", default="origin", metavar="NAME", help="the git remote that is on GitHub (default: origin)")
    parser.add_argument(
        "--repository", metavar="OWNER/NAME", help="the repository on GitHub (default: what the remote's URL names)"
    )


def _contract(parser: argparse.ArgumentParser) -> None:
    made = _actions(
        parser,
        {
            "new": "write a contract; on a terminal, what is missing is asked for",
            "check": "lint, closed world and public safety of contracts",
            "sync": "take the contracts that stand in GitHub's issues",
            "worktree": "a worktree on the contract's branch; safe to repeat",
            "status": "how far each contract is, and what to do next",
        },
    )
    new = made["new"]
    for flag, words in (
        ("--id", "its id, as text: 01, 03a"),
        ("--slug", "a few words for the branch: global-attention"),
        ("--kind", "feature, bugfix, perf, refactor or docs"),
        ("--risk", "hot, warm or cold"),
        ("--complexity", "S, M or L"),
        ("--title", "one line for people"),
        ("--perf-gate", "the perf gate of a budget"),
        ("--perf-metric", "its metric"),
        ("--baseline-ref", "what the budget compares with"),
        ("--budget-pct", "how far the metric may move, in percent"),
    ):
        new.add_argument(flag, metavar="TEXT", help=words)
    for flag, words in (
        ("--allow", "a glob of files that may change"),
        ("--deny", "a glob of files that must not"),
        ("--gate", "a gate that must pass"),
        ("--depends-on", "a contract that lands first; all: this one lands last"),
        ("--hotspot", "a file in which conflicts are expected"),
        ("--knob-add", "a knob that the change adds"),
        ("--knob-change", "a knob that the change changes"),
        ("--invariant", "a sentence that must stay true"),
    ):
        new.add_argument(flag, action="append", default=[], metavar="TEXT", help=f"{words}; may be given more than once")
    new.add_argument("--strategy", choices=("squash", "merge"), default="squash", help="how it lands (default: squash)")
    new.add_argument("--keep-branch", action="store_true", help="the branch stays after the landing")
    new.add_argument("--issue", action="store_true", help="also open the GitHub issue that holds it")
    new.add_argument("--dry-run", "-n", action="store_true", help="print the contract and write nothing")
    _github(new)
    check = made["check"]
    check.add_argument("paths", nargs="*", metavar="FILE|ID", help="contract files, issue bodies (.md), or ids (default: all)")
    sync = made["sync"]
    sync.add_argument("--base", metavar="REF", help="whose rules say who may author (default: the workspace's base)")
    sync.add_argument("--push", action="store_true", help="also give the result to the remote, for clones without a token")
    sync.add_argument("--fetch", action="store_true", help="take what another clone pushed, and ask GitHub nothing")
    sync.add_argument("--dry-run", "-n", action="store_true", help="say what would change")
    _github(sync)
    tree = made["worktree"]
    tree.add_argument("contract", metavar="CONTRACT", help="the id of a contract")
    tree.add_argument("--base", metavar="REF", help="where the branch begins (default: the workspace's base)")
    tree.add_argument("--path", metavar="DIR", help="where the worktree goes (default: ../NAME-worktrees/issue-ID-SLUG)")
    status = made["status"]
    status.add_argument("contracts", nargs="*", metavar="CONTRACT", help="contract ids (default: all)")
    status.add_argument("--base", metavar="REF", help="whose rules count (default: the workspace's base)")
    status.add_argument("--offline", action="store_true", help="do not ask GitHub for pull requests")
    _github(status)


def _pr(parser: argparse.ArgumentParser) -> None:
    made = _actions(
        parser,
        {
            "create": "push a contract's branch and open its pull request, with the block of what is proven",
            "verify": "hold a pull request against contract, scope, gates and public safety",
            "update": "push what the branch gained, and write the block of what is proven now",
        },
    )
    made["create"].add_argument("contract", metavar="CONTRACT", help="the id of a contract of the base")
    made["create"].add_argument("--draft", action="store_true", help="open it as a draft")
    made["verify"].add_argument("number", type=_number, metavar="N", help="the number of a pull request")
    made["verify"].add_argument(
        "--tier",
        choices=("a", "ab"),
        default="ab",
        help="the tiers that must be proven: a alone, before tier b has run (default: ab)",
    )
    made["verify"].add_argument(
        "--report", action="store_true", help="say it on the pull request: a comment, and a check on its head"
    )
    made["update"].add_argument("number", type=_number, metavar="N", help="the number of a pull request")
    for one in made.values():
        one.add_argument("--base", metavar="REF", help="whose rules count (default: the branch that it would land on)")
        _github(one)


def _tier_b(parser: argparse.ArgumentParser) -> None:
    made = _actions(
        parser,
        {
            "run": "resolve, show what is proven, dispatch the rest, follow it and bring its proofs home",
            "approve": "say that a run which waits may use the machine, or that it may not",
            "job": "on the runner: rebuild the merge, assert it, prove (the inputs are in DISPATCH)",
            "report": "after the job: judge, sign, share, and say so on the pull request",
        },
    )
    for name in ("run", "approve"):
        made[name].add_argument("number", type=_number, metavar="PR", help="the number of a pull request")
        made[name].add_argument("--bundle", default="", metavar="B", help="the bundle to prove")
        made[name].add_argument("--gate", default="", metavar="ID", help="the one gate to prove")
    run = made["run"]
    run.add_argument("--rerun", action="store_true", help="dispatch again what ended and is not proven")
    run.add_argument("--no-wait", action="store_true", help="do not follow the run; the same command picks it up")
    run.add_argument(
        "--timeout", type=_positive, default=0, metavar="MINUTES", help="stop following after so long; the run goes on"
    )
    run.add_argument("--every", type=_positive, default=5, metavar="SECONDS", help="how often to look at the run (default: 5)")
    run.add_argument("--dry-run", "-n", action="store_true", help="say what would be dispatched")
    approve = made["approve"]
    approve.add_argument("--reject", action="store_true", help="it may not")
    approve.add_argument("--comment", default="", metavar="TEXT", help="what GitHub keeps beside the decision")
    approve.add_argument("--yes", action="store_true", help="do not ask")
    made["job"].add_argument("--gate-user", default="", metavar="USER", help="who runs the gates, by sudo (default: who runs this)")
    made["job"].add_argument("--out", required=True, metavar="DIR", help="the folder for what comes of it")
    made["report"].add_argument("folder", metavar="DIR", help="what the job handed on; it may be missing")
    made["report"].add_argument("--proved", default="", metavar="WORD", help="how the job ended, in GitHub's words")
    for one in made.values():
        _github(one)


def _number(text: str) -> int:
    """The number of a pull request: 12 or #12."""
    digits = text.removeprefix("#")
    if not (digits.isascii() and digits.isdigit()) or not 1 <= int(digits[:12]) < 10**9 or len(digits) > 9:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number of a pull request")
    return int(digits)


def _signing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", metavar="FILE", help="the Ed25519 key to sign with (default: NMOE_GRAPH_SIGN_KEY)")
    parser.add_argument("--form", choices=("dsse", "sshsig"), help="of the signature (default: dsse)")
    parser.add_argument(
        "--backend", choices=("cryptography", "ssh-keygen"), help="who signs; ssh-keygen can use a key of ssh-agent"
    )


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 1 <= value <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 1024")
    return value
