"""The manifests: valid by Kubernetes' own schemas, and as narrow as they can be."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
VERSION = "1.37"
Pod = dict[str, Any]


def values(name: str) -> dict[str, Any]:
    found = yaml.safe_load((K8S / f"arc-{name}-values.yaml").read_text())
    assert isinstance(found, dict)
    return found


def smoke() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((K8S / "smoke.yaml").read_text()))


def pods() -> dict[str, Pod]:
    """Every pod's spec, by name: the chart's templates, and those of the jobs."""
    jobs = {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in smoke() if one["kind"] == "Job"}
    return {"runner": values("runner")["template"]["spec"], "builder": values("builder")["template"]["spec"], **jobs}


def containers(pod: Pod) -> Iterator[dict[str, Any]]:
    yield from pod.get("initContainers", [])
    yield from pod["containers"]


def valid(pod: Pod) -> list[str]:
    """A chart's template, as the pod that it becomes."""
    whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": pod}
    try:
        kubernetes_validate.validate(whole, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [str(error)]
    return []


def not_root(pod: Pod) -> list[str]:
    wrong = (
        [] if pod["securityContext"].get("runAsNonRoot") is True and pod["securityContext"].get("runAsUser", 0) > 0 else ["root"]
    )
    for one in containers(pod):
        said = one.get("securityContext", {})
        wrong += [one["name"] for key in ("privileged",) if said.get(key)]
        wrong += [one["name"] for key in ("runAsUser",) if said.get(key) == 0]
        wrong += [f"{one['name']}: {more}" for more in set(said.get("capabilities", {}).get("add", [])) - {"SETUID", "SETGID"}]
    return wrong


def of_the_pod_alone(pod: Pod) -> list[str]:
    """No token of the cluster, none of the host's namespaces, none of its folders."""
    wrong = [] if pod.get("automountServiceAccountToken") is False else ["a token"]
    wrong += [key for key in ("hostNetwork", "hostPID", "hostIPC", "serviceAccountName") if pod.get(key)]
    return wrong + [volume["name"] for volume in pod.get("volumes", []) if "hostPath" in volume or "secret" in volume]


def images_by_digest(pod: Pod) -> list[str]:
    return [one["image"] for one in containers(pod) if not re.fullmatch(r"[\w./-]+@sha256:[0-9a-f]{64}", one["image"])]


def data_is_read_only(pod: Pod) -> list[str]:
    """What outlives the pod can only be read, by the claim and by the mount."""
    kept = {volume["name"] for volume in pod.get("volumes", []) if "persistentVolumeClaim" in volume}
    wrong = [
        one["name"] for one in pod.get("volumes", []) if one["name"] in kept and not one["persistentVolumeClaim"].get("readOnly")
    ]
    mounts = [mount for one in containers(pod) for mount in one.get("volumeMounts", [])]
    return wrong + [mount["mountPath"] for mount in mounts if mount["name"] in kept and not mount.get("readOnly")]


def within_limits(pod: Pod) -> list[str]:
    return [one["name"] for one in containers(pod) if "memory" not in one.get("resources", {}).get("limits", {})]


RULES: dict[Callable[[Pod], list[str]], Callable[[Pod], Any]] = {
    valid: lambda pod: pod.update(restartPolicies="Never"),
    not_root: lambda pod: pod["containers"][0]["securityContext"].update(capabilities={"add": ["SYS_ADMIN"]}),
    of_the_pod_alone: lambda pod: pod.pop("automountServiceAccountToken"),
    images_by_digest: lambda pod: pod["containers"][0].update(image="ghcr.io/noumena-network/nmoe:runner-latest"),
    data_is_read_only: lambda pod: pod["volumes"].append({"name": "kept", "persistentVolumeClaim": {"claimName": "a"}}),
    within_limits: lambda pod: pod["containers"][0].pop("resources"),
}
MORE: list[tuple[Callable[[Pod], list[str]], str, Callable[[Pod], Any]]] = [
    (not_root, "runner", lambda pod: pod["securityContext"].pop("runAsNonRoot")),
    (not_root, "runner", lambda pod: pod["containers"][0]["securityContext"].update(privileged=True)),
    (not_root, "builder", lambda pod: pod["initContainers"][0]["securityContext"].update(runAsUser=0)),
    (of_the_pod_alone, "runner", lambda pod: pod.update(hostPID=True)),
    (of_the_pod_alone, "runner", lambda pod: pod["volumes"].append({"name": "a", "hostPath": {"path": "/"}})),
    (data_is_read_only, "runner", lambda pod: pod["containers"][0]["volumeMounts"][0].pop("readOnly")),
    (valid, "runner", lambda pod: pod["securityContext"].update(runAsUser="runner")),
]


@pytest.mark.parametrize("name", list(pods()))
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_pods_keep_the_rules(rule: Callable[[Pod], list[str]], name: str) -> None:
    """Each pod; and a damaged one does not."""
    assert rule(pods()[name]) == []
    damaged = copy.deepcopy(pods()[name])
    RULES[rule](damaged)
    assert rule(damaged) != []


@pytest.mark.parametrize(("rule", "name", "damage"), MORE, ids=[f"{rule.__name__}-{n}" for n, (rule, _, _) in enumerate(MORE)])
def test_rules_can_fail(rule: Callable[[Pod], list[str]], name: str, damage: Callable[[Pod], Any]) -> None:
    damaged = copy.deepcopy(pods()[name])
    damage(damaged)
    assert rule(damaged) != []


def gpus(pod: Pod) -> list[str]:
    return [one["resources"]["limits"].get("nvidia.com/gpu", "0") for one in pod["containers"]]


def test_gpus_are_those_that_gates_ask_for() -> None:
    """The runner has all eight, the builder none; the smoke jobs try one and all."""
    assert {name: gpus(pod) for name, pod in pods().items()} == {
        "runner": ["8"],
        "builder": ["0"],
        "nmoe-smoke-1": ["1"],
        "nmoe-smoke-8": ["8"],
    }
    for pod in pods().values():
        for one in pod["containers"]:
            assert one["resources"]["limits"].get("nvidia.com/gpu") == one["resources"]["requests"].get("nvidia.com/gpu")


def test_scale_sets_go_from_nothing_to_one() -> None:
    for name in ("runner", "builder"):
        assert (values(name)["minRunners"], values(name)["maxRunners"]) == (0, 1)


def test_the_runner_has_every_variable_that_a_gate_requires() -> None:
    """By a mount of its own; what a gate may write is a folder that goes with the pod."""
    gates = tomllib.loads((ROOT / "configs/gates/gates.toml").read_text())["gates"]
    asked = [one if isinstance(one, dict) else {"name": one} for gate in gates.values() for one in gate.get("requires", ())]
    (runner,) = pods()["runner"]["containers"]
    paths = {one["name"]: one["value"] for one in runner["env"]}
    assert set(paths) == {one["name"] for one in asked}
    mounts = {mount["mountPath"]: mount for mount in runner["volumeMounts"]}
    for name, path in paths.items():
        written = any(one.get("write") for one in asked if one["name"] == name)
        assert path in mounts and bool(mounts[path].get("readOnly")) is not written, name


def test_users_are_those_of_the_image() -> None:
    """Numbers in manifests and in docker/Dockerfile.base are the same."""
    made = dict(
        re.findall(r"useradd --create-home --uid (\d+) .* (\w+) *\\?$", (ROOT / "docker/Dockerfile.base").read_text(), re.M)
    )
    assert made[str(pods()["runner"]["securityContext"]["runAsUser"])] == "runner"
    assert made[str(pods()["nmoe-smoke-1"]["securityContext"]["runAsUser"])] == "gate"


def test_smoke_is_valid_and_its_program_compiles() -> None:
    """Each document by its schema; the program as Python."""
    for one in smoke():
        kubernetes_validate.validate(one, VERSION, strict=True)
    program = next(one for one in smoke() if one["kind"] == "ConfigMap")["data"]["smoke.py"]
    compile(program, "smoke.py", "exec")
    broken = copy.deepcopy(smoke()[1])
    broken["spec"]["backofLimit"] = 0
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSION, strict=True)


def test_the_seccomp_profile_fences_and_lets_namespaces_be() -> None:
    """What reaches the kernel's own state is refused; what bubblewrap needs is not."""
    pod = pods()["runner"]["securityContext"]["seccompProfile"]
    profile = json.loads((K8S / Path(pod["localhostProfile"]).name).read_text())
    refused = {name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ERRNO" for name in rule["names"]}
    assert profile["defaultAction"] == "SCMP_ACT_ALLOW" and all(rule["action"] == "SCMP_ACT_ERRNO" for rule in profile["syscalls"])
    assert {
        "bpf",
        "kexec_load",
        "init_module",
        "finit_module",
        "open_by_handle_at",
        "keyctl",
        "io_uring_setup",
        "userfaultfd",
    } <= refused
    assert not refused & {
        "clone",
        "clone3",
        "unshare",
        "mount",
        "umount2",
        "pivot_root",
        "setuid",
        "setgid",
        "landlock_restrict_self",
    }
