"""The ranks of test_torch_ranks.py: python ranks.py ADDRESS INIT WORLD. It prints what went wrong, and fails.

They are forks of one process, which has imported for them.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import sys
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # DistributedDataParallel does, for seconds
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import kantor
import kantor.torch
from kantor.schedules import Linear

ROWS = 24
BATCH, DIMENSIONS = 128, 8  # of each rank, where they are alike
PRIOR = kantor.StandardNormal()


def data() -> torch.Tensor:
    return torch.randn(ROWS, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def cut(rank: int, world: int) -> slice:
    """A rank's rows: 7, and the last has the rest; of four 7, 7, 7 and 3."""
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


def kinds(client: kantor.Client, rank: int, world: int) -> None:
    """Distributions of every kind: values and gradients of the ranks' rows are those of one process."""
    random = torch.Generator().manual_seed(4)
    draws = {
        name: torch.randn(ROWS, *shape, dtype=torch.float64, generator=random)
        for name, shape in {"mean": (3,), "root": (3, 3), "logits": (5,), "bits": (4,), "kappa": ()}.items()
    }
    objective = (
        kantor.GaussianKl("q") + kantor.CategoricalKl("c") + kantor.BernoulliKl("b") + kantor.VonMisesFisherKl("v")
    )

    def derived(criterion: kantor.torch.Loss, rows: slice) -> tuple[float, list[torch.Tensor]]:
        leaves = {name: tensor[rows].clone().requires_grad_() for name, tensor in draws.items()}
        mean, root = leaves["mean"], leaves["root"]
        value = criterion(
            q=kantor.Gaussian(mean, covariance=root @ root.transpose(1, 2) + torch.eye(3, dtype=torch.float64)),
            c=kantor.Categorical(leaves["logits"]),
            b=kantor.Bernoulli(probabilities=leaves["bits"].sigmoid()),
            v=kantor.VonMisesFisher(torch.nn.functional.normalize(draws["mean"][rows]), leaves["kappa"].exp()),
        )
        return value.item(), list(torch.autograd.grad(value, list(leaves.values())))

    mine = cut(rank, world)
    value, gradients = derived(kantor.torch.Loss(objective, client, gather=True), mine)
    want, whole = derived(kantor.torch.Loss(objective, client), slice(0, ROWS))
    assert value == want, (value, want)
    for got, other in zip(gradients, whole, strict=True):
        assert other[mine].abs().max() > 1e-4
        torch.testing.assert_close(got / world, other[mine], rtol=1e-12, atol=1e-14)


class Encoder(torch.nn.Module):
    """Codes whose rows have the same bits whatever other rows are computed with them: no matrix product."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(1)
        self.table = torch.nn.Parameter(torch.randn(rows, DIMENSIONS, dtype=torch.float64, generator=random))
        self.scale = torch.nn.Parameter(torch.linspace(0.5, 1.5, DIMENSIONS, dtype=torch.float64))

    def forward(self, x: torch.Tensor, rows: slice) -> torch.Tensor:
        return self.scale * x + self.table[rows]


def parallel(client: kantor.Client, rank: int, world: int) -> None:
    """DistributedDataParallel's mean over the ranks is the gradient of one process with all rows.

    Bit for bit in a parameter that each rank has its own rows of. In one that all rows go into both sides add as many
    products as there are rows, in another order: either sum errs by less than (n-1) u Σ|products| (Higham 2002, eq.
    4.4), and each product by u.
    """
    rows = BATCH * world
    mine = slice(BATCH * rank, BATCH * (rank + 1))
    x = torch.randn(rows, DIMENSIONS, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    encoder, alone = Encoder(rows), Encoder(rows)
    model = DistributedDataParallel(encoder)
    objective = kantor.Sinkhorn("z", "prior", blur=0.7) + kantor.GaussianKl("q")
    gathered = kantor.torch.Loss(objective, client, gather=True)
    joint = kantor.torch.Loss(objective, client)
    codes = model(x[mine], mine)
    value = gathered(z=codes, prior=PRIOR, q=kantor.Gaussian(codes, -codes))
    value.backward()
    whole = alone(x, slice(0, rows))
    whole.retain_grad()
    want = joint(z=whole, prior=PRIOR, q=kantor.Gaussian(whole, -whole))
    want.backward()
    assert value.item() == want.item(), (value, want)
    got = [torch.as_tensor(p.grad) for p in (encoder.table, alone.table, encoder.scale, alone.scale, whole)]
    assert torch.equal(got[0], got[1])
    error = 2 * rows * torch.finfo(torch.float64).eps * (x * got[4]).abs().sum(0)
    assert ((got[2] - got[3]).abs() <= error).all(), (got[2], got[3])
    assert (got[3].abs() > 1e9 * error).all()  # so that the comparison says something


def shrink(client: kantor.Client, world: int) -> None:
    """What docs/training.md says of examples/ranks: codes of a scale of .72 apart, of .81 as one problem."""
    path = Path(__file__).parents[3] / "examples" / "ranks" / "shrink.py"
    spec = importlib.util.spec_from_file_location("shrink", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (module.ROWS, module.DIMENSIONS, world) == (128, 8, 4)
    apart, joint = module.scales(kantor.Transport("codes", "prior"), 16, client)
    # The mean of 800 batches of 128 rows, .7215, and of 200 of 512, .8067, both to .001. Over sixteen batches of 512
    # rows, or 64 of 128, a scale has a standard error of .0033, measured on those.
    assert abs(apart - 0.7215) < 0.013, apart
    assert abs(joint - 0.8067) < 0.013, joint


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


def rank_of(address: str, init: str, rank: int, world: int) -> None:
    dist.init_process_group("gloo", init_method=init, rank=rank, world_size=world)
    with kantor.Client(address, timeout=60) as client:
        bit_for_bit(client, rank, world)
        kinds(client, rank, world)
        parallel(client, rank, world)
        shrink(client, world)
        refusals(client, rank)
    dist.destroy_process_group()


def main(address: str, init: str, world: int) -> int:
    fork = multiprocessing.get_context("fork")
    ranks = [fork.Process(target=rank_of, args=(address, init, rank, world)) for rank in range(world)]
    for process in ranks:
        process.start()
    left = list(ranks)
    while left:
        wait([process.sentinel for process in left])
        left = [process for process in left if process.is_alive()]
        if any(process.exitcode for process in ranks):  # the others wait for it
            for process in left:
                process.terminate()
    return sum(process.exitcode != 0 for process in ranks)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
