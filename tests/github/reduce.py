"""Cut GitHub's own description of its API down to the operations that the forge uses.

    npm pack @octokit/openapi@23.0.2 && tar xzf octokit-openapi-23.0.2.tgz package/generated/api.github.com.json
    python tests/github/reduce.py package/generated/api.github.com.json

The same input gives the same bytes.  See DESCRIPTION.md for source and licence.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nmoe_graph.forge.operations import OPERATIONS

DESCRIPTION = Path(__file__).with_name("description.json.gz")
#: GitHub honours these, and describes `application/json` alone.
ALIASES = ("application/vnd.github+json", "application/vnd.github.v3+json")


def references(node: Any) -> Iterator[str]:
    """Every $ref below a node."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def without(node: Any, names: tuple[str, ...]) -> Any:
    """A copy without keys that say nothing about form; a property may be called like one of them and stays."""
    if isinstance(node, dict):
        return {
            key: {name: without(inner, names) for name, inner in value.items()} if key == "properties" else without(value, names)
            for key, value in node.items()
            if key not in names
        }
    return [without(value, names) for value in node] if isinstance(node, list) else node


def with_null(node: Any) -> None:
    """A value that may be null may be null where an enumeration lists what else it may be: GitHub's description forgets that."""
    if isinstance(node, dict):
        if node.get("nullable") and isinstance(node.get("enum"), list) and None not in node["enum"]:
            node["enum"] = [*node["enum"], None]
        for value in node.values():
            with_null(value)
    elif isinstance(node, list):
        for value in node:
            with_null(value)


def with_aliases(response: dict[str, Any]) -> None:
    content = response.get("content", {})
    if "application/json" in content:
        for alias in ALIASES:
            content.setdefault(alias, content["application/json"])


def reduced(whole: dict[str, Any]) -> dict[str, Any]:
    """The description of the operations in OPERATIONS, and of all that they refer to."""
    paths: dict[str, Any] = {}
    for one in OPERATIONS.values():
        found = whole["paths"][one.path][one.method.lower()]
        if found["operationId"] != one.id:
            raise SystemExit(f"{one.method} {one.path} is {found['operationId']}, not {one.id}")
        keep = ("operationId", "parameters", "requestBody", "responses")
        paths.setdefault(one.path, {})[one.method.lower()] = {key: found[key] for key in keep if key in found}
    components: dict[str, dict[str, Any]] = {}
    waiting: list[Any] = [paths]
    while waiting:
        for reference in sorted(set(references(waiting.pop()))):
            kind, name = reference.removeprefix("#/components/").split("/", 1)
            name = name.replace("~1", "/").replace("~0", "~")
            if name not in components.setdefault(kind, {}):
                components[kind][name] = whole["components"][kind][name]
                waiting.append(components[kind][name])
    document = {
        "openapi": whole["openapi"],
        "info": {"title": whole["info"]["title"], "version": whole["info"]["version"], "license": whole["info"]["license"]},
        "servers": [{"url": "https://api.github.com"}],
        "paths": paths,
        "components": components,
    }
    examples = components.get("examples", {})
    document = without(document, ("description", "x-github", "x-octokit", "externalDocs", "summary"))
    with_null(document)
    document["components"]["examples"] = {name: {"value": one["value"]} for name, one in examples.items()}
    # Described as a date-time, and documented as a search by date (`>=2026-01-31T12:00:00Z`), which it is.
    document["components"]["parameters"]["created"]["schema"].pop("format")
    for path in document["paths"].values():
        for operation in path.values():
            for response in operation["responses"].values():
                response.setdefault("description", "")
                with_aliases(response)
    for response in document["components"].get("responses", {}).values():
        response.setdefault("description", "")
        with_aliases(response)
    return document


def main(source: str) -> None:
    data = json.dumps(reduced(json.loads(Path(source).read_bytes())), separators=(",", ":"), sort_keys=True).encode()
    DESCRIPTION.write_bytes(gzip.compress(data, 9, mtime=0))
    sys.stdout.write(f"{len(OPERATIONS)} operations, {len(data):,} bytes, {DESCRIPTION.stat().st_size:,} compressed\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
