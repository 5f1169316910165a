"""`python -m nmoe_proofs.csrc_check`: build the CUDA library for sm_90a and sm_100a and check it.

Without a GPU: it compiles with all warnings as errors; it holds machine code for both chips; the flags are written with release
and read with acquire at system scope, against a clock; it loads, and its functions are those that Python expects; a call
without a device is refused with CUDA's own words.  With a GPU: a barrier that one rank does not reach names that rank in time.

Exit status: 0 all holds, 1 something does not, 3 there is no nvcc or no make.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from nmoe.csrc import BUILT, CsrcError, Flags, Library

ARCHS = (90, 100)
OPCODES = ("st.release.sys.global.s64", "ld.acquire.sys.global.s64", "%globaltimer", "membar.sys")
EM_CUDA = 190


def main() -> int:
    for program in ("nvcc", "make"):
        if shutil.which(program) is None:
            sys.stderr.write(f"nmoe_proofs.csrc_check: there is no {program} on this machine's PATH\n")
            return 3
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "libnmoe.so"
        make = ["make", "-s", "-C", str(BUILT.parents[1]), "check", f"OUT={out}"]
        built = subprocess.run(make, capture_output=True, text=True)
        if built.returncode:
            sys.stderr.write(f"nmoe_proofs.csrc_check: the build failed\n{built.stdout}{built.stderr}")
            return 1
        faults = [*_compiled(out), *_loaded(out)]
    sys.stderr.write("".join(f"nmoe_proofs.csrc_check: {fault}\n" for fault in faults))
    if not faults:
        sys.stdout.write(f"libnmoe.so: sm_90a and sm_100a, {len(OPCODES)} opcodes, ABI as declared\n")
    return 1 if faults else 0


def machine_code(library: bytes) -> Iterator[int]:
    """The chips, as in sm_NN, for which a file holds machine code: its ELF images of NVIDIA's machine."""
    at = library.find(b"\x7fELF", 1)
    while at > 0:
        if struct.unpack_from("<H", library, at + 18)[0] == EM_CUDA:
            yield struct.unpack_from("<I", library, at + 48)[0] >> 8 & 0xFF
        at = library.find(b"\x7fELF", at + 1)


def _compiled(out: Path) -> Iterator[str]:
    found = set(machine_code(out.read_bytes()))
    if found != set(ARCHS):
        yield f"the library holds machine code for {sorted(found)}, wanted {list(ARCHS)}"
    for arch in ARCHS:
        file = out.parent / f"sm_{arch}a.ptx"
        ptx = file.read_text() if file.exists() else ""
        if f".target sm_{arch}a" not in ptx:
            yield f"the PTX is not for sm_{arch}a"
        yield from (f"sm_{arch}a: {opcode} is not in the PTX" for opcode in OPCODES if opcode not in ptx)


def _loaded(out: Path) -> Iterator[str]:
    try:
        library = Library(out)
    except CsrcError as error:
        yield str(error)
        return
    try:
        library.release(library.shared(1)[0])
    except CsrcError as error:
        if "CUDA error" not in str(error):
            yield f"a call without a device is not refused in CUDA's words: {error}"
        return
    yield from _timed(library)


def _timed(library: Library) -> Iterator[str]:
    """Rank 0 of two, on this device; rank 1 comes to the first barrier and not to the second."""
    words, words_at = library.shared(4)  # rank 0's two, then rank 1's
    table, table_at = library.shared(2)
    table[0], table[1] = words_at, words_at + 16
    words[1] = 1  # rank 1 has reached epoch 1
    flags = Flags(library, table_at, words_at, rank=0, world=2, limit_s=0.5)
    flags.barrier(0)
    flags.barrier(0)
    begin = time.monotonic()
    while not flags.missing() and time.monotonic() - begin < 10:
        time.sleep(0.01)
    waited = time.monotonic() - begin
    if flags.missing() != [1] or waited > 5 or list(words) != [2, 1, 2, 0]:
        yield f"a barrier without rank 1 named {flags.missing()} after {waited:.1f} s, words {list(words)}; wanted [1] after 0.5 s"
    flags.close()
    library.release(words)
    library.release(table)


if __name__ == "__main__":
    raise SystemExit(main())
