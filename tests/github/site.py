"""A small repository on the double of GitHub: a laptop that cloned it, a pull request, and runners that carry out dispatches."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nmoe_graph import Workspace
from nmoe_graph.forge.github import GitHub
from nmoe_graph.tierb.desk import TierBDesk
from nmoe_graph.tierb.follow import Follower
from nmoe_graph.tierb.journal import Journal

from .double import Double
from .double_git import Bare
from .double_state import Outcome, Run

BUILD = """[workspace]
name = "demo"
base = ["origin/main", "main"]
gates = "configs/gates/gates.toml"
contracts = ["configs/contracts/*.yaml"]

[trust]
signers = "configs/allowed_signers"

[trust.tier_b]
principals = ["runner@nmoe.example"]
"""

GATES = """[gates."cpu:import"]
tier = "a"
timeout_s = 30
cmd = "python -c \\"import demo\\""

[gates."b200:train"]
tier = "b"
timeout_s = 60
cmd = "python -m demo"

[gates."b200:other"]
tier = "b"
timeout_s = 60
cmd = "grep -q one notes.txt"

[bundles]
hot = ["b200:train"]
full = ["hot", "b200:other"]
"""

CONTRACT = """nmoe: {issue: 01, slug: wider, kind: feature, risk: hot, complexity: S}
scope: {allow: [demo/**]}
gates: {required: [cpu:import, "b200:train"]}
"""

WHO = {f"GIT_{role}_{what}": "t@nmoe.example" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(where: Path, *args: str) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | WHO
    return subprocess.run(["git", *args], cwd=where, env=env, capture_output=True, text=True, check=True).stdout.strip()


@dataclass
class Site:
    """GitHub with a repository, a laptop that has cloned it, and a pull request of contract 01."""

    github: Double
    laptop: Path
    root: Path
    key: str
    number: int
    client: Callable[..., GitHub]
    jobs: list[dict[str, str]] = field(default_factory=list)  # the dispatches that a runner carried out
    said: list[str] = field(default_factory=list)

    def desk(self, where: Path | None = None) -> TierBDesk:
        workspace = Workspace.open(where or self.laptop)
        desk = TierBDesk(workspace, lambda: self.client(), "origin", self.said.append)

        def pass_time(seconds: float) -> None:
            for run in self.github.runs.values():
                if run.status == "waiting":
                    self.github.approve(run)
                else:
                    self.github.advance(run)

        journal = Journal(workspace.repository.state_dir / "tier-b")
        desk.follower = lambda forge: Follower(forge, journal, self.said.append, lambda: datetime.now(UTC), pass_time)
        return desk

    def clone(self, name: str) -> Path:
        target = self.root / name
        git(self.root, "clone", "-q", str(self.github.bare.path) if self.github.bare else "", str(target))
        return target

    def runner(self, run: Run) -> Outcome:
        """What the workflow does: the job, then the report, each in a clone of its own."""
        self.jobs.append(dict(run.inputs))
        name = f"run-{len(self.jobs)}"
        dispatch, out = json.dumps(run.inputs), self.root / f"{name}-out"
        where = self.clone(f"{name}-job")
        git(where, "fetch", "-q", "origin", run.inputs["head_sha"], run.inputs["base_sha"])
        self.desk(where).job(dispatch, out=out, engine=run.head_sha)
        files = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
        report = self.desk(self.clone(f"{name}-report")).report(
            dispatch, out, proved="success", key=self.key, engine=run.head_sha, run_id=run.id
        )
        return Outcome("success" if report.proven else "failure", {"gate-results": files})


def made_site(github: Double, bare: Bare, client: Callable[..., GitHub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for name, value in WHO.items():
        monkeypatch.setenv(name, value)
    laptop = tmp_path / "laptop"
    git(tmp_path, "clone", "-q", str(bare.path), str(laptop))
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(tmp_path / "key")], check=True)
    public = (tmp_path / "key.pub").read_text()
    files = {
        "BUILD.toml": BUILD,
        "configs/gates/gates.toml": GATES,
        "configs/contracts/01-wider.yaml": CONTRACT,
        "configs/allowed_signers": f'runner@nmoe.example namespaces="nmoe-gate-result" {public}',
        "demo/__init__.py": "DIM = 8\n",
        "demo/__main__.py": "from . import DIM\n\nassert DIM < 100\nprint(DIM)\n",
        "notes.txt": "one\n",
    }
    for path, text in files.items():
        (laptop / path).parent.mkdir(parents=True, exist_ok=True)
        (laptop / path).write_text(text)
    git(laptop, "add", "-A")
    git(laptop, "commit", "-qm", "start")
    git(laptop, "push", "-q", "origin", "HEAD:main")
    made = Site(github, laptop, tmp_path, (tmp_path / "key").read_text(), 0, client)
    change(made, "DIM = 16\n")
    made.number = github.open_pull("issue/01-wider", "[01] Wider").number
    github.entitle = lambda workflow, inputs: f"Tier B #{inputs['pr_number']} [{inputs['correlation']}]"
    github.decide = made.runner
    return made


def change(site: Site, text: str) -> str:
    """A commit on the contract's branch, pushed."""
    git(site.laptop, "checkout", "-q", "-B", "issue/01-wider")
    (site.laptop / "demo/__init__.py").write_text(text)
    git(site.laptop, "commit", "-qam", "wider")
    git(site.laptop, "push", "-q", "-f", "origin", "issue/01-wider")
    return git(site.laptop, "rev-parse", "HEAD")
