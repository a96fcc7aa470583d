"""Which Pythons the tests run on: what is missing is said, and what is no Python of its name does not count."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "tools")
    return importlib.import_module("pythons")


def test_a_python_that_is_missing_is_named(tools: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shim = tmp_path / "python3.98"  # like pyenv's, of a version that is not chosen
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    (tmp_path / "python3.99").symlink_to(sys.executable)  # another's name
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setattr(tools, "PATH", "")
    monkeypatch.setattr(tools, "SUPPORTED", (tools.OWN, "3.98", "3.99"))
    found = tools.find()
    assert found == {tools.OWN: sys.executable}
    missing = tools.absent(found)
    assert len(missing) == 2
    assert "python3.98 on PATH" in missing[0]
    assert "python3.99 on PATH" in missing[1]


def test_pyenvs_are_found_without_its_shims(tools: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = tmp_path / "versions" / "3.97.2" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 3.97\n")
    python.chmod(0o755)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setattr(tools, "SUPPORTED", ("3.97",))
    assert tools.find()["3.97"] == str(python)
