"""Memory of one rank that every rank can write, and the barrier that says when it may be read.

A heap has named arrays of the same shape on every rank (`Layout`), fixed at the start.  Three kinds: `Local` for one rank, `Posix`
for the CPU ranks of one machine, `Symm` for GPUs.  A Posix segment never has a name in a file system, so that nothing can be
left behind, however a run ends.

The barrier is a put of a growing epoch into every peer's `flag`, and a wait for all of one's own; there is a limit, and it
names the ranks that are missing.  Posix needs a machine that keeps stores in order (x86-64), which is checked.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import platform
import socket
import struct
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .faults import HeapError, LostRank
from .parallel import Ranks

__all__ = ["Heap", "Layout", "Local", "Posix", "Symm", "heap_bytes", "make_heap"]

#: name -> (shape, dtype)
Layout = dict[str, tuple[tuple[int, ...], torch.dtype]]

_ALIGN = 256


def _offsets(layout: Layout) -> tuple[dict[str, int], int]:
    """Where each array begins, in bytes, and the size of all."""
    at, places = 0, {}
    for name, (shape, dtype) in layout.items():
        places[name] = at
        at += -(-torch.Size(shape).numel() * dtype.itemsize // _ALIGN) * _ALIGN
    return places, max(at, _ALIGN)


def heap_bytes(layout: Layout) -> int:
    """Bytes of one rank's segment."""
    return _offsets(layout)[1]


def make_heap(layout: Layout, ranks: Ranks) -> Heap:
    """The heap for these ranks.

    Raises:
        HeapError: ranks of several machines on the cpu target, or a machine that cannot do it.
    """
    if ranks.world == 1:
        return Local(layout, ranks.device)
    if ranks.device.type == "cpu":
        return Posix.meet(layout, ranks)
    return Symm(layout, ranks)


class Heap:
    """The arrays of all ranks, as views of their segments (uint8, in rank order)."""

    def __init__(self, layout: Layout, rank: int, segments: Sequence[Tensor]) -> None:
        self.rank, self.world = rank, len(segments)
        places, _ = _offsets(layout)
        self._arrays = [
            {
                name: segment[places[name] :][: torch.Size(shape).numel() * dtype.itemsize].view(dtype).view(shape)
                for name, (shape, dtype) in layout.items()
            }
            for segment in segments
        ]

    def at(self, rank: int, name: str) -> Tensor:
        """The array of that name in a rank's segment, writable from here."""
        return self._arrays[rank][name]

    def barrier(self) -> None:
        """Return once every rank has come here as often as this one, and see what they put before.

        Raises:
            LostRank: the limit passed; the ranks that did not come are named.
        """
        raise NotImplementedError

    def check(self) -> None:
        """With the device idle: did every barrier so far end well?

        Raises:
            LostRank: as `barrier`.
        """


class Local(Heap):
    """One rank, and nobody to wait for."""

    def __init__(self, layout: Layout, device: torch.device | str = "cpu") -> None:
        super().__init__(layout, 0, [torch.zeros(heap_bytes(layout), dtype=torch.uint8, device=device)])

    def barrier(self) -> None:
        return None


class Posix(Heap):
    """Anonymous shared memory: rank r's segment is the open file `files[r]`, mapped by all."""

    def __init__(
        self,
        layout: Layout,
        rank: int,
        files: Sequence[int],
        timeout_s: float = 300.0,
        gone: Callable[[], Sequence[int]] = tuple,
    ) -> None:
        if platform.machine() not in ("x86_64", "AMD64"):
            raise HeapError(f"CPU ranks share memory on x86-64 only, whose stores stay in order; this is {platform.machine()}")
        layout = {**layout, "flag": ((len(files),), torch.int64)}
        size = heap_bytes(layout)
        for file in files:
            os.ftruncate(file, size)
        super().__init__(layout, rank, [torch.frombuffer(mmap.mmap(file, size), dtype=torch.uint8) for file in files])
        self._timeout_s, self._gone, self._epoch = timeout_s, gone, 0
        self._flags = [self.at(peer, "flag").numpy() for peer in range(self.world)]

    @staticmethod
    def segment() -> int:
        """A new anonymous file, closed when the last process that has it ends."""
        return os.memfd_create("nmoe-heap", os.MFD_CLOEXEC)

    @classmethod
    def meet(cls, layout: Layout, ranks: Ranks) -> Posix:
        """Make my segment, and be given those of the others."""
        if len({host for host, _, _ in ranks.process}) > 1:
            raise HeapError("the ranks are on several machines; the cpu target shares memory, so they must be on one")
        files = []
        try:
            files = _exchange(cls.segment(), ranks)
            heap = cls(layout, ranks.rank, files, ranks.timeout_s, ranks.gone)
        except OSError as error:
            raise HeapError(f"rank {ranks.rank} cannot map another rank's memory: {error.strerror or error}") from error
        finally:
            for file in files:
                os.close(file)
        ranks.barrier()  # every rank has mapped every segment; the mappings hold the memory from here on
        return heap

    def barrier(self) -> None:
        self._epoch += 1
        for flags in self._flags:
            flags[self.rank] = self._epoch
        mine, start, looked = self._flags[self.rank], time.monotonic(), 0
        while int(mine.min()) < self._epoch:
            looked += 1
            if looked % 1024 == 0:
                missing = [rank for rank in range(self.world) if mine[rank] < self._epoch]
                lost = sorted(set(self._gone()) & set(missing))
                if lost or time.monotonic() - start > self._timeout_s:
                    names = ", ".join(f"rank {rank}" for rank in (lost or missing))
                    why = "is gone" if lost else f"did not come within {self._timeout_s:g} s"
                    raise LostRank(f"rank {self.rank}, at barrier {self._epoch} of the heap: {names} {why}")
            time.sleep(0 if looked < 200 else 0.0002)


def _exchange(mine: int, ranks: Ranks) -> list[int]:
    """Everybody's open file, in rank order, sent over sockets that have no name in a file system either."""
    with contextlib.ExitStack() as opened:

        def endpoint() -> socket.socket:
            one = opened.enter_context(socket.socket(socket.AF_UNIX))
            one.settimeout(ranks.timeout_s)
            return one

        server = endpoint()
        server.bind("")  # Linux chooses an abstract address
        server.listen(ranks.world)
        asked = {}
        for rank, address in enumerate(ranks.objects(server.getsockname())):
            if rank != ranks.rank:
                asked[rank] = endpoint()
                asked[rank].connect(address)
        given = 0
        while given < ranks.world - 1:
            with server.accept()[0] as peer:
                _, user, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
                if user == os.getuid():  # an abstract address is open to all users
                    socket.send_fds(peer, [b"."], [mine])
                    given += 1
        files = {rank: socket.recv_fds(one, 1, 1)[1][0] for rank, one in asked.items()}
        return [files.get(rank, mine) for rank in range(ranks.world)]


class Symm(Heap):
    """torch's symmetric memory on GPUs that reach each other; the barrier is the timed one of `csrc`.

    Written for NVLink-connected GPUs of one machine, and never run on two: ranks that share one have run it (docs/performance.md).
    """

    def __init__(self, layout: Layout, ranks: Ranks) -> None:
        import torch.distributed as dist
        from torch.distributed import _symmetric_memory as symmetric

        from .csrc import Flags

        layout = {**layout, "flag": ((ranks.world,), torch.int64)}
        places, size = _offsets(layout)
        group = dist.group.WORLD
        if group is None:
            raise HeapError("symmetric memory needs the ranks to have met")
        self._memory = symmetric.empty(size, dtype=torch.uint8, device=ranks.device)
        self._memory.zero_()
        self._handle: Any = symmetric.rendezvous(self._memory, group)
        segments = [self._handle.get_buffer(rank, (size,), torch.uint8) for rank in range(ranks.world)]
        super().__init__(layout, ranks.rank, segments)
        torch.cuda.synchronize(ranks.device)
        ranks.barrier()  # nobody signals before every segment is zero
        words = [pointer + places["flag"] for pointer in self._handle.buffer_ptrs]
        self._table = torch.tensor(words, dtype=torch.int64, device=ranks.device)
        self._flags = Flags(_library(ranks), self._table.data_ptr(), words[self.rank], self.rank, self.world, ranks.timeout_s)

    def barrier(self) -> None:
        """Enqueued on the current stream: the host waits for nothing, and a rank that did not come shows in `check` later."""
        self._flags.barrier(torch.cuda.current_stream().cuda_stream)
        self.check()

    def check(self) -> None:
        if missing := self._flags.missing():
            names = ", ".join(f"rank {rank}" for rank in missing)
            raise LostRank(f"rank {self.rank}, at a barrier of the heap: {names} did not come in time")


def _library(ranks: Ranks) -> Any:
    """The CUDA library: as it was built beside its source, or built by one rank of this machine now."""
    from .csrc import BUILT, CsrcError, Library, build

    with tempfile.TemporaryDirectory() as folder:
        path, fault = BUILT, ""
        if not BUILT.is_file() and ranks.where.local_rank == 0:
            path = Path(folder) / BUILT.name
            try:
                build(path)
            except CsrcError as error:
                fault = str(error)
        first = ranks.rank - ranks.where.local_rank
        path, fault = ranks.objects((path, fault))[first]
        if fault:
            raise CsrcError(fault)
        library = Library(path)
        ranks.barrier()  # all have it loaded; then its file may go
    return library
