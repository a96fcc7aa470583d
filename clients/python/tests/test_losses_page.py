"""What docs/losses.md shows runs as it stands, and it has every loss."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

import kantor
from conftest import ROOT

PAGE = (ROOT / "docs" / "losses.md").read_text()
PREAMBLE, *BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
TITLES = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("title", "block"), list(zip(TITLES, BLOCKS, strict=True)), ids=TITLES)
def test_a_snippet_runs(
    client: kantor.Client,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    title: str,
    block: str,
) -> None:
    monkeypatch.setenv("KANTOR_ADDRESS", client.address)
    # A section may go on with what the one before it has made.
    before = BLOCKS[TITLES.index("Bures")] if title == "GaussianKl" else ""
    names: dict[str, Any] = {}
    exec(compile(PREAMBLE + before, "docs/losses.md", "exec"), names)
    capsys.readouterr()
    exec(compile(block, f"docs/losses.md, {title}", "exec"), names)
    names["client"].close()
    printed = capsys.readouterr().out
    assert printed
    assert "nan" not in printed


def test_every_loss_has_a_section_and_a_row() -> None:
    losses = [name for name in kantor.__all__ if getattr(getattr(kantor, name), "_loss", "")]
    for name in losses:
        assert name in TITLES
        assert re.search(rf"^\| `{name}\(", PAGE, re.MULTILINE)


@pytest.mark.once
def test_what_measured_the_table_runs() -> None:
    """On tiny problems; and each row of it stands in the page."""
    out = subprocess.run(
        [sys.executable, "-m", "bench.losses", "--smoke"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert out.returncode == 0, out.stderr
    rows = set(re.findall(r"^\| (`.*?) \|", out.stdout, re.MULTILINE))
    assert rows == set(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE))
