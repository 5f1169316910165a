"""The CUDA library: it builds for both chips, is what Python expects, and says plainly when it is not."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nmoe.csrc import ABI, CsrcError, Library
from nmoe_proofs import csrc_check

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "nmoe" / "csrc"

needs_nvcc = pytest.mark.skipif(
    shutil.which("nvcc") is None or shutil.which("make") is None, reason="building the CUDA library needs nvcc and make"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("csrc") / "libnmoe.so"
    subprocess.run(["make", "-s", "-C", str(SOURCE), f"OUT={out}"], check=True, timeout=300)
    return out


def check(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "nmoe_proofs.csrc_check"], cwd=root, capture_output=True, text=True, timeout=300)


@needs_nvcc
def test_the_gate_holds() -> None:
    done = check(ROOT)
    assert done.returncode == 0 and "sm_90a and sm_100a" in done.stdout, done.stderr


@needs_nvcc
def test_it_loads_and_is_refused_in_words(built: Path) -> None:
    """One file for both chips; what CUDA refuses is said in its words, and ctypes knows the types."""
    assert set(csrc_check.machine_code(built.read_bytes())) == {90, 100}
    library = Library(built)
    with pytest.raises(CsrcError, match=r"nmoe_signal: invalid argument \(CUDA error 1\)"):
        library.call("nmoe_signal", None, 2, 2, 1, None)
    with pytest.raises(CsrcError, match=r"nmoe_wait: invalid argument"):
        library.call("nmoe_wait", None, 0, 1, 1, None, None)
    with pytest.raises(ctypes.ArgumentError):
        library.call("nmoe_signal", None, "two", 2, 1, None)


@needs_nvcc
@pytest.mark.parametrize(
    ("file", "right", "wrong", "words"),
    [
        ("rdep.cu", "st.release.sys", "st.relaxed.sys", "st.release.sys.global.s64 is not in the PTX"),
        ("rdep.cu", "ld.acquire.sys", "ld.relaxed.sys", "ld.acquire.sys.global.s64 is not in the PTX"),
        ("rdep.cu", "int world, int64_t epoch, cudaStream_t stream", "int world, int epoch, cudaStream_t stream", "wanted ipiilp"),
        ("rdep.cu", 'describe(at, "nmoe_release", nmoe_release);', "", "nmoe_release is missing, wanted ip"),
        ("rdep.cu", "int peer = threadIdx.x;\n  if (peer", "int peer = threadIdx.x, unused;\n  if (peer", "the build failed"),
        ("Makefile", "ARCHS := 90a 100a", "ARCHS := 90a", "machine code for [90], wanted [90, 100]"),
    ],
)
def test_a_wrong_library_is_caught(tmp_path: Path, file: str, right: str, wrong: str, words: str) -> None:
    """Weaker ordering, other types, a function left out, a warning, a chip left out: each with its reason."""
    for package in ("nmoe", "nmoe_proofs"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "build"))
    target = tmp_path / "nmoe" / "csrc" / file
    assert right in target.read_text()
    target.write_text(target.read_text().replace(right, wrong))
    done = check(tmp_path)
    assert done.returncode == 1 and words in done.stderr, done.stdout + done.stderr


def test_no_library_and_no_compiler_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CsrcError, match=r"libnmoe.so does not exist; build it with: make -B -C .*csrc"):
        Library(tmp_path / "libnmoe.so")
    (tmp_path / "libnmoe.so").write_bytes(b"no library")
    with pytest.raises(CsrcError, match="cannot be loaded"):
        Library(tmp_path / "libnmoe.so")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert csrc_check.main() == 3


def test_the_table_is_of_what_the_source_offers() -> None:
    """Without a compiler too: each function of the table is described in the source, and no other is."""
    said = re.findall(r'describe\(at, "(\w+)", (\w+)\)', (SOURCE / "rdep.cu").read_text())
    assert [name for name, _ in said] == list(ABI) and all(name == function for name, function in said)
