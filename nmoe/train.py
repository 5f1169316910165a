"""Train: `python -m nmoe.train CONFIG.toml [--key=value ...]`, also under torchrun.

Everything that can be wrong before the first step is looked at before any memory is taken: the configuration, the machine, the
number of ranks, the data, frozen experts, the checkpoint, the memory that will be needed.

Exit status: 0 trained; 1 the run failed (a loss that is not finite, a machine that is not the target); 2 the configuration or
what it names is wrong; 3 another rank is gone or memory cannot be shared; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .config import Config
from .faults import Fault, NotFinite, say
from .target import Where, prepare, require, where

if TYPE_CHECKING:
    from .data import Stream
    from .parallel import Ranks

__all__ = ["launch", "main"]


def main(argv: Sequence[str]) -> int:
    def body(config: Config, ranks: Ranks, stream: Stream, frozen: str) -> int:
        from .loop import run

        run(config, ranks, stream, frozen)
        return 0

    return launch(argv, body)


def launch(argv: Sequence[str], body: Callable[[Config, Ranks, Stream, str], int]) -> int:
    """Check everything, meet the other ranks, do `body`; every fault becomes lines on stderr and an exit status."""
    here = where()
    try:
        return _launched(argv, body, here)
    except ModuleNotFoundError as error:
        missing = Fault(f"{error.name} is not installed; pip install 'nmoe-graph[train]'")
        return say(missing, here.local_rank == 0)
    except KeyboardInterrupt:
        return 130


def _launched(argv: Sequence[str], body: Callable[[Config, Ranks, Stream, str], int], here: Where) -> int:
    try:
        config = Config.from_args(argv)
        target = require(config.target, here.local_rank)
        prepare(target)
        from .loop import check
        from .parallel import Ranks

        stream, frozen = check(config, target, here)
    except Fault as fault:  # all ranks find the same
        return say(fault, here.local_rank == 0)
    try:
        ranks = Ranks.join(here, target.device, config.timeout_s)
        status = body(config, ranks, stream, frozen)
        ranks.leave()
        return status
    except NotFinite as fault:  # all ranks find the same
        return say(fault, here.rank == 0)
    except Fault as fault:
        say(fault)
        if here.world == 1:
            return fault.status
        sys.stdout.flush()
        sys.stderr.flush()
        # a moment, so that the others name the rank that was lost first and not this one; then no more waiting for anybody
        time.sleep(1)
        os._exit(fault.status)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
