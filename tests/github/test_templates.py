"""The forms that people fill in on GitHub: what they render to is what our own verbs read."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from nmoe_graph.cli import main
from nmoe_graph.load.lint import lint_file

ROOT = Path(__file__).resolve().parents[2]
FORMS = ROOT / ".github/ISSUE_TEMPLATE"
GATES = str(ROOT / "configs/gates/gates.toml")


def form() -> dict[str, Any]:
    found = yaml.safe_load((FORMS / "work_item.yml").read_text())
    assert isinstance(found, dict)
    return found


def rendered(values: dict[str, str]) -> str:
    """The body that GitHub makes of a form: a heading a field, its text, fenced where the field renders as a language."""
    parts = []
    for field in form()["body"]:
        if field["type"] == "markdown":
            continue
        said = field["attributes"]
        text = values.get(field["id"], said.get("value", "")).rstrip("\n") or "_No response_"
        language = said.get("render")
        parts.append(f"### {said['label']}\n\n" + (f"```{language}\n{text}\n```" if language else text))
    return "\n\n".join(parts) + "\n"


def filled(**more: str) -> str:
    """The form as somebody sends it who replaces no more than what is in capital letters."""
    default = next(field["attributes"]["value"] for field in form()["body"] if field.get("id") == "contract")
    text = str(default)
    for word, said in {"ID": "03a", "SLUG": "attention", "ALLOWED/**": "nmoe/attention/**", **more}.items():
        assert word in text, word
        text = text.replace(word, said)
    return text


def lint(tmp_path: Path, body: str) -> tuple[dict[str, Any] | None, list[str]]:
    (tmp_path / "body.md").write_text(body)
    found, faults = lint_file("issue", str(tmp_path / "body.md"), gates=GATES)
    return found, [fault.what for fault in faults]


def test_a_filled_in_form_is_a_contract(tmp_path: Path) -> None:
    """By the verb, with the gates of this repository; free text of the other fields does no harm."""
    body = rendered({"contract": filled(), "why": "Half of the step is attention.\n\n```python\nnmoe: int\n```"})
    found, faults = lint(tmp_path, body)
    assert faults == [] and found is not None
    assert found["nmoe"] | {"slug": "attention", "issue": "03a"} == found["nmoe"] and found["scope"]["allow"] == [
        "nmoe/attention/**"
    ]
    assert set(found) == {"nmoe", "scope", "contract", "gates", "merge"}
    assert main(["lint", "issue", str(tmp_path / "body.md"), "--gates", GATES]) == 0


def test_an_untouched_form_is_none(tmp_path: Path) -> None:
    """The placeholders are refused, by name."""
    found, faults = lint(tmp_path, rendered({}))
    assert found is None and any("ID is no issue id" in one for one in faults), faults


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("b200:moonlight_8x20", "b200:moonlight_9x20", "unknown gate"),
        ("kind: feature", "kind: wish", "kind"),
        ("merge_hotspots", "merge_hotspot", "merge_hotspot"),
    ],
)
def test_a_wrong_one_is_refused(old: str, new: str, word: str, tmp_path: Path) -> None:
    """The form is judged, and not only found."""
    found, faults = lint(tmp_path, rendered({"contract": filled(**{old: new})}))
    assert found is None and any(word in one for one in faults), faults


def test_a_second_block_in_another_field_is_refused(tmp_path: Path) -> None:
    """A contract that somebody pastes into a field of free text does not compete with the contract."""
    body = rendered({"contract": filled(), "notes": "```yaml\n" + filled() + "\n```"})
    assert lint(tmp_path, body)[0] is None


def test_the_contract_is_one_fenced_field() -> None:
    """`render: yaml` makes the fence, and GitHub then shows the text as it is."""
    fields = [field for field in form()["body"] if field["type"] == "textarea"]
    assert [field["id"] for field in fields if field["attributes"].get("render") == "yaml"] == ["contract"]
    assert all(field["validations"]["required"] for field in fields if field["id"] in ("contract", "why"))


def test_blank_issues_are_off() -> None:
    assert yaml.safe_load((FORMS / "config.yml").read_text())["blank_issues_enabled"] is False


def pull_request() -> str:
    return (ROOT / ".github/pull_request_template.md").read_text()


def test_a_filled_in_pull_request_is_an_attestation(tmp_path: Path) -> None:
    """The one block of the template, its placeholders replaced."""
    body = pull_request()
    for placeholder, said in {"<id>": "03a", "<commit>": "99fae30", "<hot|warm|cold>": "hot"}.items():
        assert placeholder in body
        body = body.replace(placeholder, said)
    (tmp_path / "body.md").write_text(body)
    found, faults = lint_file("attestation", str(tmp_path / "body.md"), gates=GATES)
    assert faults == [] and found is not None and found["gates_passed"]["tier_b"] == []


def test_an_untouched_pull_request_is_none(tmp_path: Path) -> None:
    """Nobody proves anything by leaving the template as it is."""
    (tmp_path / "body.md").write_text(pull_request())
    found, faults = lint_file("attestation", str(tmp_path / "body.md"), gates=GATES)
    assert found is None and any("placeholder" in fault.what for fault in faults)


def test_the_template_claims_only_tier_a() -> None:
    """What stands in it before anything ran is what every pull request must prove anyway."""
    gates = re.findall(r"^ +- (\S+)$", pull_request(), re.M)
    assert gates == ["cpu:import", "cpu:compileall"]


def schema(name: str, path: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("check-jsonschema")
    return subprocess.run([str(program), "--builtin-schema", name, str(path)], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("name", "file"), [("vendor.github-issue-forms", "work_item.yml"), ("vendor.github-issue-config", "config.yml")]
)
def test_forms_are_githubs(name: str, file: str, tmp_path: Path) -> None:
    """By the schema; a key that it does not know is found."""
    done = schema(name, FORMS / file)
    assert done.returncode == 0, done.stdout
    (tmp_path / file).write_text((FORMS / file).read_text().replace("body:", "bodies:").replace("blank_issues", "blanc_issues"))
    assert schema(name, tmp_path / file).returncode == 1


def test_public_files_are_public(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing in .github, docker or k8s names an internal host, path, cluster or secret; what is planted is found."""
    folders = [str(ROOT / name) for name in (".github", "docker", "k8s")]
    assert main(["-C", str(ROOT), "safe", *folders]) == 0, capsys.readouterr().out
    (tmp_path / "values.yaml").write_text(
        (ROOT / "k8s/arc-runner-values.yaml").read_text() + "# node gpu07.corp.example.internal, 10.1.2.3\n"
    )
    assert main(["-C", str(ROOT), "safe", str(tmp_path)]) == 1
