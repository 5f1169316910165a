"""What a gate sees and may touch, by each means of this machine."""

from __future__ import annotations

import fcntl
import os
import shutil
import site
import stat
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Scratch

from nmoe_graph.errors import HostError
from nmoe_graph.execute import sandbox
from nmoe_graph.execute.local import run_job
from nmoe_graph.execute.sandbox import MEANS, _bubblewrap, _landlock, choose_means
from nmoe_graph.model import InputFile, Job, Result, Verdict
from nmoe_graph.store.local import Store

Run = Callable[..., tuple[Result, str]]
#: The folder alone keeps nobody from what has a name, and only namespaces bind programs other than Python.
FENCED = pytest.mark.parametrize("means", ("namespaces", "landlock", "audit"), indirect=True)
KERNEL = pytest.mark.parametrize("means", ("namespaces", "landlock"), indirect=True)
NAMESPACES = pytest.mark.parametrize("means", ("namespaces",), indirect=True)


@pytest.fixture(params=MEANS)
def means(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each means that this machine has."""
    if request.param == "namespaces" and _bubblewrap() is None:
        pytest.skip("bubblewrap is not here, or may not make namespaces")
    if request.param == "landlock" and not _landlock():
        pytest.skip("this kernel has no Landlock, or forbids it")
    monkeypatch.setenv("NMOE_GRAPH_SANDBOX", request.param)
    return str(request.param)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that stands for the checkout, with a file that is no input."""
    folder = tmp_path / "checkout"
    (folder / "nmoe").mkdir(parents=True)
    (folder / "secret.txt").write_text("secret\n")
    (folder / "nmoe" / "__init__.py").write_text("WHERE = 'checkout'\n")
    return folder


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of our own, to see what is left in it."""
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.fixture
def run(means: str, checkout: Path, temp: Path, tmp_path: Path) -> Iterator[Run]:
    """Run a command with these inputs: the result and its log.  Whatever came of it, nothing is left in the temporary folder."""
    store = Store(tmp_path / "store")

    def one(cmd: str, files: dict[str, str | tuple[int, str]] | None = None, **changes: Any) -> tuple[Result, str]:
        inputs = []
        for path, content in sorted((files or {}).items()):
            mode, text = content if isinstance(content, tuple) else (0o100644, content)
            inputs.append(InputFile(path, mode, text.encode))
        job = Job("a1" * 32, "//gates:x", cmd, changes.pop("timeout_s", 20), tuple(inputs), hidden=(str(checkout),), **changes)
        result = run_job(job, store, warn=pytest.fail)
        assert result.means == means
        return result, (store.log(result) or b"").decode()

    yield one
    assert list(temp.iterdir()) == []


# -- what is there -------------------------------------------------------------------------------------------------------------


def test_inputs_and_nothing_else(run: Run) -> None:
    """The folder of a gate holds its inputs, and not a file more."""
    result, log = run("find . | sort; cat a/b.txt", {"a/b.txt": "one\n", "c.txt": ""})
    assert result.verdict is Verdict.PASSED
    assert log.split() == [".", "./a", "./a/b.txt", "./c.txt", "one"]


def test_no_inputs_at_all(run: Run) -> None:
    """A gate without inputs starts in an empty folder."""
    assert run("find .")[1] == ".\n"


def test_modes_and_links_are_kept(run: Run) -> None:
    """An executable file can be run, another cannot, a link is a link."""
    files = {
        "tool": (0o100755, "#!/bin/sh\necho ran\n"),
        "plain": "x\n",
        "a/link": (0o120000, "../plain"),
        "folder": (0o120000, "a"),
        "dangling": (0o120000, "nowhere"),
    }
    result, log = run("./tool; test ! -x plain; readlink a/link; cat folder/link; readlink dangling", files)
    assert result.verdict is Verdict.PASSED
    assert log.split() == ["ran", "../plain", "x", "nowhere"]


@pytest.mark.parametrize("target", ["/etc/hostname", "../../x", "../x", "b/../../../x"])
def test_link_out_of_the_tree_fails(run: Run, target: str) -> None:
    """A link that leads out of the workspace fails the gate and is named."""
    result, _ = run("true", {"a/link": (0o120000, target if target != "../x" else "../../x")})
    assert result.verdict is Verdict.FAILED
    assert "a/link" in result.reason


def test_name_that_begins_with_dots_is_inside(run: Run) -> None:
    """A link to a file whose name begins with two dots does not leave the tree."""
    assert run("cat link", {"..data": "in\n", "link": (0o120000, "..data")})[1] == "in\n"


def test_file_and_folder_of_one_name(run: Run) -> None:
    """Two inputs that want one place fail the gate; it is no trouble of the machine."""
    assert run("true", {"a": "file\n", "a/b": "below\n"})[0].verdict is Verdict.FAILED


# -- the checkout --------------------------------------------------------------------------------------------------------------


@FENCED
def test_reading_what_is_no_input_fails(run: Run, checkout: Path) -> None:
    """A Python gate that reads a file of the checkout fails, and the error names the file."""
    result, log = run(f"python -c \"print(open('{checkout}/secret.txt').read())\"")
    assert result.verdict is Verdict.FAILED
    assert "secret.txt" in result.reason + log
    assert "secret\n" not in log


def test_swallowed_refusal_still_fails(run: Run, means: str, checkout: Path) -> None:
    """A program that swallows the refusal fails all the same; the folder alone refuses nothing, and its result says `folder`."""
    code = f"try:\n    print(open('{checkout}/secret.txt').read())\nexcept OSError:\n    print('refused')\n"
    result, log = run("python read.py", {"read.py": code})
    if means == "folder":
        assert (result.verdict, log) == (Verdict.PASSED, "secret\n\n")
    else:
        assert (result.verdict, log) == (Verdict.FAILED, "refused\n")
        assert 'add inputs = ["secret.txt"]' in result.reason


READS = """os.listdir(d)
os.scandir(d)
assert any(files for _, _, files in os.walk(d, onerror=fail))
pathlib.Path(f).read_text()
pathlib.Path(d).iterdir().__next__()
os.symlink(d, 'l'); open('l/secret.txt')
open(os.path.relpath(f))
open(os.fsencode(f))
os.open(f, os.O_RDONLY)
subprocess.run([sys.executable, '-c', f'open({f!r})'], check=True, stderr=subprocess.DEVNULL)"""


@FENCED
def test_every_way_of_python_is_refused(run: Run, checkout: Path) -> None:
    """Listing, walking, relative names, bytes, links and child processes do not get round the fence."""
    program = f"""import os, pathlib, subprocess, sys
f, d = "{checkout}/secret.txt", "{checkout}"
def fail(error):
    raise error
for line in READS.splitlines():
    try:
        exec(line)
    except (OSError, subprocess.CalledProcessError):
        continue
    print("done:", line)
"""
    result, log = run("python read.py", {"read.py": program.replace("READS", repr(READS))})
    assert (result.verdict, log) == (Verdict.FAILED, "")


@KERNEL
def test_other_programs_do_not_read_the_checkout(run: Run, checkout: Path) -> None:
    """What the kernel fences is closed to every program, not only to Python."""
    assert run(f"cat {checkout}/secret.txt")[0].verdict is Verdict.FAILED
    assert run(f"ls {checkout}")[1].count("secret") == 0
    assert run(f"cp -r {checkout} mine || true; test ! -e mine/secret.txt")[0].verdict is Verdict.PASSED


@NAMESPACES
def test_other_programs_do_not_see_the_checkout(run: Run, checkout: Path) -> None:
    """Under `namespaces` it is not even there."""
    assert run(f'test ! -e {checkout}/secret.txt; test -z "$(ls -A {checkout})"')[0].verdict is Verdict.PASSED


@FENCED
def test_writes_do_not_reach_the_checkout(run: Run, checkout: Path) -> None:
    """What a gate writes, into its folder or by the checkout's name, never arrives in the checkout."""
    run("echo changed > secret.txt; rm -rf nmoe; mkdir new", {"secret.txt": "secret\n", "nmoe/__init__.py": ""})
    run(f"python -c \"open('{checkout}/secret.txt', 'w').write('changed')\"")
    run(f"python -c \"open('{checkout}/new.txt', 'w').write('new')\"")
    assert (checkout / "secret.txt").read_text() == "secret\n"
    assert sorted(os.listdir(checkout)) == ["nmoe", "secret.txt"]


CHANGES = """os.remove(f)
os.rename(f, 'mine')
os.rename('mine', f)
os.replace('mine', f)
os.truncate(f, 0)
os.chmod(f, 0)
os.utime(f, (0, 0))
os.mkdir(f + '.d')
os.symlink('mine', f + '.l')
os.link('mine', f + '.l')
shutil.rmtree(d)
shutil.move('mine', d + '/moved')
pathlib.Path(f).unlink()
pathlib.Path(d, 'new').touch()
open(f, 'a')"""


@FENCED
def test_python_changes_nothing_of_the_checkout(run: Run, checkout: Path) -> None:
    """Nothing of the checkout is removed, renamed, cut or made by a Python gate: each way is refused, and the gate fails."""
    before = [(path, path.lstat().st_mode, path.lstat().st_mtime) for path in sorted(checkout.rglob("*"))]
    program = f"""import os, pathlib, shutil
f, d = "{checkout}/secret.txt", "{checkout}"
for line in CHANGES.splitlines():
    open('mine', 'w').close()
    try:
        exec(line)
    except OSError:
        continue
    print("done:", line)
"""
    result, log = run("python change.py", {"change.py": program.replace("CHANGES", repr(CHANGES))})
    assert (result.verdict, log) == (Verdict.FAILED, "")
    assert "secret.txt of the checkout" in result.reason
    assert [(path, path.lstat().st_mode, path.lstat().st_mtime) for path in sorted(checkout.rglob("*"))] == before
    assert (checkout / "secret.txt").read_text() == "secret\n"


@KERNEL
def test_the_machine_is_read_only(run: Run, tmp_path: Path) -> None:
    """Nothing but the gate's own folder can be written, by any program."""
    (tmp_path / "outside").mkdir()
    assert run(f"echo x > {tmp_path}/outside/file")[0].verdict is Verdict.FAILED
    assert list((tmp_path / "outside").iterdir()) == []
    assert run('echo x > file; echo x > "$HOME/file"; echo x > "$TMPDIR/file"')[0].verdict is Verdict.PASSED


def test_runs_do_not_see_each_other(run: Run) -> None:
    """A second run starts from the inputs, not from what the first one wrote."""
    for _ in range(2):
        result, log = run(
            'cat a; ls "$HOME" "$TMPDIR" | grep -v : || true; echo two > a; touch "$HOME/x" "$TMPDIR/y"', {"a": "one\n"}
        )
        assert (result.verdict, log.split()) == (Verdict.PASSED, ["one"])


# -- the environment -----------------------------------------------------------------------------------------------------------


def test_environment_is_scrubbed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is not declared does not reach a gate; what it `requires` and what it declares do."""
    monkeypatch.setenv("UNDECLARED", "seen")
    monkeypatch.setenv("NEEDED", "needed value")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    log = run("env", env=(("DECLARED", "declared value"),), pass_env=("NEEDED",))[1]
    seen = dict(line.split("=", 1) for line in log.splitlines())
    assert "UNDECLARED" not in seen
    assert "/somewhere" not in log
    assert (seen["NEEDED"], seen["DECLARED"]) == ("needed value", "declared value")
    own = {"PWD", "OLDPWD", "SHLVL", "_", "PYTHONPATH"}
    fixed = {
        "PATH",
        "HOME",
        "TMPDIR",
        "LANG",
        "TZ",
        "PYTHONHASHSEED",
        "PYTHONNOUSERSITE",
        "PYTHONPYCACHEPREFIX",
        "CUDA_VISIBLE_DEVICES",
    }
    assert {name for name in seen if not name.startswith("NMOE_GRAPH_")} <= own | fixed | {"NEEDED", "DECLARED"}


def test_declared_python_path_counts(run: Run) -> None:
    """A PYTHONPATH that a gate declares works beside the guard's."""
    result, log = run("python -c 'import m; print(m.X)'", {"src/m.py": "X = 5\n"}, env=(("PYTHONPATH", "src"),))
    assert (result.verdict, log) == (Verdict.PASSED, "5\n")


def test_no_gpu_for_a_gate_that_asks_for_none(run: Run) -> None:
    """CUDA_VISIBLE_DEVICES is what the gate was given: here nothing."""
    assert run('echo "[$CUDA_VISIBLE_DEVICES]"')[1] == "[]\n"


def test_home_and_temporary_folder_are_its_own(run: Run) -> None:
    """HOME and TMPDIR are fresh, empty and outside the folder of the inputs."""
    result, log = run('test -z "$(ls -A $HOME)"; test -z "$(ls -A $TMPDIR)"; echo x > $TMPDIR/x; find . -type f')
    assert (result.verdict, log) == (Verdict.PASSED, "")


# -- modules -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A name of a package that is installed for this interpreter, by a .pth file as editable installs are."""
    name = f"own_{os.getpid()}_{tmp_path.name.replace('-', '_')}".replace("[", "_").replace("]", "_")
    folder = tmp_path / "elsewhere"
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text("WHERE = 'installed'\n")
    pth = Path(sysconfig.get_path("purelib"), f"{name}.pth")
    if not os.access(pth.parent, os.W_OK):
        pytest.skip("the packages of this interpreter cannot be written")
    pth.write_text(f"{folder}\n")
    yield name
    pth.unlink()


def test_installed_copy_is_there_for_others(run: Run, installed: str) -> None:
    """The case is real: a name that is no module of the workspace is imported from where it is installed."""
    assert run(f"python -c 'import {installed}; print({installed}.WHERE)'")[1] == "installed\n"


@FENCED
def test_installed_copy_never_stands_in(run: Run, installed: str) -> None:
    """A module of the workspace that is not among the inputs is not taken from an installed copy: the gate fails and says so."""
    result, log = run(f"python -c 'import {installed}; print({installed}.WHERE)'", own_modules=(installed,))
    assert result.verdict is Verdict.FAILED
    assert "installed copy outside the sandbox" in result.reason
    assert "installed\n" not in log.splitlines(keepends=True)


def test_workspace_module_beats_the_installed_copy(run: Run, installed: str) -> None:
    """With the module among the inputs it is the workspace's."""
    files = {f"{installed}/__init__.py": "WHERE = 'workspace'\n", f"{installed}/inner.py": "X = 1\n"}
    result, log = run(f"python -c 'import {installed}.inner; print({installed}.WHERE)'", files, own_modules=(installed,))
    assert (result.verdict, log) == (Verdict.PASSED, "workspace\n")


@FENCED
def test_missing_submodule_is_not_taken_from_the_installed_copy(run: Run, installed: str) -> None:
    """A package among the inputs without its submodule does not borrow the installed one."""
    result, _ = run(f"python -c 'import {installed}.gone'", {f"{installed}/__init__.py": ""}, own_modules=(installed,))
    assert result.verdict is Verdict.FAILED


@FENCED
def test_package_from_the_checkout_is_refused(run: Run, checkout: Path) -> None:
    """An editable install that points into the checkout does not let its modules in."""
    code = f"import sys; sys.path.insert(0, '{checkout}'); import nmoe; print(nmoe.WHERE)"
    result, log = run("python x.py", {"x.py": code}, own_modules=("nmoe",))
    assert result.verdict is Verdict.FAILED
    assert "checkout\n" not in log.splitlines(keepends=True)


def test_absent_module_is_a_plain_import_error(run: Run) -> None:
    """An import that nothing answers stays what it is; `except ImportError` goes on."""
    code = "try:\n    import absent_thing\nexcept ModuleNotFoundError:\n    print('absent')\n"
    result, log = run("python x.py", {"x.py": code}, own_modules=("absent_thing",))
    assert (result.verdict, log) == (Verdict.PASSED, "absent\n")


def test_byte_code_is_not_left(run: Run) -> None:
    """Byte code goes elsewhere, so the inputs stay the inputs."""
    result, log = run(
        "python -c 'import p.m'; find . -name '*.pyc' -o -name __pycache__", {"p/__init__.py": "", "p/m.py": "X = 1\n"}
    )
    assert (result.verdict, log) == (Verdict.PASSED, "")


def test_user_site_is_not_seen(run: Run) -> None:
    """Packages in somebody's home do not count."""
    code = "import site, sys; assert not site.ENABLE_USER_SITE; assert not any('.local' in p for p in sys.path)"
    assert run("python x.py", {"x.py": code})[0].verdict is Verdict.PASSED
    assert site.getsitepackages()


# -- how it runs ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cmd", ["false; true", "false | true", "echo $UNSET_VARIABLE"])
def test_shell_is_strict(run: Run, cmd: str) -> None:
    """A failure anywhere in a command line, or an unset variable, fails the gate."""
    assert run(cmd)[0].verdict is Verdict.FAILED


@pytest.mark.parametrize("cmd", ["exit 3", "kill -9 $$", "kill -TERM $$"])
def test_only_status_0_passes(run: Run, cmd: str) -> None:
    """An exit code or a signal fails the gate by every means."""
    assert run(f"echo PASSED; {cmd}")[0].verdict is Verdict.FAILED


def test_nothing_outlives_the_gate(run: Run, tmp_path: Path) -> None:
    """Processes in sessions of their own are gone when the gate has ended, by every means."""
    word = f"marker-{os.getpid()}-{tmp_path.name}"
    run("setsid sleep 300 & (setsid bash -c 'trap \"\" TERM; sleep 300' &); sleep 0.3", env=(("MARKER", word),))
    left = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            left += [name] if word.encode() in Path("/proc", name, "environ").read_bytes() else []
        except OSError:
            continue
    assert left == []


def test_limit_by_every_means(run: Run) -> None:
    """The limit ends a gate that sleeps, and says so."""
    result, _ = run("sleep 60", timeout_s=1)
    assert result.verdict is Verdict.TIMED_OUT
    assert 1 <= result.duration_s < 3


def test_killed_supervisor_is_no_verdict_on_the_code(run: Run, means: str) -> None:
    """A gate that kills its parent has no verdict, `infra_error`; under `namespaces` and `landlock` it cannot reach it."""
    result, _ = run("kill -9 $PPID || true; sleep 0.1; exit 0")
    assert result.verdict is (Verdict.PASSED if means in ("namespaces", "landlock") else Verdict.INFRA_ERROR)


def test_odd_modes_do_not_hinder_the_cleaning(run: Run, temp: Path) -> None:
    """Folders that forbid everything are removed all the same (the fixture looks)."""
    result, _ = run('mkdir -p a/b "$HOME/c"; echo x > a/b/f; chmod 000 a/b a "$HOME/c"; ln -s /etc "$TMPDIR/etc"')
    assert result.verdict is Verdict.PASSED
    assert stat.S_ISDIR(os.stat("/etc").st_mode)


def test_input_that_the_disk_lost_is_no_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate that would pass for want of its input does not run: a file that arrived short is trouble of the machine."""
    real = os.fstat
    shorter = os.stat_result((0o100644, 0, 0, 1, 0, 0, 3, 0, 0, 0))
    monkeypatch.setattr(os, "fstat", lambda descriptor: shorter if real(descriptor).st_size == 4 else real(descriptor))
    with pytest.raises(HostError, match="lost a write"):
        run("! grep -q bad a.txt || exit 1", {"a.txt": "bad\n"})


def test_what_a_killed_build_left_is_swept(run: Run, temp: Path) -> None:
    """The next build removes the folders of a killed one; one that is in use, and a strange one, stay."""
    for name in ("killed", "in-use", "strange"):
        (temp / f"nmoe-graph-run-{name}" / "box").mkdir(parents=True)
    for name in ("killed", "in-use"):
        (temp / f"nmoe-graph-run-{name}" / "lock").touch()
    (temp / "nmoe-graph-run-link").symlink_to("/etc")
    with open(temp / "nmoe-graph-run-in-use" / "lock") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert run("true")[0].verdict is Verdict.PASSED
        assert sorted(path.name[15:] for path in temp.iterdir()) == ["in-use", "link", "strange"]
    (temp / "nmoe-graph-run-link").unlink()
    for name in ("in-use", "strange"):
        shutil.rmtree(temp / f"nmoe-graph-run-{name}")


def test_interpreter_inside_the_checkout_still_works(means: str, scratch: Scratch, tmp_path: Path) -> None:
    """This interpreter stays readable although its folder may lie in a hidden checkout."""
    store = Store(tmp_path / "store")
    hidden = (str(Path(sys.prefix).parent),) if Path(sys.prefix).parent != Path("/") else ()
    hidden = tuple(folder for folder in hidden if folder not in ("/usr", "/"))
    if not hidden:
        pytest.skip("this interpreter is the system's")
    job = Job("a1" * 32, "//gates:x", "python -c 'import pytest, json; print(1)'", 20, (), hidden=hidden)
    result = run_job(job, store, warn=pytest.fail)
    assert (result.verdict, store.log(result)) == (Verdict.PASSED, b"1\n")


# -- the choice ----------------------------------------------------------------------------------------------------------------


def test_unknown_means_is_an_error_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A means that does not exist is refused by name, and the hint lists them all."""
    monkeypatch.setenv("NMOE_GRAPH_SANDBOX", "chroot")
    with pytest.raises(HostError, match="chroot") as error:
        choose_means()
    assert "namespaces, landlock, audit, folder" in error.value.faults[0].hint


def test_the_strongest_fence_that_is_here_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without namespaces Landlock, without it the guard; and asking for what is not here is an error, not a weaker fence."""
    monkeypatch.setattr("nmoe_graph.execute.sandbox._bubblewrap", lambda: None)
    monkeypatch.setattr("nmoe_graph.execute.sandbox._landlock", lambda: True)
    monkeypatch.delenv("NMOE_GRAPH_SANDBOX", raising=False)
    assert choose_means() == "landlock"
    monkeypatch.setattr("nmoe_graph.execute.sandbox._landlock", lambda: False)
    assert choose_means() == "audit"
    for means in ("namespaces", "landlock"):
        monkeypatch.setenv("NMOE_GRAPH_SANDBOX", means)
        with pytest.raises(HostError):
            choose_means()


# -- through the command line --------------------------------------------------------------------------------------------------


def test_undeclared_read_through_a_build(means: str, scratch: Scratch, cli: Callable[..., tuple[int, str, str]]) -> None:
    """A gate whose test reads a file beside it that was not declared fails, and passes once it is declared."""
    gate = '\n[gates."cpu:reads"]\ntier = "a"\ntimeout_s = 30\ncmd = "python check.py"\n'
    scratch.write("configs/gates/gates.toml", scratch.read("configs/gates/gates.toml") + gate)
    scratch.write("check.py", "name = bytes.fromhex('646f63732f612e747874').decode()\nassert open(name).read() == 'one\\n'\n")
    scratch.commit()
    assert cli("build", "cpu:reads")[0] == 1
    scratch.replace("configs/gates/gates.toml", "python check.py", 'python check.py"\ninputs = ["docs/**"]\nnotes = "')
    assert cli("build", "cpu:reads")[0] == 0


def test_compileall_of_an_emptied_package(means: str, scratch: Scratch, ask: Callable[..., Any]) -> None:
    """Compiling a package that has no file left is a failure and not an easy pass."""
    scratch.git("rm", "-rq", "nmoe")
    scratch.write("nmoe/README", "nothing to compile\n")
    scratch.commit()
    (row,) = ask("build", "cpu:compileall", code=1)["gates"]
    assert (row["verdict"], row["proven"]) == ("failed", False)
    assert "nmoe" in row["reason"]


def test_a_folder_whose_removal_was_cut_off_is_swept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever is killed while removing leaves what the next start removes, at once and whatever is left in it."""
    home = tmp_path / "nmoe-graph-run-1-x"
    (home / "box").mkdir(parents=True)
    (home / "lock").touch()
    with monkeypatch.context() as cut:
        cut.setattr(shutil, "rmtree", lambda folder, **_: (Path(folder) / "lock").unlink(missing_ok=True))
        sandbox._remove(home)
    assert [path.name for path in tmp_path.iterdir()] == ["nmoe-graph-run-1-x.dead"]
    sandbox._sweep.cache_clear()
    sandbox._sweep(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
