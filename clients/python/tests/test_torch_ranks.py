"""kantor.torch.Loss(gather=...) over gloo, in processes of their own: what they check is in ranks.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

import kantor
import kantor.torch

WORLD = 4


def test_four_ranks_are_one_process(client: kantor.Client, tmp_path: Path) -> None:
    """Four, because a gradient times four is exact."""
    arguments = [client.address, f"file://{tmp_path}/store"]
    program = [sys.executable, "-W", "error", str(Path(__file__).with_name("ranks.py"))]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [*program, *arguments, str(rank), str(WORLD)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        for rank in range(WORLD)
    ]
    try:
        outputs = [rank.communicate(timeout=240)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    assert [rank.returncode for rank in ranks] == [0] * WORLD, "\n".join(outputs)


def test_without_other_ranks_nothing_changes(client: kantor.Client) -> None:
    q = kantor.Gaussian(torch.ones(4, 2).requires_grad_(), torch.ones(4, 2))
    one, other = (kantor.torch.Loss(kantor.GaussianKl(), client, gather=gather) for gather in (True, False))
    losses = [one(posterior=q), other(posterior=q)]
    assert losses[0].item() == losses[1].item()
    assert torch.equal(*(torch.autograd.grad(loss, q.mean)[0] for loss in losses))
