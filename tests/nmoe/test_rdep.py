"""Direct dispatch: many ranks are one rank, bit for bit; and each barrier is there for a reason."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install 'nmoe-graph[train]'")

from nmoe.faults import LostRank  # noqa: E402
from nmoe.heap import Local, Posix, heap_bytes  # noqa: E402
from nmoe.rdep import Rdep, rdep_layout  # noqa: E402
from nmoe_proofs import rdep_equivalence  # noqa: E402


def test_worlds_agree_bitwise_while_ranks_come_late(capsys):
    """Forward in three formats, backward, three routings; the larger worlds are the gate's."""
    assert rdep_equivalence.prove([1, 2], rounds=1, jitter=0.001) == 0, capsys.readouterr()


@pytest.mark.parametrize("dropped", range(5))
def test_each_barrier_is_needed(monkeypatch, dropped, capsys):
    """Without any one of the five, late ranks read what is not there yet, and the bits show it."""

    class Hasty(Posix):
        def barrier(self):
            self.calls = getattr(self, "calls", 0) + 1
            if (self.calls - 1) % 5 != dropped:
                super().barrier()

    monkeypatch.setattr(rdep_equivalence, "Posix", Hasty)
    monkeypatch.setattr(rdep_equivalence, "KINDS", ((torch.float32, "bf16"),))
    assert rdep_equivalence.prove([2], rounds=4, jitter=0.06, timeout_s=60) == 1, capsys.readouterr()


def test_rows_are_in_the_order_of_all_tokens(tiny):
    """Within an expert by token, then choice; offsets bound them; origins lead back."""
    layout = rdep_layout(4, 2, 3, 4, 1, torch.float32)
    rdep = Rdep(Local(layout), 4, 2, 4)
    ids = torch.tensor([[3, 1], [1, 3], [3, 0], [0, 1]])
    plan = rdep.plan(ids)
    assert plan.offsets_L1.tolist() == [0, 2, 5, 5, 8] and plan.received == 8
    x = torch.arange(12.0).view(4, 3)
    rows, gate, origin = rdep.dispatch(plan, x, torch.arange(8.0).view(4, 2))
    assert origin.tolist() == [5, 6, 1, 2, 7, 0, 3, 4] and gate.tolist() == origin.tolist()
    assert torch.equal(rows, x[origin // 2])
    back, _ = rdep.give_back(rows, origin)
    assert torch.equal(back, x[:, None].expand(4, 2, 3))
    with pytest.raises(ValueError, match="laid out for 8"):
        rdep.plan(ids[:3])


def test_layout_has_room_for_every_row_of_every_rank():
    """Nothing can overflow: the arrays take T * K * world rows; the size is what the heap takes."""
    layout = rdep_layout(32_768, 6, 2048, 64, 8, torch.bfloat16)
    assert layout["x"][0] == (32_768 * 6 * 8, 2048) and layout["ret"][0] == (32_768 * 6, 2048)
    assert heap_bytes(layout) == pytest.approx(6.44e9 + 0.805e9, rel=0.01)


def test_barrier_gives_up_and_names_who_is_missing():
    """Three ranks, one of which comes."""
    files = [Posix.segment() for _ in range(3)]
    heap = Posix(rdep_layout(2, 1, 4, 3, 3, torch.float32), 0, files, timeout_s=0.2)
    with pytest.raises(LostRank, match=r"rank 0, at barrier 1 of the heap: rank 1, rank 2 did not come within 0.2 s"):
        heap.barrier()
    gone = Posix(rdep_layout(2, 1, 4, 3, 3, torch.float32), 0, files, timeout_s=60, gone=lambda: [2])
    gone._epoch = 5
    with pytest.raises(LostRank, match=r"rank 2 is gone"):
        gone.barrier()


def test_proof_is_a_program_that_refuses_nonsense(capsys):
    """Unknown options and worlds that do not divide the experts are status 2."""
    for args in (["--world=2"], ["--worlds=3"], ["--worlds=0"], ["--rounds=x"], ["-h"]):
        assert rdep_equivalence.main(args) == 2
        assert capsys.readouterr().err.count("\n") == 1
