"""The command line: a verb a file, one exit code, no traceback.

Exit codes: 0 answered, or all proven; 1 a gate is not proven, or lint found something; 2 usage or a wrong declaration; 3 the
machine or a remote is not what it should be; 130 interrupted.
"""

from __future__ import annotations

from .main import main

__all__ = ["main"]
