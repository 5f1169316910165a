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

from .config import Config, ConfigError
from .target import Target, prepare, require

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
    speaks = os.environ.get("LOCAL_RANK", "0") == "0"
    try:
        config = Config.from_args(argv)
        target = require(config.target, int(os.environ.get("LOCAL_RANK", "0")))
        return _launched(config, target, speaks, body)
    except ConfigError as error:
        return _refuse(error.faults, speaks)
    except ModuleNotFoundError as error:
        return _refuse([f"{error.name} is not installed; pip install 'nmoe-graph[train]'"], speaks)
    except KeyboardInterrupt:
        return 130


def _refuse(lines: Sequence[str], speaks: bool, status: int = 2) -> int:
    if speaks:
        sys.stderr.write("".join(f"nmoe: {line}\n" for line in lines))
    return status


def _launched(config: Config, target: Target, speaks: bool, body: Callable[[Config, Ranks, Stream, str], int]) -> int:
    from .checkpoint import CheckpointError
    from .data import DataError
    from .freeze import FrozenError
    from .heap import HeapError
    from .loop import Refused, check
    from .parallel import LostRank, Ranks, places
    from .trainer import NotFinite

    prepare(target)
    where = places()
    try:
        stream, frozen = check(config, target, where)
    except (Refused, DataError, FrozenError, CheckpointError) as error:
        return _refuse([str(error)], speaks)
    try:
        ranks = Ranks.join(where, target.device, config.timeout_s)
        status = body(config, ranks, stream, frozen)
        ranks.leave()
        return status
    except NotFinite as error:
        return _refuse([str(error)], where.rank == 0, 1)
    except (LostRank, HeapError, CheckpointError, FrozenError) as error:
        status = 2 if isinstance(error, (CheckpointError, FrozenError)) else 3
        _refuse([str(error)], True)
        if where.world == 1:
            return status
        sys.stdout.flush()
        sys.stderr.flush()
        # a moment, so that the others name the rank that was lost first and not this one; then no more waiting for anybody
        time.sleep(1)
        os._exit(status)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
