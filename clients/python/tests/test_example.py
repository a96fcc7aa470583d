"""The VAE of examples/vae: kantor in the loop trains as the same mathematics in torch does."""

from __future__ import annotations

import importlib
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import kantor
import kantor.torch
from conftest import BINARY, ROOT

EXAMPLE = ROOT / "examples" / "vae"
STEPS = 100
EPSILON = 0.2
Codes = Any  # model.Codes


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The matrices are small, and the server wants a core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model() -> Iterator[Any]:
    sys.path.insert(0, str(EXAMPLE))
    try:
        yield importlib.import_module("model")
    finally:
        sys.path.remove(str(EXAMPLE))


@pytest.fixture(scope="module", params=[torch.float32, torch.float64], ids=["float32", "float64"])
def images(model: Any, request: pytest.FixtureRequest) -> torch.Tensor:
    """The digits; the model takes their number format."""
    digits = importlib.import_module("digits")
    return torch.from_numpy(digits.load()[0]).to(request.param)


def losses(model: Any, images: torch.Tensor, regularise: Any, steps: int = STEPS) -> torch.Tensor:
    vae = model.make(images)
    return torch.tensor([step.loss for step in model.train(vae, images, regularise, steps)], dtype=torch.float64)


def posterior(codes: Codes) -> kantor.Gaussian:
    return kantor.Gaussian(codes.mean, codes.log_variance)


def target(codes: Codes, step: int) -> torch.Tensor:
    """Samples of the prior that both sides can have; the training loop's own random numbers stay as they are."""
    return torch.randn(codes.z.shape, generator=torch.Generator().manual_seed(step), dtype=codes.z.dtype)


def own_kl(codes: Codes) -> torch.Tensor:
    """KL to N(0, I), summed over dimensions, averaged over rows (Kingma and Welling 2014, appendix B)."""
    v: torch.Tensor = codes.log_variance
    value: torch.Tensor = 0.5 * (codes.mean**2 + v.exp() - v - 1).sum(1).mean()
    return value


def softmin(cost: torch.Tensor, potential: torch.Tensor) -> torch.Tensor:
    """-ε log of the mean over j of exp((potential_j - cost_ij)/ε), [N]."""
    n = cost.shape[1]
    return -EPSILON * ((potential - cost) / EPSILON).logsumexp(1) + EPSILON * math.log(n)


def own_entropic(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """OT_ε of ½|x-y|² between uniform measures: Sinkhorn in the log domain, float64, until the potentials stand still.

    The potentials are constants of the derivative, because the dual is stationary in them (Danskin).
    """
    cost = 0.5 * (x.double()[:, None] - y.double()[None]).square().sum(-1)
    with torch.no_grad():
        f, g = cost.new_zeros(len(x)), cost.new_zeros(len(y))
        for _ in range(10_000):
            before = f
            if x is y:  # f = g; in turns, a point far from the others would take forever to tell f from g
                f = g = 0.5 * (f + softmin(cost, f))
            else:
                f = softmin(cost, g)
                g = softmin(cost.T, f)
            if (f - before).abs().max() < 1e-12:
                break
        else:
            raise AssertionError("the reference did not converge")
    plan = ((f[:, None] + g - cost) / EPSILON).exp() / cost.numel()
    return f.mean() + g.mean() - EPSILON * (plan.sum() - 1)


def own_sinkhorn(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The divergence S = OT(x,y) - ½OT(x,x) - ½OT(y,y)."""
    return own_entropic(x, y) - 0.5 * own_entropic(x, x) - 0.5 * own_entropic(y, y)


def counts(client: kantor.Client) -> dict[str, int]:
    """What the server says at its end that it has computed."""
    stopped = json.loads(client.server_log[-1])
    assert stopped["msg"] == "stopped"
    assert stopped["failures"] == 0
    return {"evaluations": stopped["evaluations"], **{loss: n for loss, n in stopped["terms"].items() if n}}


# Training amplifies differences of rounding, 1e-7 or 1e-16 to begin with, and of the solver's tolerance, 1e-10, all of
# them by less than this leaves room for.
RTOL = 1e-5


def test_training_with_kl_is_torchs_own(model: Any, images: torch.Tensor) -> None:
    with kantor.Client(binary=BINARY) as client:
        criterion = kantor.torch.Loss(0.05 * kantor.GaussianKl(), client)
        ours = losses(model, images, lambda codes, _: criterion(posterior=posterior(codes)))
    own = losses(model, images, lambda codes, _: 0.05 * own_kl(codes))
    torch.testing.assert_close(ours, own, rtol=RTOL, atol=0)
    assert counts(client) == {"evaluations": STEPS, "kl": STEPS}


def test_training_with_sinkhorn_is_the_plain_algorithms(model: Any, images: torch.Tensor) -> None:
    term = 10 * kantor.Sinkhorn("codes", "prior", epsilon=EPSILON, tolerance=1e-10)
    with kantor.Client(binary=BINARY) as client:
        criterion = kantor.torch.Loss(term, client)
        ours = losses(model, images, lambda codes, step: criterion(codes=codes.z, prior=target(codes, step)))
    own = losses(model, images, lambda codes, step: 10 * own_sinkhorn(codes.z, target(codes, step)))
    torch.testing.assert_close(ours, own, rtol=RTOL, atol=0)
    assert counts(client) == {"evaluations": STEPS, "sinkhorn": STEPS}


def test_training_with_both_in_one_call(model: Any, images: torch.Tensor) -> None:
    steps = 20
    objective = 10 * kantor.Sinkhorn("codes", "prior", epsilon=EPSILON, tolerance=1e-10) + 0.05 * kantor.GaussianKl()
    with kantor.Client(binary=BINARY) as client:
        criterion = kantor.torch.Loss(objective, client)

        def ours(codes: Codes, step: int) -> torch.Tensor:
            value: torch.Tensor = criterion(codes=codes.z, prior=target(codes, step), posterior=posterior(codes))
            return value

        got = losses(model, images, ours, steps)

    def own(codes: Codes, step: int) -> torch.Tensor:
        return 10 * own_sinkhorn(codes.z, target(codes, step)) + 0.05 * own_kl(codes)

    torch.testing.assert_close(got, losses(model, images, own, steps), rtol=RTOL, atol=0)
    assert counts(client) == {"evaluations": steps, "kl": steps, "sinkhorn": steps}


def test_the_example_ends_with_a_table_and_a_picture(tmp_path: Path) -> None:
    out = subprocess.run(
        [sys.executable, EXAMPLE / "train.py", "--steps", "3", "--out", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.returncode == 0, out.stderr
    for row in ("reconstruction", "prior match", "code scale", "active units", "kantor ms/step", "share of step"):
        assert f"\n{row}" in out.stdout
    assert "KL won on: " in out.stdout
    assert (tmp_path / "vae.png").read_bytes().startswith(b"\x89PNG")
