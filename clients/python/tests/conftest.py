"""A live server for the session, and small clouds."""

from __future__ import annotations

import os
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
for name in ("KANTOR_ADDRESS", "KANTOR_BINARY"):
    os.environ.pop(name, None)


@pytest.fixture(scope="session")
def client() -> Iterator[kantor.Client]:
    """A client with a server of its own, the binary that `make build` leaves."""
    with kantor.Client(binary=BINARY, timeout=60) as made:
        yield made


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)
