"""The workflows of `.github/`: clean by three linters, and by rules of our own, each of which can fail."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from nmoe_graph.cli.parser import make_parser

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / ".github"
NAMES = ("tier-a.yml", "tier-b.yml", "build-runner.yml")
Workflow = dict[str, Any]
LINTERS = {
    "zizmor": ["--offline", "--strict-collection", "--no-progress", "--persona=auditor", ".github"],
    "check-jsonschema": ["--builtin-schema", "vendor.github-workflows"],
    "actionlint": [],
}
DEFAULT_BRANCH = "github.ref == format('refs/heads/{0}', github.event.repository.default_branch)"


def read(text: str) -> Workflow:
    """Everything as written: YAML 1.1 would read the key `on` as true."""
    found = yaml.load(text, yaml.BaseLoader)
    assert isinstance(found, dict)
    return found


def workflow(name: str) -> Workflow:
    return read((GITHUB / "workflows" / name).read_text())


def steps(flow: Workflow) -> Iterator[tuple[str, dict[str, Any]]]:
    for job, body in flow["jobs"].items():
        for step in body["steps"]:
            yield job, step


# -- rules for every workflow ------------------------------------------------------------------------------------------


def no_expression_in_a_script(flow: Workflow) -> list[str]:
    """What GitHub pastes into a script is code; through the environment it stays text."""
    return [f"{job}: {step['run']}" for job, step in steps(flow) if "${{" in step.get("run", "")]


def one_line_a_script(flow: Workflow) -> list[str]:
    """Logic lives in the package, where tests reach it."""
    joined = re.compile(r"\n.|&&|\|\||;|\bif\b|\bfor\b")
    return [f"{job}: {step['run']}" for job, step in steps(flow) if joined.search(step.get("run", ""))]


def actions_by_commit(flow: Workflow) -> list[str]:
    """A tag can be moved, a commit cannot."""
    return [step["uses"] for _, step in steps(flow) if "uses" in step and not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"])]


def no_credentials_kept(flow: Workflow) -> list[str]:
    """A checkout leaves no token in the configuration of git."""
    checkouts = [step for _, step in steps(flow) if step.get("uses", "").startswith("actions/checkout@")]
    return [step["name"] for step in checkouts if step.get("with", {}).get("persist-credentials") != "false"]


def runs_do_not_pile_up(flow: Workflow) -> list[str]:
    """Every workflow has a group; one that queues keeps everybody who waits."""
    group = flow.get("concurrency", {})
    if not group.get("group"):
        return ["no concurrency group"]
    queues = group.get("cancel-in-progress") == "true" or group.get("queue") == "max"
    return [] if queues else ["a run that waits would be cancelled silently"]


def limits_on_time(flow: Workflow) -> list[str]:
    return [job for job, body in flow["jobs"].items() if not int(body.get("timeout-minutes", 0))]


def least_permissions(flow: Workflow) -> list[str]:
    """Nothing is written by default; who writes says so by name."""
    given = [flow.get("permissions", "unset")] + [body.get("permissions", {}) for body in flow["jobs"].values()]
    wide = [str(one) for one in given if not isinstance(one, dict)]
    return wide or [f"{key}: write, for all jobs" for key, value in given[0].items() if value == "write"]


EVERYWHERE: tuple[Callable[[Workflow], list[str]], ...] = (
    no_expression_in_a_script,
    one_line_a_script,
    actions_by_commit,
    no_credentials_kept,
    runs_do_not_pile_up,
    limits_on_time,
    least_permissions,
)


# -- rules for tier b --------------------------------------------------------------------------------------------------


def prove_has_nothing(flow: Workflow) -> list[str]:
    """The job that runs the change: no permission, no secret, no token, behind the environment that asks a maintainer."""
    job = flow["jobs"]["prove"]
    text = json.dumps(job)
    wrong = [] if job.get("permissions") == {} else [f"permissions: {job.get('permissions')}"]
    wrong += [word for word in ("secrets.", "github.token", "GH_TOKEN", "GITHUB_TOKEN") if word in text]
    wrong += [] if job.get("environment") == "b200-gates" else ["no approval"]
    return wrong + ([] if job["runs-on"] == "b200" else [job["runs-on"]])


def code_of_the_default_branch(flow: Workflow) -> list[str]:
    """No input chooses what either job checks out and installs; neither job runs for another branch's workflow."""
    wrong = []
    for job, body in flow["jobs"].items():
        wrong += [] if DEFAULT_BRANCH in body.get("if", "") else [f"{job} runs on any branch"]
        checkouts = [step for step in body["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        wrong += [f"{job}: {one['with'].get('ref')}" for one in checkouts if one["with"].get("ref") != "${{ github.sha }}"]
        wrong += [] if len(checkouts) == 1 else [f"{job}: {len(checkouts)} checkouts"]
    return wrong


def report_is_hosted(flow: Workflow) -> list[str]:
    """The job with the key: GitHub's machine, no commit of the change, whatever became of the first job."""
    job = flow["jobs"]["report"]
    wrong = [] if job["runs-on"].startswith("ubuntu-") else [f"runs on {job['runs-on']}"]
    wrong += [] if job.get("needs") == "prove" and "always()" in job.get("if", "") else ["it may not run"]
    wrong += [step["run"] for step in job["steps"] if re.search(r"\bgit\b|HEAD_SHA", json.dumps(step.get("run", "")))]
    wrong += [step["name"] for step in job["steps"] if "inputs.head_sha" in json.dumps(step)]
    keyed = [step["name"] for step in job["steps"] if "secrets." in json.dumps(step)]
    wrong += [] if keyed == [job["steps"][-1]["name"]] else [f"the key is known to {keyed}"]
    wrong += [] if "environment" in job else ["the key is every workflow's"]
    writes = {key for key, value in job["permissions"].items() if value == "write"}
    return wrong + sorted(writes - {"contents", "checks", "pull-requests", "deployments"})


def bundles_of_the_base(flow: Workflow) -> list[str]:
    """The bundles that can be chosen are those that hold a gate of tier b, and `single`."""
    declared = tomllib.loads((ROOT / "configs/gates/gates.toml").read_text())
    tier_b = {bundle for bundle in declared["bundles"] if any(declared["gates"][gate]["tier"] == "b" for gate in gates_of(bundle))}
    offered = flow["on"]["workflow_dispatch"]["inputs"]["bundle"]["options"]
    wrong = sorted(tier_b ^ (set(offered) - {"single"})) + [one for one in offered if offered.count(one) > 1]
    return wrong + ([] if "single" in offered else ["no single"])


def what_an_approver_sees(flow: Workflow) -> list[str]:
    """The name of the run says what would run, on which commits, and holds the id by which it is found again."""
    shown = ("pr_number", "bundle", "single_gate", "head_sha", "base_sha", "merged_tree", "correlation")
    return [name for name in shown if f"inputs.{name} }}}}" not in flow["run-name"]]


def a_group_a_dispatch(flow: Workflow) -> list[str]:
    """A run that waits for approval holds up no other, and none is cancelled."""
    group = flow["concurrency"]
    wrong = [] if group["group"] == "tier-b-${{ inputs.correlation }}" else [group["group"]]
    return wrong + ([] if group["cancel-in-progress"] == "false" and group["queue"] == "max" else ["runs are cancelled"])


def time_for_the_longest(flow: Workflow) -> list[str]:
    """The largest bundle fits, every gate at its limit."""
    declared = tomllib.loads((ROOT / "configs/gates/gates.toml").read_text())
    longest = max(sum(declared["gates"][gate]["timeout_s"] for gate in gates_of(bundle)) for bundle in declared["bundles"])
    limit = int(flow["jobs"]["prove"]["timeout-minutes"]) * 60
    return [] if limit > longest else [f"{limit} s, and {longest} s are needed"]


def inputs_of_a_dispatch(flow: Workflow) -> list[str]:
    """At most 25; those that say what is tested must be given."""
    inputs = flow["on"]["workflow_dispatch"]["inputs"]
    needed = {"pr_number", "bundle", "head_sha", "base_sha", "merged_tree", "definitions_digest", "contract_digest", "contract"}
    required = {name for name, one in inputs.items() if one.get("required") == "true"}
    wrong = sorted((needed | {"correlation"}) ^ required) + sorted({"single_gate", "baseline_ref", "perf_budget_pct"} - set(inputs))
    return wrong + ([] if len(inputs) <= 25 else [f"{len(inputs)} inputs"])


TIER_B: tuple[Callable[[Workflow], list[str]], ...] = (
    prove_has_nothing,
    code_of_the_default_branch,
    report_is_hosted,
    bundles_of_the_base,
    what_an_approver_sees,
    a_group_a_dispatch,
    time_for_the_longest,
    inputs_of_a_dispatch,
)


def gates_of(bundle: str) -> set[str]:
    """The gates of a bundle, bundles in it followed."""
    bundles = tomllib.loads((ROOT / "configs/gates/gates.toml").read_text())["bundles"]
    return {gate for one in bundles[bundle] for gate in (gates_of(one) if one in bundles else {one})}


# -- the tests ---------------------------------------------------------------------------------------------------------


def test_there_are_no_other_workflows() -> None:
    """The rules below speak of all that there are."""
    assert sorted(path.name for path in (GITHUB / "workflows").iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rule", EVERYWHERE, ids=lambda rule: rule.__name__)
def test_every_workflow(name: str, rule: Callable[[Workflow], list[str]]) -> None:
    """What holds for all."""
    assert rule(workflow(name)) == []


@pytest.mark.parametrize("rule", TIER_B, ids=lambda rule: rule.__name__)
def test_tier_b(rule: Callable[[Workflow], list[str]]) -> None:
    """What holds for the one that runs other people's code."""
    assert rule(workflow("tier-b.yml")) == []


#: rule -> damages, each a pattern in tier-b.yml and what takes its place (once)
MUTANTS: dict[Callable[[Workflow], list[str]], list[tuple[str, str]]] = {
    no_expression_in_a_script: [(r'"\$HEAD_SHA"', "${{ inputs.head_sha }}")],
    one_line_a_script: [
        (r"run: (git fetch.*)", r"run: |\n          \1\n          true"),
        (r"run: (git fetch.*)", r"run: \1 && true"),
    ],
    actions_by_commit: [(r"checkout@\w{40}", "checkout@v4"), (r"upload-artifact@\w{32}", "upload-artifact@")],
    no_credentials_kept: [("persist-credentials: false", "persist-credentials: true"), (" +persist-credentials: false\n", "")],
    runs_do_not_pile_up: [("  queue: max\n", ""), (r"concurrency:\n(  .*\n)+", "")],
    limits_on_time: [("    timeout-minutes: 240\n", "")],
    least_permissions: [("permissions: {}", "permissions: write-all"), ("permissions: {}", "permissions: {contents: write}")],
    prove_has_nothing: [
        ("    permissions: {}\n", ""),
        ("    permissions: {}", "    permissions: {contents: read}"),
        ("          PYTHONPATH:", "          KEY: ${{ secrets.KEY }}\n          PYTHONPATH:"),
        ("          PYTHONPATH:", "          KEY: ${{ github.token }}\n          PYTHONPATH:"),
        ("    environment: b200-gates\n", ""),
        ("runs-on: b200", "runs-on: ubuntu-24.04"),
    ],
    code_of_the_default_branch: [
        (r"ref: \$\{\{ github.sha", "ref: ${{ inputs.base_sha"),
        (r"( +)ref: \$\{\{ github.sha \}\}\n", ""),
        ("always\\(\\) && github.ref == .*", "always()"),
        ("    if: github.ref == .*\n", ""),
    ],
    report_is_hosted: [
        ("runs-on: ubuntu-24.04", "runs-on: b200"),
        ("always\\(\\) && ", ""),
        ("    needs: prove\n", ""),
        (r"run: python -m pip install (.*)\[", r"run: git checkout head \1["),
        ("TIER_B_SIGN_KEY: .*\n        run", "A: b\n        run"),
        ("          python-version:", "          token: ${{ secrets.KEY }}\n          python-version:"),
        ("    environment: b200-report\n", ""),
        ("      checks: write", "      actions: write"),
    ],
    bundles_of_the_base: [("zero2_full, ", ""), ("full, single", "full, single, tier_a"), (", single]", "]")],
    what_an_approver_sees: [(r"tree \$\{\{ inputs.merged_tree \}\}", ""), (r"inputs.correlation \}\}\]", "github.run_id }}]")],
    a_group_a_dispatch: [
        (r"tier-b-\$\{\{ inputs.correlation", "tier-b-${{ inputs.pr_number"),
        ("cancel-in-progress: false", "cancel-in-progress: true"),
        ("queue: max", "queue: single"),
    ],
    time_for_the_longest: [("timeout-minutes: 240", "timeout-minutes: 120")],
    inputs_of_a_dispatch: [
        (r"(merged_tree:\n.*\n +required:) true", r"\1 false"),
        (r"      perf_budget_pct:\n.*\n.*\n.*\n", ""),
        (r"    inputs:\n", "    inputs:\n" + "".join(f"      more{n}: {{type: string}}\n" for n in range(14))),
    ],
}


def test_every_rule_has_a_mutant() -> None:
    assert set(MUTANTS) == {*EVERYWHERE, *TIER_B}


@pytest.mark.parametrize(
    ("rule", "pattern", "instead"),
    [(rule, *damage) for rule, damages in MUTANTS.items() for damage in damages],
    ids=[f"{rule.__name__}-{n}" for rule, damages in MUTANTS.items() for n in range(len(damages))],
)
def test_a_rule_can_fail(rule: Callable[[Workflow], list[str]], pattern: str, instead: str) -> None:
    """One damage a mutant; the rule names it."""
    text = (GITHUB / "workflows/tier-b.yml").read_text()
    damaged, count = re.subn(pattern, instead, text, count=1)
    assert count == 1 and damaged != text
    assert rule(read(damaged)) != []


def lint(tool: str, root: Path) -> subprocess.CompletedProcess[str]:
    """A linter beside this Python; absent is a failure and no skip: `pip install -e '.[lint]'`."""
    program = Path(sys.executable).with_name(tool)
    files = [str(path) for path in sorted((root / ".github/workflows").iterdir())] if tool != "zizmor" else []
    return subprocess.run([str(program), *LINTERS[tool], *files], cwd=root, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("tool", LINTERS)
def test_linters_find_nothing(tool: str, tmp_path: Path) -> None:
    """In a copy: actionlint looks for its configuration in a repository's root, and for none of ours above it."""
    shutil.copytree(GITHUB, tmp_path / ".github")
    (tmp_path / ".git").mkdir()
    done = lint(tool, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("tool", "old", "new"),
    [
        ("zizmor", '"$HEAD_SHA"', "${{ inputs.head_sha }}"),
        ("zizmor", "environment: b200-report", "permissions: write-all"),
        ("check-jsonschema", "runs-on: b200", "run-on: b200"),
        ("actionlint", "runs-on: b200", "runs-on: b300"),
        ("actionlint", "needs.prove.result", "needs.proof.result"),
    ],
)
def test_linters_find_what_is_planted(tool: str, old: str, new: str, tmp_path: Path) -> None:
    """They really look at these files."""
    shutil.copytree(GITHUB, tmp_path / ".github")
    (tmp_path / ".git").mkdir()
    path = tmp_path / ".github/workflows/tier-b.yml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    done = lint(tool, tmp_path)
    assert done.returncode != 0 and "tier-b.yml" in done.stdout + done.stderr, done.stdout + done.stderr


def our_lines() -> list[list[str]]:
    """The command lines of ours in all workflows, variables replaced by a number."""
    found = []
    for name in NAMES:
        for _, step in steps(workflow(name)):
            words = shlex.split(re.sub(r"\$\w+", "7", step.get("run", "")))
            if words and words[0].endswith("nmoe-graph"):
                found.append(words[1:])
    return found


@pytest.mark.parametrize("words", our_lines(), ids=" ".join)
def test_our_command_lines_are_ours(words: list[str]) -> None:
    """The grammar takes them: a verb or a flag that is renamed is renamed here too."""
    assert make_parser().parse_args(words) is not None


def test_there_are_command_lines() -> None:
    assert len(our_lines()) == 4


def test_labels_are_those_of_the_scale_sets() -> None:
    """Where a job runs, what actionlint knows, and what the charts make are one list."""
    known = set(yaml.safe_load((GITHUB / "actionlint.yaml").read_text())["self-hosted-runner"]["labels"])
    used = {body["runs-on"] for name in NAMES for body in workflow(name)["jobs"].values()}
    made = {yaml.safe_load(path.read_text())["runnerScaleSetName"] for path in (ROOT / "k8s").glob("arc-*-values.yaml")}
    assert known == made == {label for label in used if not label.startswith("ubuntu-")}
