"""What the READMEs show runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, STRICT


def blocks(readme: str) -> list[str]:
    """Returns what a page shows of Python, in order."""
    found = re.findall(r"^```python\n(.*?)^```", (ROOT / readme).read_text(), re.DOTALL | re.MULTILINE)
    assert found
    return found


def test_what_the_client_shows_runs_in_order(tmp_path: Path) -> None:
    shown = blocks("clients/python/README.md")
    assert len(shown) >= 2
    code = "\n".join(shown) + "\nprint(result.value == results[0].value, len(results))"
    out = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert out.returncode == 0, out.stderr
    assert out.stdout.endswith("True 2\n")


@pytest.mark.parametrize(
    "readme", [pytest.param("README.md", marks=pytest.mark.needs("torch")), "clients/python/README.md"]
)
def test_the_first_python_block_runs(readme: str, tmp_path: Path) -> None:
    """In an empty folder: the server is bin/kantor of the checkout that the package is installed from."""
    out = subprocess.run(
        [sys.executable, *STRICT, "-c", blocks(readme)[0]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.returncode == 0, out.stderr
    assert "Interval(lower=" in out.stdout
