"""One rank of test_torch_ranks.py: python ranks.py ADDRESS INIT RANK WORLD. It prints what went wrong, and fails."""

from __future__ import annotations

import sys
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import kantor
import kantor.torch
from kantor.schedules import Linear

ROWS = 24
PRIOR = kantor.StandardNormal()


def data() -> torch.Tensor:
    return torch.randn(ROWS, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def cut(rank: int, world: int) -> slice:
    """A rank's rows: of two ranks 7 and 17, of more the last has the rest."""
    ends = [7 * (i + 1) if i + 1 < world else ROWS for i in range(world)]
    return slice(7 * rank, ends[rank])


def criterion(client: kantor.Client, **gather: Any) -> kantor.torch.Loss:
    objective = (
        kantor.Sinkhorn("z", "prior", blur=0.7)
        + kantor.GaussianKl("q", "p")
        + kantor.ConeCritic("z", "prior", name="w")
    )
    return kantor.torch.Loss(objective, client, schedules={"kl.weight": Linear(1, 2, 3)}, seed=3, **gather)


def bit_for_bit(client: kantor.Client, rank: int, world: int) -> None:
    """Codes' gradients over the world are the rows of one process; those of a shared input are its own."""
    mine = cut(rank, world)
    joint, gathered = criterion(client), criterion(client, gather=["z", "q"])
    p = [torch.zeros(1, 3, dtype=torch.float64).requires_grad_() for _ in range(4)]
    for _ in range(3):  # steps, so that seed, schedule and critic go along on every rank
        whole = data().requires_grad_()
        want = joint(z=whole, prior=PRIOR, q=kantor.Gaussian(whole, -whole), p=kantor.Gaussian(p[0], p[1]))
        want.backward()
        part = data()[mine].requires_grad_()
        got = gathered(z=part, prior=PRIOR, q=kantor.Gaussian(part, -part), p=kantor.Gaussian(p[2], p[3]))
        got.backward()
        assert got.item() == want.item(), (got, want)
        assert whole.grad is not None
        assert part.grad is not None
        assert torch.equal(part.grad / world, whole.grad[mine])
    assert torch.equal(torch.as_tensor(p[0].grad), torch.as_tensor(p[2].grad))
    assert joint.step == gathered.step == 3
    states = [c.state_dict()["_extra_state"]["critics"]["w"] for c in (joint, gathered)]
    assert all(torch.equal(torch.as_tensor(states[0][k]), torch.as_tensor(states[1][k])) for k in states[0])


def parallel(client: kantor.Client, rank: int, world: int) -> None:
    """DistributedDataParallel's mean is the joint gradient, up to the order in which rows are summed."""
    torch.manual_seed(1)
    encoder = torch.nn.Linear(3, 3).double()
    alone = torch.nn.Linear(3, 3).double()
    alone.load_state_dict(encoder.state_dict())
    model = DistributedDataParallel(encoder)
    loss = kantor.torch.Loss(kantor.Sinkhorn("z", "prior", blur=0.7), client, gather=True)
    loss(z=model(data()[cut(rank, world)]), prior=PRIOR).backward()
    kantor.torch.Loss(kantor.Sinkhorn("z", "prior", blur=0.7), client)(z=alone(data()), prior=PRIOR).backward()
    for got, want in zip(encoder.parameters(), alone.parameters(), strict=True):
        # Codes differ by roundings between a product with 7 rows and one with 24.
        torch.testing.assert_close(got.grad, want.grad, rtol=1e-9, atol=1e-12)


def refusals(client: kantor.Client, rank: int) -> None:
    """What one rank has wrong every rank refuses, in the same words, and goes on."""
    loss = kantor.torch.Loss(kantor.GaussianKl("q"), client, gather=True)
    zeros = torch.zeros(4, 2)
    cases: list[tuple[kantor.Gaussian, str]] = [
        (kantor.Gaussian(torch.zeros(4, 2 + rank), zeros), "q.mean: is float32 of shape (4, 3), on rank 0 float32"),
        (kantor.Gaussian(zeros.clone().requires_grad_(rank == 1), zeros), "requires_grad: on rank 1 is wanted in"),
        (kantor.Gaussian(zeros[None], zeros[None]), "q.mean: has shape (1, 4, 2), want one problem"),
        (kantor.Gaussian(zeros, zeros[:3]), "q.log_variance: "),  # the server's own refusal, on rank 0
    ]
    for q, message in cases:
        try:
            loss(q=q)
        except kantor.InvalidArgumentError as error:
            assert str(error).startswith(message), error
        else:
            raise AssertionError(f"want a refusal: {message}")
    assert loss.step == 0
    assert loss(q=kantor.Gaussian(zeros, zeros)).item() == 0


def main(address: str, init: str, rank: int, world: int) -> None:
    dist.init_process_group("gloo", init_method=init, rank=rank, world_size=world)
    with kantor.Client(address, timeout=60) as client:
        bit_for_bit(client, rank, world)
        parallel(client, rank, world)
        refusals(client, rank)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
