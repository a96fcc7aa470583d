"""What docs/pictures.md shows runs as it stands, and leaves the pictures that it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from matplotlib import pyplot

import kantor
from conftest import ROOT

DOCS = ROOT / "docs"
PAGE = (DOCS / "pictures.md").read_text()


def test_the_page_makes_its_pictures(client: kantor.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KANTOR_ADDRESS", client.address)
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
    exec(compile(code, "docs/pictures.md", "exec"), {})
    pyplot.close("all")
    shown = re.findall(r"^!\[.*\]\((.*)\)$", PAGE, re.MULTILINE)
    assert shown
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(shown)
    for name in shown:
        committed = DOCS / name
        assert committed.stat().st_size < 60_000
        # Fonts and versions of matplotlib differ; the size of a figure does not.
        assert pyplot.imread(committed).shape == pyplot.imread(tmp_path / name).shape
