"""`python -m nmoe_proofs.kernels_aot [KERNEL ...] [--format json]`: compile kernels for sm_90a and sm_100a, with no GPU.

Each kernel is compiled with the tiles and options that a launch uses, at moonlight's shapes, to PTX and through ptxas to machine
code.  The instructions that it exists for must be in the PTX (Triton 3.6 and 3.9 spell some of them differently), those that would
change its bits must not, and its shared memory must fit.  That a kernel compiles does not say that it is right: for that the
interpreter runs the same source against the reference, and a GPU the compiled one.

Exit status: 0 all hold, 1 one does not, 2 no such kernel, 3 Triton is missing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Build", "Result", "builds", "compile_one"]

ARCHS = {9: "sm_90a", 10: "sm_100a"}
SHARED_LIMIT = 227 * 1024

WGMMA = r"wgmma\.mma_async"
BULK = r"cp\.async\.bulk\.tensor"
MMA = {9: (WGMMA,), 10: (r"tcgen05\.mma\.cta_group::1\.kind::f16",)}
MXFP8 = {9: (WGMMA,), 10: (r"tcgen05\.mma\.cta_group::1\.kind::mxf8f6f4\.block_scale",)}
NVFP4 = {9: (WGMMA,), 10: (r"tcgen05\.mma\.cta_group::1\.kind::mxf4nvf4\.block_scale\.(block16|scale_vec::4X)",)}
E4M3 = r"cvt\.rn\.satfinite\.e4m3x2\.f32"
FUSED = r"fma\.rn\.f32"
RELEASE = r"\.(sys\.release|release\.sys)"
ACQUIRE = r"\.(sys\.acquire|acquire\.sys)"


@dataclass(frozen=True)
class Build:
    """One kernel for one chip: arguments by type, constants, compiler options; patterns that the PTX must and must not have."""

    name: str
    arch: int
    kernel: Any
    signature: dict[str, str]
    constants: dict[str, Any]
    options: dict[str, Any]
    wanted: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass
class Result:
    name: str
    arch: str
    shared: int = 0
    registers: int = 0
    stack: int = 0
    cubin: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


def builds() -> Iterator[Build]:
    """Every kernel, for each chip."""
    for arch in ARCHS:
        yield from _grouped(arch)
        yield from _scaled(arch)
        yield from _attention(arch)
        yield from _elementwise(arch)


def _grouped(arch: int) -> Iterator[Build]:
    from nmoe.kernels import grouped

    tile = grouped.TILES[arch]
    rows, wanted = f"tensordesc<bf16[{tile.m},{tile.k}]>", (*MMA[arch], BULK)
    tail = {"y": "*bf16", "offsets": "*i32", "tiles": "*i32", "used": "*i32"}
    tail |= {"n_tiles": "i32", "N": "i32", "K": "i32"}
    for name, turned, block in (("grouped_mm", False, (tile.k, tile.n)), ("grouped_mm_turned", True, (tile.n, tile.k))):
        signature = {"x": rows, "w": f"tensordesc<bf16[{block[0]},{block[1]}]>", **tail}
        constants = {"BM": tile.m, "BN": tile.n, "BK": tile.k, "TRANSPOSED": turned, "PROGRAMS": 132 if arch == 9 else 148}
        yield Build(name, arch, grouped.grouped_mm_kernel, signature, constants, tile.options, wanted)
    tile = grouped.WGRAD_TILES[arch]
    signature = {"x": f"tensordesc<bf16[{tile.k},{tile.m}]>", "dy": f"tensordesc<bf16[{tile.k},{tile.n}]>"}
    signature |= {"dw": "*bf16", "offsets": "*i32", "K": "i32", "N": "i32"}
    constants = {"BM": tile.m, "BN": tile.n, "BR": tile.k}
    yield Build("grouped_wgrad", arch, grouped.grouped_wgrad_kernel, signature, constants, tile.options, wanted)


def _scaled(arch: int) -> Iterator[Build]:
    from nmoe.kernels import scaled

    tile = scaled.TILES[arch]
    for name, code, values, scales, wanted in (
        ("scaled_mm_mxfp8", "e4m3", "*fp8e4nv", "*u8", MXFP8),
        ("scaled_mm_nvfp4", "e2m1", "*u8", "*fp8e4nv", NVFP4),
    ):
        signature = {"x": values, "xs": scales, "xg": "*fp32", "x_stride": "i32"}
        signature |= {"w": values, "ws": scales, "wg": "*fp32", "w_stride": "i32"}
        signature |= {"y": "*bf16", "offsets": "*i32", "tiles": "*i32", "n_tiles": "i32", "E": "i32", "N": "i32", "K": "i32"}
        constants = {"BM": tile.m, "BN": tile.n, "BK": tile.k, "FORMAT": code, "DECODED": arch != 10}
        yield Build(name, arch, scaled.scaled_grouped_mm_kernel, signature, constants, tile.options, wanted[arch])


def _attention(arch: int) -> Iterator[Build]:
    from nmoe.kernels import attn

    def signature(*names: str) -> dict[str, str]:
        given = {name: "*fp32" if name in ("lse", "delta") else "*bf16" for name in names}
        return given | {"S": "i32", "H": "i32", "scale": "fp32", "window": "i32"}

    for name, d1, d2, windowed in (("mla", 128, 64, False), ("swa", 128, 0, True)):
        widths = {"D1": d1, "D2": d2, "V": 128, "WINDOWED": windowed}
        for which, kernel, table, names in (
            ("forward", attn.forward_kernel, attn.FORWARD, ("q", "k", "v", "sink", "o", "lse")),
            ("rows", attn.rows_kernel, attn.ROWS, ("q", "k", "v", "do", "lse", "delta", "dq")),
            ("columns", attn.columns_kernel, attn.COLUMNS, ("q", "k", "v", "do", "lse", "delta", "dk", "dv")),
        ):
            tile = table[arch]
            constants = {"BM": tile.m, "BN": tile.n, **widths, **({"SINK": windowed} if which == "forward" else {})}
            yield Build(f"attention_{name}_{which}", arch, kernel, signature(*names), constants, tile.options, MMA[arch])
    given = {"o": "*bf16", "do": "*bf16", "delta": "*fp32", "rows": "i32"}
    yield Build("attention_delta", arch, attn.delta_kernel, given, {"V": 128, "BM": 32}, {"enable_fp_fusion": False})


def _elementwise(arch: int) -> Iterator[Build]:
    from nmoe.kernels import quant, rdep

    exact = {"enable_fp_fusion": False}
    block = {"BM": quant.ROWS, "BK": quant.COLUMNS}
    size, half = {"M": "i32", "K": "i32"}, {"M": "i32", "F": "i32"}
    coded = {"q": "*fp8e4nv", "s": "*u8"}
    packed = {"x": "*bf16", "q": "*u8", "s": "*fp8e4nv", "s_enc": "*fp32", "stride": "i32"}
    gated = {"x": "*bf16", "d": "*bf16", "gate": "*fp32", "dx": "*bf16", "gh": "*bf16", "dgate": "*fp32"}
    for name, kernel, signature, constants, wanted in (
        ("quantize_mxfp8", quant.quantize_mxfp8_kernel, {"x": "*bf16"} | coded | size, block, (E4M3,)),
        ("quantize_nvfp4", quant.quantize_nvfp4_kernel, packed | size, block, (E4M3, r"div\.rn\.f32")),
        ("swiglu", quant.swiglu_kernel, {"x": "*bf16", "h": "*bf16"} | half, block, ()),
        ("swiglu_backward", quant.swiglu_backward_kernel, gated | half, block | {"BM": 16}, ()),
        ("swiglu_quantize_mxfp8", quant.swiglu_quantize_mxfp8_kernel, {"x": "*bf16"} | coded | half, block, (E4M3,)),
    ):
        yield Build(name, arch, kernel, signature, constants, exact, wanted, (FUSED,))
    plan = {"index": "*i64", "rank": "*i64", "slot": "*i64", "bases": "*i64"}
    width = {"W": "i32"}
    yield Build("put_rows", arch, rdep.put_rows_kernel, {"x": "*bf16"} | plan | width, {"BW": 1024}, exact, (r"st\.global\.v4",))
    waits = {"bases": "*i64", "rank": "i32", "epoch": "i32", "polls": "i32", "missing": "*i32"}
    yield Build("barrier", arch, rdep.barrier_kernel, waits, {"WORLD": 8}, {"num_warps": 1, **exact}, (RELEASE, ACQUIRE))
    sums = {"rows": "*bf16", "gate": "*fp32", "out": "*bf16"} | width
    yield Build("combine", arch, rdep.combine_kernel, sums, {"K": 6, "BW": 1024, "GATED": True}, exact, (), (FUSED,))


def compile_one(build: Build) -> Result:
    """Compile, and say what does not hold.  Triton's own exceptions are faults of the kernel."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    result = Result(build.name, ARCHS[build.arch])
    begin = time.monotonic()
    # as a launch specialises: pointers are multiples of 16, and so are the integers that may be
    kinds = zip(build.kernel.params, build.signature.values(), strict=False)
    aligned = [at for at, (one, kind) in enumerate(kinds) if kind[0] == "*" or (kind == "i32" and not one.do_not_specialize)]
    source = ASTSource(
        fn=build.kernel,
        signature=build.signature | dict.fromkeys(build.constants, "constexpr"),
        constexprs=build.constants,
        attrs={(at,): [["tt.divisibility", 16]] for at in aligned},
    )
    try:
        compiled = triton.compile(source, target=GPUTarget("cuda", build.arch * 10, 32), options=build.options)
    except (triton.TritonError, triton.CompilationError, RuntimeError, subprocess.CalledProcessError) as error:
        result.faults.append(f"does not compile: {type(error).__name__}: {str(error).strip().splitlines()[0]}")
        return result
    ptx, cubin = compiled.asm["ptx"], compiled.asm["cubin"]
    result.shared, result.cubin, result.seconds = compiled.metadata.shared, len(cubin), round(time.monotonic() - begin, 2)
    result.registers, result.stack = _resources(cubin)
    result.faults += [f"{wanted} is not in the PTX" for wanted in build.wanted if not re.search(wanted, ptx)]
    result.faults += [f"{refused} is in the PTX" for refused in build.refused if re.search(refused, ptx)]
    if f".target {ARCHS[build.arch]}" not in ptx:
        result.faults.append(f"the PTX is not for {ARCHS[build.arch]}")
    if result.shared > SHARED_LIMIT:
        result.faults.append(f"{result.shared} bytes of shared memory, of {SHARED_LIMIT}")
    return result


def _resources(cubin: bytes) -> tuple[int, int]:
    """Registers a thread and bytes of stack (spills), as Triton's own cuobjdump reads them."""
    import triton

    program = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        said = subprocess.run([program, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m nmoe_proofs.kernels_aot", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kernels", nargs="*", metavar="KERNEL")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    asked = parser.parse_args()
    if importlib.util.find_spec("triton") is None:
        sys.stderr.write("nmoe_proofs.kernels_aot: Triton is not installed; pip install 'nmoe-graph[train]'\n")
        return 3
    os.environ.pop("TRITON_INTERPRET", None)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TRITON_CACHE_DIR"] = cache  # nothing compiled earlier counts
        import triton

        every = list(builds())
        if unknown := sorted(set(asked.kernels) - {build.name for build in every}):
            parser.error(f"no such kernel: {', '.join(unknown)}; there are {', '.join(sorted({build.name for build in every}))}")
        results = [compile_one(build) for build in every if not asked.kernels or build.name in asked.kernels]
    if asked.format == "json":
        table = {"schema": "nmoe/aot@1", "triton": triton.__version__, "kernels": [asdict(one) for one in results]}
        sys.stdout.write(json.dumps(table, indent=2) + "\n")
    else:
        sys.stdout.write(f"{'kernel':28} {'chip':8} {'shared':>7} {'regs':>5} {'stack':>6}   Triton {triton.__version__}\n")
        for one in results:
            sys.stdout.write(f"{one.name:28} {one.arch:8} {one.shared:7} {one.registers:5} {one.stack:6}\n")
    for one in results:
        sys.stderr.write("".join(f"nmoe_proofs.kernels_aot: {one.name} for {one.arch}: {fault}\n" for fault in one.faults))
    return 1 if any(one.faults for one in results) else 0


if __name__ == "__main__":
    raise SystemExit(main())
