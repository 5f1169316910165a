"""nmoe-graph sign"""

from __future__ import annotations

import argparse
import sys

from ..attest.container import Form, read_signed
from ..attest.making import Signing
from ..errors import UsageError
from ..statement.statement import read_statement
from ..statement.strictjson import canonical, read_json
from .verify import read_file


def run(options: argparse.Namespace) -> int:
    data = read_file(options.file)
    value = read_json(data, options.file, "the statement")
    if read_signed(data, options.file).form is not Form.STATEMENT:
        raise UsageError(f"{options.file} is signed already", hint="hand in the bare statement")
    payload = canonical(value)
    read_statement(payload, options.file)  # nobody should sign what nobody could use
    sys.stdout.write(Signing.chosen(options.key, options.form, options.backend).sign(payload).decode("utf-8"))
    return 0
