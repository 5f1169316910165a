"""One file, judged alone: outside git, without the files and the other contracts that it names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import DeclarationError, Fault, Location, UsageError, did_you_mean, printable
from ..metrics import LogPattern
from .attestation import attestation_data
from .build import load_build
from .contract import contract_data, read_contract
from .gates import GatesFile, load_gates
from .markdown import find_block
from .text import Reading, decode
from .yamltext import read_yaml

__all__ = ["LINT_KINDS", "MOST_BYTES", "attestation_reading", "gate_patterns", "lint_file"]


def gate_patterns(gates: str | None, gate_id: str) -> tuple[LogPattern, ...]:
    """The patterns over a log that a gate of a gates.toml declares.

    Raises:
        UsageError: no file, no such gate, or it declares none.
    """
    found = _gates(gates)
    if found is None:
        raise UsageError("--gate needs --gates FILE, where the gate is declared")
    gate = found.by_id().get(gate_id)
    if gate is None:
        raise UsageError(f"there is no gate {gate_id}", hint=did_you_mean(gate_id, found.by_id()))
    patterns = tuple(LogPattern.parse(key.removeprefix("log.")) for key, _ in gate.expects if key.startswith("log."))
    if not patterns:
        raise UsageError(f"{gate_id} declares no pattern over its log", hint='expects = { log = "words {metric}" }')
    return patterns


#: More of a file is not read: every kind has a lower limit of its own.
MOST_BYTES = 4 * 1024 * 1024
LINT_KINDS = ("contract", "issue", "gates", "build", "attestation")
_MOST_BODY = 1024 * 1024


def _read(path: str) -> bytes:
    """
    Raises:
        UsageError: the file is not there, or is none.
    """
    try:
        with open(path, "rb") as handle:
            return handle.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{printable(path, limit=200)} cannot be read: {error.strerror}") from None


def _block(data: bytes, file: str, key: str) -> Reading:
    text = decode_body(data, file)
    block = find_block(text, file, key)
    # The text of the block is judged strictly; what people wrote around it is theirs.
    inner = decode(block.text.encode("utf-8", "surrogatepass"), file, _MOST_BODY)
    return read_yaml(inner, file, block.first_line, text)


def decode_body(data: bytes, file: str) -> str:
    """A Markdown body: any text around the block is allowed, as long as it is UTF-8.

    Raises:
        DeclarationError: it is too large, or no UTF-8.
    """
    if len(data) > _MOST_BODY:
        raise DeclarationError(Fault(f"the file is too large: the limit is {_MOST_BODY} bytes", Location(file)))
    try:
        return data.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise DeclarationError(Fault("the file is not UTF-8", Location(file, 1, 1), "save it in the encoding UTF-8")) from None


def _gates(path: str | None) -> GatesFile | None:
    return load_gates(_read(path), path) if path else None


def lint_bytes(
    kind: str,
    data: bytes,
    file: str,
    gates: GatesFile | None = None,
    contract: str | None = None,
    *,
    allow: Sequence[str] = (),
) -> dict[str, Any]:
    """The normalised declaration, with the key paths of the file; `allow` are words that may be public in a contract.

    Raises:
        DeclarationError: with every fault.
    """
    if kind == "build":
        return dict(load_build(data, file, "").normal)
    if kind == "gates":
        return dict(load_gates(data, file).normal)
    if kind == "contract":
        return contract_data(read_yaml(data, file), gates, allow)
    if kind == "issue":
        return contract_data(_block(data, file, "nmoe"), gates, allow)
    reading = attestation_reading(data, file)
    answered = read_contract(read_yaml(_read(contract), contract), gates) if contract else None
    return attestation_data(reading, gates, answered)


def attestation_reading(data: bytes, file: str) -> Reading:
    """The block of a pull request, from a YAML file or from the Markdown around it.

    Raises:
        DeclarationError: there is not exactly one.
    """
    looks_like_yaml = Path(file).suffix in (".yaml", ".yml") or data.lstrip().startswith(b"nmoe_pr:")
    return read_yaml(data, file) if looks_like_yaml else _block(data, file, "nmoe_pr")


def lint_file(
    kind: str, path: str, gates: str | None = None, contract: str | None = None, *, data: bytes | None = None
) -> tuple[dict[str, Any] | None, list[Fault]]:
    """The normalised declaration, or None and every fault.  With `data`, `path` is only what the text is called.

    Raises:
        UsageError: a file is not there, or is none.
    """
    try:
        return lint_bytes(kind, _read(path) if data is None else data, path, _gates(gates), contract), []
    except DeclarationError as error:
        return None, list(error.faults)
