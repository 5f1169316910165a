"""A fence by Landlock (Linux 5.13 and later): for every program, without root, without namespaces, without another program.

    python -I -S landlock.py SPEC -- COMMAND ARG...

SPEC is JSON: `hidden` folders that cannot be opened, `allowed` folders inside them that can be read all the same, `own` folders
where everything is allowed.  The rest of the machine can be read and run, and not written, but for devices.  Run by its path,
with nothing but the standard library.  Landlock has no rule that forbids, so what is not hidden is allowed piece by piece; the
folders on the way to a hidden one cannot be listed.

Numbers and structures: the kernel's include/uapi/linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import json
import os
import stat
import struct
import sys

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every architecture
_VERSION_FLAG, _PATH_BENEATH, _NO_NEW_PRIVS = 1, 1, 38
_EXECUTE, _WRITE, _READ, _LIST, _TRUNCATE, _IOCTL = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE | _IOCTL
_LOOK = _EXECUTE | _READ | _LIST
#: ABI -> how many rights over files the kernel knows.
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_SCOPE_SIGNALS = 1 << 1
_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """The kernel's Landlock ABI; 0 where there is none."""
    found: int = _libc.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))
    return max(found, 0)


def _call(*args: object) -> int:
    found: int = _libc.syscall(*args)
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"Landlock refused: {os.strerror(number)}")
    return found


class _Ruleset:
    def __init__(self, abi: int) -> None:
        self.rights = (1 << _RIGHTS.get(abi, 16)) - 1
        scoped = _SCOPE_SIGNALS if abi >= 6 else 0
        words = struct.pack("=QQQ", self.rights, 0, scoped)[: 8 if abi < 4 else 16 if abi < 6 else 24]
        self._descriptor = _call(_CREATE, words, ctypes.c_size_t(len(words)), ctypes.c_uint32(0))

    def allow(self, path: str, rights: int) -> None:
        """Grant rights at and below a path; one that is gone or cannot be opened gets none."""
        try:
            descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISLNK(mode):
                return
            granted = rights & self.rights & (-1 if stat.S_ISDIR(mode) else _OF_FILES)
            rule = struct.pack("=Qi", granted, descriptor)
            _call(_ADD, self._descriptor, _PATH_BENEATH, rule, ctypes.c_uint32(0))
        finally:
            os.close(descriptor)

    def allow_around(self, folder: str, hidden: frozenset[str]) -> None:
        """Let everything at and below a folder be read and run, but for the hidden folders."""
        pending = [folder]
        while pending:
            here = pending.pop()
            if here in hidden:
                continue
            prefix = here.rstrip("/") + "/"
            if not any(one.startswith(prefix) for one in hidden):
                self.allow(here, _LOOK)
                continue
            try:
                with os.scandir(here) as listing:
                    pending += [item.path for item in listing]
            except OSError:
                continue

    def restrict(self) -> None:
        if _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "the process may still gain privileges")
        _call(_RESTRICT, self._descriptor, ctypes.c_uint32(0))
        os.close(self._descriptor)


def fence(hidden: list[str], allowed: list[str], own: list[str]) -> None:
    """Bind this process, and all that it starts, for good.

    Raises:
        OSError: the kernel refuses; nothing is bound then.
    """
    rules = _Ruleset(version())
    rules.allow_around("/", frozenset(hidden))
    for path in allowed:
        rules.allow(path, _LOOK)
    rules.allow("/dev", rules.rights)
    for path in own:
        rules.allow(path, rules.rights)
    rules.restrict()


def main() -> None:
    spec = json.loads(sys.argv[1])
    command = sys.argv[3:]
    fence(spec["hidden"], spec["allowed"], spec["own"])
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
