"""The images of tier b: clean by hadolint, and by rules of our own.

The Makefile runs with a docker that only writes down its arguments.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
IMAGES = ("base", "train", "runner")
DIGEST = {name: f"sha256:{number:064x}" for number, name in enumerate(IMAGES, 1)}


def instructions(text: str) -> list[tuple[str, str]]:
    """(instruction, rest) of a Dockerfile, continued lines joined, comments left out."""
    joined = re.sub(r"\\\n", " ", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    return [(line.split()[0], line.partition(" ")[2]) for line in joined.splitlines() if line.strip()]


def ends_as_runner(text: str) -> list[str]:
    """The last user is `runner`, by number: a pod that must not be root is judged by the number."""
    users = [rest for name, rest in instructions(text) if name == "USER"]
    return [] if users and users[-1] == "1501:1500" else users or ["root"]


def no_code_of_ours(text: str) -> list[str]:
    """Nothing of the repository but the lock file goes in: what is proven comes from the tree under test."""
    copied = [rest for name, rest in instructions(text) if name in ("COPY", "ADD")]
    return [one for one in copied if not one.startswith("--from=") and one != "runner.lock /opt/runner.lock"]


def only_gate(text: str) -> list[str]:
    """`runner` may become `gate`, and nobody else."""
    said = " ".join(rest for name, rest in instructions(text) if name == "RUN")
    rules = re.findall(r"echo '([^']*)' > /etc/sudoers", said)
    return [rule for rule in rules if rule != "runner ALL=(gate) NOPASSWD: ALL"] + (
        ["unseen"] if said.count("ALL=") != len(rules) else []
    )


def home_is_closed(text: str) -> list[str]:
    """Where there is a runner, its home with its credentials is its own, and the engine's folder is not below it."""
    if "actions" not in text.partition("FROM")[2]:
        return []
    said = " ".join(rest for name, rest in instructions(text) if name == "RUN")
    return [] if "chmod 0700 /home/runner" in said and "--mode=0755 /opt/engine" in said else [said]


RULES: dict[Callable[[str], list[str]], tuple[str, str, str]] = {
    ends_as_runner: ("runner", r"USER 1501:1500", "USER 0"),
    no_code_of_ours: ("train", r"COPY runner.lock /opt/runner.lock", "COPY . /opt"),
    only_gate: ("base", r"ALL=\(gate\)", "ALL=(ALL)"),
    home_is_closed: ("runner", "chmod 0700", "chmod 0755"),
}


def dockerfile(name: str) -> str:
    return (DOCKER / f"Dockerfile.{name}").read_text()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_images_keep_the_rules(rule: Callable[[str], list[str]]) -> None:
    """All three; and a damaged one does not."""
    assert {name: rule(dockerfile(name)) for name in IMAGES} == {name: [] for name in IMAGES}
    name, pattern, instead = RULES[rule]
    damaged, count = re.subn(pattern, instead, dockerfile(name))
    assert count >= 1 and rule(damaged) != []


def hadolint(*files: Path) -> subprocess.CompletedProcess[str]:
    """Beside this Python; absent is a failure and no skip: `pip install -e '.[lint]'`."""
    program = Path(sys.executable).with_name("hadolint")
    return subprocess.run([str(program), "--no-color", *map(str, files)], capture_output=True, text=True, timeout=120)


def test_hadolint_finds_nothing() -> None:
    done = hadolint(*sorted(DOCKER.glob("Dockerfile.*")))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "old", "new", "code"),
    [
        ("base", "# hadolint ignore=DL3008\n", "", "DL3008"),
        ("train", "USER 0\n", "USER root\n", "DL3066"),
        ("runner", "WORKDIR /home/runner", "WORKDIR home", "DL3000"),
    ],
)
def test_hadolint_finds_what_is_planted(name: str, old: str, new: str, code: str, tmp_path: Path) -> None:
    text = dockerfile(name)
    assert old in text
    (tmp_path / f"Dockerfile.{name}").write_text(text.replace(old, new))
    done = hadolint(tmp_path / f"Dockerfile.{name}")
    assert done.returncode != 0 and code in done.stdout


def lock() -> dict[str, str]:
    lines = [line for line in (DOCKER / "runner.lock").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9_.-]+==[\w.]+", line) for line in lines), lines
    return dict(line.split("==") for line in lines)


def test_the_lock_holds_what_the_engine_needs() -> None:
    """The engine is installed in the job with no index and without dependencies: the image must have them, and its builder, too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = [
        *project["project"]["dependencies"],
        *project["build-system"]["requires"],
        *project["project"]["optional-dependencies"]["sign"],
    ]
    pinned = lock()
    for requirement in map(Requirement, needed):
        assert requirement.name in pinned, f"{requirement.name} is not in docker/runner.lock"
        assert requirement.specifier.contains(pinned[requirement.name]), f"{requirement} and {pinned[requirement.name]}"


def test_the_toolchain_is_what_its_image_is_made_of() -> None:
    """BUILD.toml names each file that the image `train` comes from; GitHub's runner costs no proof."""
    toolchain = tomllib.loads((ROOT / "BUILD.toml").read_text())["toolchain"]["b200"]
    assert sorted(toolchain["lock"]) == ["docker/Dockerfile.base", "docker/Dockerfile.train", "docker/runner.lock"]
    assert {name: f"=={lock()[name]}" for name in ("torch", "triton")} == toolchain["versions"]


FAKE = """#!/bin/sh
printf '%s\\n' "$*" >> "$LOG"
while [ $# -gt 0 ]; do
  if [ "$1" = --metadata-file ]; then
    case "$2" in
      *base.json) digest={base} ;;
      *train.json) digest={train} ;;
      *runner.json) digest={runner} ;;
    esac
    [ "${{FAIL:-}}" = "${{2##*/}}" ] && {{ echo half > "$2"; exit 1; }}
    echo "{{\\"containerimage.digest\\": \\"$digest\\"}}" > "$2"
  fi
  shift
done
"""


def make(tmp_path: Path, *words: str, **env: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    (tmp_path / "bin").mkdir(exist_ok=True)
    program = tmp_path / "bin/docker"
    program.write_text(FAKE.format(**DIGEST))
    program.chmod(0o755)
    said = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "LOG": str(tmp_path / "log"), **env}
    variables = [f"OUT={tmp_path}/out", "REPOSITORY=Noumena-Network/nmoe", "REVISION=" + "ab" * 20]
    done = subprocess.run(["make", "--silent", "-C", str(DOCKER), *words, *variables], env=said, capture_output=True, text=True)
    log = tmp_path / "log"
    return done, log.read_text().splitlines() if log.exists() else []


def test_each_image_is_made_from_the_digest_before(tmp_path: Path) -> None:
    """Base, train, runner; the runner's tags; the digests are printed."""
    done, log = make(tmp_path, "push")
    assert done.returncode == 0, done.stderr
    name = "ghcr.io/noumena-network/nmoe"
    assert [re.search(r"Dockerfile\.(\w+)", line)[1] for line in log] == list(IMAGES)  # type: ignore[index]
    assert f"BASE={name}@{DIGEST['base']} " in log[1] and f"TRAIN={name}@{DIGEST['train']} " in log[2]
    assert f"--tag {name}:runner-abababababab --tag {name}:runner-latest" in log[2] and "latest" not in log[0] + log[1]
    printed = make(tmp_path, "digests")[0].stdout.splitlines()
    assert printed == [f"{one} {name}@{DIGEST[one]}" for one in IMAGES]


def test_a_build_that_fails_leaves_no_digest(tmp_path: Path) -> None:
    """Nothing is made from a failed image, and the next call makes it again."""
    done, log = make(tmp_path, "push", FAIL="train.json")
    assert done.returncode != 0 and len(log) == 2 and not (tmp_path / "out/train.json").exists()
    done, log = make(tmp_path, "push")
    assert done.returncode == 0 and len(log) == 4 and "Dockerfile.base" not in log[2]
