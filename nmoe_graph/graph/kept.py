"""A graph as JSON and back, for the memo: so that a start of the program need not read declarations that it has read before."""

from __future__ import annotations

import dataclasses
from typing import Any

from .. import model
from ..errors import Fault, Location
from ..label import Label
from .graph import Graph

__all__ = ["graph_from_json", "graph_to_json"]

_RECORDS: dict[str, type[Any]] = {
    record.__name__: record
    for record in (
        Fault,
        Label,
        Location,
        model.Action,
        model.Bundle,
        model.Contract,
        model.Files,
        model.Gate,
        model.Merge,
        model.PerfBudget,
        model.Python,
        model.Toolchain,
        model.WorkspaceDecl,
    )
}
_FIELDS = {name: tuple(field.name for field in dataclasses.fields(record)) for name, record in _RECORDS.items()}


#: The places of single keys serve only the faults of a load, and a kept graph has none; they are half of the bytes.
_LEFT_OUT = "places"
_PLAIN = frozenset([str, int, float, bool, type(None)])


def _to_json(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    name = kind.__name__
    if name in _RECORDS:
        parts = [[] if field == _LEFT_OUT else getattr(value, field) for field in _FIELDS[name]]
        return {"$": name, "f": [one if type(one) in _PLAIN else _to_json(one) for one in parts]}
    if isinstance(value, (tuple, list)):
        return [one if type(one) in _PLAIN else _to_json(one) for one in value]
    if isinstance(value, dict):
        return {"$": "", "f": [[key, _to_json(one)] for key, one in value.items()]}
    assert isinstance(value, (str, int, float, bool)), f"{name} has no JSON form"
    return value


def _from_json(value: Any) -> Any:
    # Most values are plain: they are told apart here, without a call each, since a start of the program waits for this.
    if isinstance(value, list):
        return tuple([_from_json(one) if isinstance(one, (list, dict)) else one for one in value])
    if isinstance(value, dict):
        if not value["$"]:
            return {key: _from_json(one) for key, one in value["f"]}
        return _RECORDS[value["$"]](*[_from_json(one) if isinstance(one, (list, dict)) else one for one in value["f"]])
    return value


def graph_to_json(graph: Graph) -> Any:
    """Everything that a graph holds."""
    return {
        "workspace": _to_json(graph.workspace),
        "targets": [_to_json(target) for target in graph],
        "warnings": _to_json(graph.warnings),
        "owners": dict(graph.owners),
        "invariants": dict(graph.invariants),
        "meta_target": graph.meta_target,
    }


def graph_from_json(value: Any) -> Graph:
    """The graph that `graph_to_json` was given."""
    targets = [_from_json(one) for one in value["targets"]]
    return Graph(
        _from_json(value["workspace"]),
        {target.label: target for target in targets},
        _from_json(value["warnings"]),
        value["owners"],
        value["invariants"],
        value["meta_target"],
    )
