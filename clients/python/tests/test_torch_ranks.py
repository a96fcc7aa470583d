"""kantor.torch.Loss(gather=...) over gloo, in processes of their own: what they check is in ranks.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import torch

import kantor
import kantor.torch


def test_four_ranks_are_one_process(client: kantor.Client, tmp_path: Path) -> None:
    """Four, because a gradient times four is exact."""
    program = [sys.executable, "-W", "error", str(Path(__file__).with_name("ranks.py"))]
    ranks = subprocess.Popen(
        [*program, client.address, f"file://{tmp_path}/store", "4"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,
    )
    try:
        output = ranks.communicate(timeout=240)[0]
    finally:
        if ranks.returncode is None:
            os.killpg(ranks.pid, signal.SIGKILL)
            ranks.communicate()
    assert ranks.returncode == 0, output


def test_without_other_ranks_nothing_changes(client: kantor.Client) -> None:
    q = kantor.Gaussian(torch.ones(4, 2).requires_grad_(), torch.ones(4, 2))
    one, other = (kantor.torch.Loss(kantor.GaussianKl(), client, gather=gather) for gather in (True, False))
    losses = [one(posterior=q), other(posterior=q)]
    assert losses[0].item() == losses[1].item()
    assert torch.equal(*(torch.autograd.grad(loss, q.mean)[0] for loss in losses))
