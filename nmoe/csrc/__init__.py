"""The CUDA library of `rdep.cu`, loaded through ctypes: no torch headers, so one build serves every torch.

    make -C nmoe/csrc                   builds it beside the source
    python -m nmoe_proofs.csrc_check     builds it elsewhere and checks everything that can be checked without a GPU

The library describes its own functions from their C++ types; loading compares that with `ABI` before anything is called.
"""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

from ..faults import HeapError

__all__ = ["ABI", "BUILT", "CsrcError", "Flags", "Library", "build"]

BUILT = Path(__file__).parent / "build" / "libnmoe.so"

#: name -> a letter for the result, then one for each argument
ABI = {"nmoe_signal": "ipiilp", "nmoe_wait": "ipilupp", "nmoe_shared": "ippi", "nmoe_release": "ip", "nmoe_error": "pi"}

_TYPES = {"i": ctypes.c_int, "l": ctypes.c_int64, "u": ctypes.c_uint64, "p": ctypes.c_void_p}


class CsrcError(HeapError):
    """The library is not there, is another one, or CUDA refused a call."""


class Library:
    """The functions of `ABI`, typed; a call that CUDA refuses raises."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            CsrcError: no such file, no library, or its functions are not those of `ABI`.
        """
        again = f"build it with: make -B -C {Path(__file__).parent}"
        if not path.is_file():
            raise CsrcError(f"{path} does not exist; {again}")
        try:
            self._dll = ctypes.CDLL(str(path))
            self._dll.nmoe_abi.restype = ctypes.c_char_p
            said = self._dll.nmoe_abi().decode()
        except (OSError, AttributeError) as error:
            raise CsrcError(f"{path} cannot be loaded: {error}; {again}") from error
        found = dict(line.split(" ") for line in said.splitlines())
        if found != ABI:
            names = sorted(name for name in found.keys() | ABI.keys() if found.get(name) != ABI.get(name))
            told = ", ".join(f"{name} is {found.get(name, 'missing')}, wanted {ABI.get(name, 'nothing')}" for name in names)
            raise CsrcError(f"{path} is another version: {told}; {again}")
        for name, letters in ABI.items():
            function = getattr(self._dll, name)
            function.restype = ctypes.c_char_p if name == "nmoe_error" else _TYPES[letters[0]]
            function.argtypes = [_TYPES[letter] for letter in letters[1:]]

    def call(self, name: str, *arguments: object) -> None:
        """
        Raises:
            CsrcError: CUDA returned an error; the message is its own.
        """
        code = getattr(self._dll, name)(*arguments)
        if code:
            raise CsrcError(f"{name}: {self._dll.nmoe_error(code).decode()} (CUDA error {code})")

    def shared(self, count: int) -> tuple[ctypes.Array[ctypes.c_int64], int]:
        """int64 [count] of zeros that host and device share: as the host sees it, and its address on the device."""
        host, device = ctypes.c_void_p(), ctypes.c_void_p()
        self.call("nmoe_shared", ctypes.addressof(host), ctypes.addressof(device), count)
        return (ctypes.c_int64 * count).from_address(host.value or 0), device.value or 0

    def release(self, shared: ctypes.Array[ctypes.c_int64]) -> None:
        self.call("nmoe_release", ctypes.addressof(shared))


class Flags:
    """The barrier of `world` ranks on the device: signal every peer, wait for all of them, give up after `limit_s`.

    `table` is the device address of an int64 [world] array that holds the address of every rank's words, `mine` the address of
    this rank's own words, int64 [world], zero at the start.
    """

    def __init__(self, library: Library, table: int, mine: int, rank: int, world: int, limit_s: float) -> None:
        self._library, self._table, self._mine = library, table, mine
        self.rank, self.world, self._limit_ns, self._epoch = rank, world, int(limit_s * 1e9), 0
        self._missing, self._missing_device = library.shared(world)

    def barrier(self, stream: int) -> None:
        """Enqueue a signal and a wait on a CUDA stream; nothing waits on the host.  Ask `missing` once the stream is through."""
        self._epoch += 1
        self._library.call("nmoe_signal", self._table, self.rank, self.world, self._epoch, stream)
        self._library.call("nmoe_wait", self._mine, self.world, self._epoch, self._limit_ns, self._missing_device, stream)

    def missing(self) -> list[int]:
        """The ranks that some barrier waited for in vain.  After one such barrier no later one waits."""
        return [rank for rank in range(self.world) if self._missing[rank]]

    def close(self) -> None:
        self._library.release(self._missing)


def build(out: Path) -> None:
    """Make the library at `out`.

    Raises:
        CsrcError: there is no make or no nvcc, or the build failed; with what they said.
    """
    line = ["make", "-s", "-C", str(Path(__file__).parent), f"OUT={out}"]
    try:
        done = subprocess.run(line, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CsrcError(f"make cannot be run: {error.strerror}") from None
    if done.returncode:
        raise CsrcError(f"{' '.join(line)} failed: {' '.join((done.stdout + done.stderr).split())[-300:]}")
