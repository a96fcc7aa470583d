"""Scripts of the kinds that GeomLoss's gallery shows, run with either library and nothing but the import swapped."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import kantor

# What GeomLoss's schedule leaves is large in many of them.
pytestmark = pytest.mark.filterwarnings("ignore::kantor.torch.AccuracyWarning")


def clouds(n: int, m: int) -> dict[str, Any]:
    """What a script finds: weights and points of two clouds in the plane, of mass 1."""
    torch.manual_seed(5)
    a, b = torch.rand(n, dtype=torch.float64) + 0.2, torch.rand(m, dtype=torch.float64) + 0.2
    points = torch.rand(n, 2, dtype=torch.float64), torch.rand(m, 2, dtype=torch.float64) + 0.3
    return {"torch": torch, "A_i": a / a.sum(), "X_i": points[0], "B_j": b / b.sum(), "Y_j": points[1], "lr": 0.05}


# The import stands where a user's script has it.
SCRIPTS = {
    "a gradient flow of every loss": """
from geomloss import SamplesLoss
trajectory = []
for loss in [SamplesLoss("gaussian", blur=.5), SamplesLoss("laplacian", blur=.1), SamplesLoss("energy"),
             SamplesLoss("sinkhorn", p=1, blur=1.), SamplesLoss("sinkhorn", p=1, blur=.01),
             SamplesLoss("sinkhorn", p=2, blur=1.), SamplesLoss("sinkhorn", p=2, blur=.01)]:
    x_i = X_i.clone().requires_grad_()
    for step in range(10):
        L = loss(x_i, Y_j)
        [g] = torch.autograd.grad(L, [x_i])
        x_i.data -= .05 * len(x_i) * g
    trajectory.append(x_i.detach())
result = torch.stack(trajectory)
""",
    "a barycenter of two weighted clouds": """
from geomloss import SamplesLoss
loss = SamplesLoss("sinkhorn", p=2, blur=.1, scaling=.8)
z, logits = X_i.clone().requires_grad_(), torch.zeros(len(X_i), dtype=X_i.dtype, requires_grad=True)
optimizer = torch.optim.SGD([{"params": [z], "lr": 5.}, {"params": [logits], "lr": 1.}])
for step in range(8):
    w = logits.softmax(0)
    value = .4 * loss(w, z, A_i, X_i) + .6 * loss(w, z, B_j, Y_j)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
result = torch.cat([z.detach(), logits.detach()[:, None]], 1)
""",
    "labels by the potentials": """
from geomloss import SamplesLoss
F_i, G_j = SamplesLoss("sinkhorn", p=2, blur=.05, scaling=.9, debias=False, potentials=True)(X_i, Y_j)
C_ij = ((X_i[:, None] - Y_j) ** 2).sum(-1) / 2
plan = ((F_i.view(-1, 1) + G_j.view(1, -1) - C_ij) / .05**2).exp() / len(Y_j)
result = plan @ Y_j
""",
    "the schedule from a given diameter, and its derivatives in the weights": """
from geomloss import SamplesLoss
out = []
for i in range(5):
    for tensor in (A_i, X_i, B_j):
        tensor.requires_grad = True
    loss = SamplesLoss("sinkhorn", p=2, blur=.5**i, diameter=1., scaling=.5, debias=bool(i % 2))
    F_i, G_j, dx_i = torch.autograd.grad(loss(A_i, X_i, B_j, Y_j), [A_i, B_j, X_i])
    out += [F_i, G_j, (-dx_i / (A_i.view(-1, 1) + 1e-7)).flatten().detach()]
result = torch.cat(out)
""",
    "a barycenter on a grid, by L-BFGS on the logarithms of its weights": """
from geomloss import SamplesLoss
loss = SamplesLoss("sinkhorn", blur=.1, scaling=.7)
x, y = .4 * X_i[:, :1], .4 * Y_j[:, :1] + .5
z = torch.linspace(0, 1, 30, dtype=x.dtype)[:, None]
logits = torch.zeros(30, dtype=x.dtype, requires_grad=True)
optimizer = torch.optim.LBFGS([logits], max_iter=8)
costs = []
def closure():
    optimizer.zero_grad()
    w = logits.softmax(0)
    cost = .5 * loss(w, z, A_i, x) + .5 * loss(w, z, B_j, y)
    cost.backward()
    costs.append(cost.item())
    return cost
optimizer.step(closure)
assert min(costs) < .75 * costs[0]
result = torch.cat([logits.detach().softmax(0), torch.tensor(costs)])
""",
    "one step to each of two targets, and what is between": """
from geomloss import SamplesLoss
loss = SamplesLoss("sinkhorn", blur=.05, scaling=.9)
x, ends = X_i.clone().requires_grad_(), []
for target in (Y_j, Y_j.flip(1) - 1):
    [g] = torch.autograd.grad(loss(A_i, x, B_j, target), [x])
    ends.append(x.detach() - g / A_i.view(-1, 1))
result = torch.stack([(1 - t) * ends[0] + t * ends[1] for t in (0, .25, .5, .75, 1)])
""",
    "colors in three dimensions, weighted": """
from geomloss import SamplesLoss
x, y = (torch.cat([points, points[:, :1] * points[:, 1:]], 1) for points in (X_i, Y_j))
loss = SamplesLoss("sinkhorn", blur=.3, truncate=1, cluster_scale=.1, verbose=True)
x.requires_grad_()
for step in range(5):
    [g] = torch.autograd.grad(loss(A_i, x, B_j, y), [x])
    x.data -= g / A_i.view(-1, 1)
result = x.detach()
""",
    "a sweep over the blur": """
from geomloss import SamplesLoss
values = [SamplesLoss("sinkhorn", p=p, blur=blur, scaling=.9)(X_i, Y_j).item()
          for p in (1, 2) for blur in (.01, .03, .1, .3, 1., 3., 10.)]
result = torch.tensor(values)
""",
    "a network that moves noise onto a batch of clouds": """
from geomloss import SamplesLoss
loss = SamplesLoss("sinkhorn", p=2, blur=.1)
noise = torch.stack([X_i, X_i.flip(0), 2 * X_i])
network = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)).double()
optimizer = torch.optim.SGD(network.parameters(), lr=.3)
values = []
for step in range(10):
    L = loss(network(noise), torch.stack([Y_j, Y_j - 1, Y_j * 2]))
    optimizer.zero_grad()
    L.sum().backward()
    optimizer.step()
    values.append(L.detach())
assert values[-1].sum() < values[0].sum() / 2
result = torch.cat([torch.cat(values), *(p.detach().flatten() for p in network.parameters())])
""",
    "an unbalanced flow": """
from geomloss import SamplesLoss
loss = SamplesLoss("sinkhorn", p=2, blur=.2, reach=.3)
x = X_i.clone().requires_grad_()
for step in range(10):
    [g] = torch.autograd.grad(loss(x, Y_j), [x])
    x.data -= lr * len(x) * g
result = x.detach()
""",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_run_with_the_import_line_swapped(
    client: kantor.Client, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("KANTOR_ADDRESS", client.address)
    results = []
    for module in ("geomloss", "kantor.torch"):
        names = clouds(20, 25)
        torch.manual_seed(7)
        if "unbalanced" in name and module == "geomloss":
            # GeomLoss's gradient is too small by (ρ+ε/2)/(ρ+ε): the flow is the same in time that passes faster.
            names["lr"] *= (0.3**2 + 0.2**2) / (0.3**2 + 0.2**2 / 2)
        exec(SCRIPTS[name].replace("from geomloss import", f"from {module} import"), names)
        results.append(names["result"])
    # Rounding of 1e-13 a step, which flows at a low temperature spread: a step moves points by the plan's rows, whose
    # relative error is that over ε = 1e-4.
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=1e-6 if "every loss" in name else 1e-9)
    assert math.isfinite(results[1].abs().max().item())
