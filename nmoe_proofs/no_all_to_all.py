"""No all-to-all anywhere: not in the syntax tree of any file of the trainer, and not in a run, in which calling one raises.

    torchrun --standalone --nproc_per_node=2 -m nmoe_proofs.no_all_to_all CONFIG.toml

The run trains a small model for two steps on the cpu target.  It counts the rows that went to another rank, for without any it
would prove nothing.
"""

from __future__ import annotations

import ast
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nmoe
from nmoe.config import Config
from nmoe.train import launch

__all__ = ["forbid", "main", "mentions"]

_NAME = re.compile(r"(?i)all_?to_?all\w*")
_NATIVE = re.compile(r"(?i)\w*all_?to_?all\w*")


def mentions(package: Path) -> list[str]:
    """file:line of every name, attribute, import or text that is the name of an all-to-all, in Python and in CUDA."""
    found = []
    for path in sorted(package.rglob("*")):
        if path.suffix == ".py":
            found += [f"{path.relative_to(package.parent)}:{line}: {name}" for line, name in _in_python(path.read_text())]
        elif path.suffix in (".cu", ".cuh", ".cpp", ".h"):
            lines = enumerate(path.read_text().splitlines(), 1)
            found += [f"{path.relative_to(package.parent)}:{at}: {m[0]}" for at, text in lines for m in _NATIVE.finditer(text)]
    return found


def _in_python(text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text)):
        words: list[str] = []
        if isinstance(node, ast.Name):
            words = [node.id]
        elif isinstance(node, ast.Attribute):
            words = [node.attr]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            words = [part for alias in node.names for part in alias.name.split(".")]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words = [node.value]
        for word in words:
            if _NAME.fullmatch(word):
                yield getattr(node, "lineno", 0), word


def forbid() -> int:
    """Make every all-to-all of torch raise; returns how many were found, so that a renamed one does not pass unseen."""
    import torch.distributed as dist
    from torch.distributed import _functional_collectives, distributed_c10d

    def never(*_args: Any, **_kwargs: Any) -> None:
        raise AssertionError("an all-to-all was called")

    count = 0
    for place in (dist, distributed_c10d, _functional_collectives, dist.ProcessGroup, dist.ProcessGroupGloo):
        for name in dir(place):
            if _NAME.fullmatch(name) and callable(getattr(place, name)):
                setattr(place, name, never)
                count += 1
    return count


def _run(argv: list[str]) -> int:
    from nmoe.prep import pydoc_texts, write_shards
    from nmoe.rdep import Rdep
    from nmoe.trainer import Trainer

    sent_away = 0
    dispatch = Rdep.dispatch

    def counting(self: Any, plan: Any, *args: Any) -> Any:
        nonlocal sent_away
        sent_away += int((plan.owner_P != self.heap.rank).sum())
        return dispatch(self, plan, *args)

    def body(config: Config, ranks: Any, stream: Any, frozen: str) -> int:
        trainer = Trainer(config, ranks, stream, frozen)
        for _ in range(config.steps):
            trainer.train_step()
        total = sum(ranks.objects(sent_away))
        if ranks.world < 2 or not total:
            sys.stderr.write(
                "nmoe: no row went to another rank, so nothing was proven; run it under torchrun with 2 ranks or more\n"
            )
            return 1
        if ranks.rank == 0:
            sys.stdout.write(
                f"no_all_to_all: {config.steps} steps on {ranks.world} ranks, {total} rows to other ranks, none called\n"
            )
        return 0

    Rdep.dispatch = counting  # type: ignore[method-assign,assignment]
    try:
        with tempfile.TemporaryDirectory() as folder:
            write_shards(Path(folder, "data"), pydoc_texts()[:8])
            return launch([*argv, f"--data_path={folder}/data", "--target=cpu", "--steps=2", "--no-resume"], body)
    finally:
        Rdep.dispatch = dispatch  # type: ignore[method-assign,assignment]


def main(argv: list[str]) -> int:
    if not argv:
        sys.stderr.write("nmoe: python -m nmoe_proofs.no_all_to_all CONFIG.toml\n")
        return 2
    found = mentions(Path(nmoe.__file__).parent)
    sys.stderr.write("".join(f"nmoe: {line} is an all-to-all\n" for line in found))
    if found:
        return 1
    if forbid() < 4:
        sys.stderr.write("nmoe: torch's collectives have other names here; teach this proof about them\n")
        return 1
    return _run(argv)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
