"""A live server for the session, and small clouds."""

from __future__ import annotations

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

Floats = npt.NDArray[np.float64]

# The tests talk to the server of this checkout, whatever the caller's environment says.
for name in ("KANTOR_ADDRESS", "KANTOR_BINARY", "KANTOR_THREADS"):
    os.environ.pop(name, None)
os.environ["KANTOR_SHARE"] = "0"  # also where the tests run as a rank of a job


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
