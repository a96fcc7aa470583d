"""What docs/jax.md shows runs as it stands, block after block."""

from __future__ import annotations

import re
from typing import Any

import pytest

import kantor
from conftest import ROOT


@pytest.mark.needs("jax")
def test_the_blocks_run(
    client: kantor.Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KANTOR_ADDRESS", client.address)
    page = (ROOT / "docs" / "jax.md").read_text()
    names: dict[str, Any] = {}
    printed = []
    for block in re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        exec(compile(block, "docs/jax.md", "exec"), names)
        printed.append(capsys.readouterr().out)
    names["loss"].close()
    names["transport"].close()
    training, scan, vmap, error = printed
    steps = [line.split() for line in training.splitlines()]
    assert [step[0] for step in steps] == ["0", "10", "20"]
    for _, _, value, lower, upper, converged in steps:
        assert float(lower) <= float(value) <= float(upper)
        assert converged == "True"
    assert float(steps[-1][2]) < float(steps[0][2]) / 2
    assert scan == "(10,) True\n"
    assert vmap == "(8, 32, 2)\n"
    assert error == (
        'InvalidArgumentError: terms[0].target: input "target" has dimension 1, want 2, that of source "source"\n'
    )
