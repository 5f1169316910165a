"""`python -m nmoe CONFIG.toml [--key=value ...]`: print what a command line means, without running anything."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .config import Config
from .faults import ConfigError, say


def main(argv: Sequence[str]) -> int:
    """Exit status 2, with every fault, where the command line means nothing."""
    try:
        config = Config.from_args(argv)
    except ConfigError as error:
        return say(error)
    total, active = config.parameter_count()
    sys.stdout.write(f"# {total:,} parameters, {active:,} active, fingerprint {config.fingerprint()[:16]}\n{config.to_toml()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
