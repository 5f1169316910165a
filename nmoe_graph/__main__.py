"""`python -m nmoe_graph` is `nmoe-graph`."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
