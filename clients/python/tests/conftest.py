"""A live server for the session, small clouds, and which tests run where torch and the like are not installed."""

from __future__ import annotations

import ast
import functools
import importlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import kantor

ROOT = Path(__file__).resolve().parents[3]
BINARY = ROOT / "bin" / "kantor"

# Arguments of a Python that takes warnings as errors, but for that of protobuf before 5 on Python 3.12 and later.
STRICT = ("-W", "error", "-W", "ignore:Type google._upb._message:DeprecationWarning")

Floats = npt.NDArray[np.float64]

# The tests talk to the server of this checkout, whatever the caller's environment says.
for name in ("KANTOR_ADDRESS", "KANTOR_BINARY", "KANTOR_THREADS"):
    os.environ.pop(name, None)
os.environ["KANTOR_SHARE"] = "0"  # also where the tests run as a rank of a job


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--core", action="store_true", help="leave out the tests that need a package which is not installed (PyTorch)"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out a file whose imports are not all there; without --core that is an error."""
    if not config.getoption("core") or collection_path.suffix != ".py":
        return None
    imports: list[str] = []
    for node in ast.parse(collection_path.read_text()).body:
        if isinstance(node, ast.Import):
            imports += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            imports.append(node.module)
    return None if all(map(_there, imports)) else True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out a test whose marker `needs` names what is not there; without --core it fails."""
    if not config.getoption("core"):
        return
    out = [item for item in items if not all(_there(name) for mark in item.iter_markers("needs") for name in mark.args)]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in out]


@functools.cache
def _there(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError:
        return False
    return True


@pytest.fixture(scope="session")
def client() -> Iterator[kantor.Client]:
    """A client with a server of its own, the binary that `make build` leaves."""
    with kantor.Client(binary=BINARY, timeout=60) as made:
        yield made


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary directory with nothing else in it, whose name leaves room for a socket's."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as made:
        monkeypatch.setattr("tempfile.tempdir", made)
        yield Path(made)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def bits(result: kantor.Evaluation) -> list[object]:
    """Everything but the timing, floats by their bits."""
    out: list[object] = [result.value.hex(), result.build]
    for name, term in result.terms.items():
        out += [name, term.outcomes, term.warnings]
        for extra, value in term.extras.items():
            arrays = [value] if isinstance(value, np.ndarray) else vars(value).values()
            out += [extra, *(a.tobytes() if isinstance(a, np.ndarray) else a for a in arrays)]
    return out + [(name, g.dtype, g.shape, g.tobytes()) for name, g in result.gradients.items()]
