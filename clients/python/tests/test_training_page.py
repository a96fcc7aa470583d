"""What docs/training.md shows runs as it stands, block after block."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

import kantor
from conftest import ROOT


# What Lightning warns of is its own.
@pytest.mark.filterwarnings("ignore:::pytorch_lightning")
def test_the_blocks_run(
    client: kantor.Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KANTOR_ADDRESS", client.address)
    torch.manual_seed(0)
    page = (ROOT / "docs" / "training.md").read_text()
    names: dict[str, Any] = {}
    printed = []
    for block in re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        exec(compile(block, "docs/training.md", "exec"), names)
        printed.append(capsys.readouterr().out)
    names["criterion"].close()
    names["joint"].close()
    names["lit"].criterion.close()
    torch.compiler.reset()
    begun, resumed, half, log, lit, compiled, _, shared = printed
    assert begun.startswith("5 Interval(lower=")
    assert resumed == "5\n"
    assert half == "torch.float32\n"
    assert lit.split()[0] == "3"
    assert float(lit.split()[1]) == pytest.approx(4 * 2 / 1000, rel=1e-6)  # of the step before, in float32
    assert compiled == "True\n"
    assert shared == "1.0\n"  # ½·(1² + 1²), the mean of four rows alike
    assert {line.split()[0] for line in log.splitlines()} >= {"value", "kl.weight", "sinkhorn.lower", "seconds"}
