"""A server that has more to do than it takes on: every step is answered, with the numbers of an idle server."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import kantor
from conftest import Floats
from servers import server

TRAINERS, STEPS = 24, 6


def _cloud(seed: int) -> Floats:
    return np.random.default_rng(seed).standard_normal((200, 8))


OBJECTIVE = kantor.Sinkhorn("source", "target", blur=0.1, tolerance=1e-5)


def _by_call(client: kantor.Client, trainer: int) -> list[float]:
    return [
        client.evaluate(OBJECTIVE, source=_cloud(trainer), target=_cloud(1000 + step)).value for step in range(STEPS)
    ]


def _by_stream(client: kantor.Client, trainer: int) -> list[float]:
    with client.stream(OBJECTIVE) as stream:
        pending = [stream.submit(source=_cloud(trainer), target=_cloud(1000 + step)) for step in range(STEPS)]
        return [p.result().value for p in pending]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[str]:
    """The address of a server with a queue of two."""
    address = f"unix:{tmp_path}/s.sock"
    with server(address, "--queue", "2"):
        yield address


@pytest.mark.parametrize("train", [_by_call, _by_stream])
def test_every_step_is_answered(small: str, client: kantor.Client, train: Callable[..., list[float]]) -> None:
    with kantor.Client(small, timeout=60) as busy, ThreadPoolExecutor(TRAINERS) as trainers:
        values = list(trainers.map(lambda trainer: train(busy, trainer), range(TRAINERS)))
    for trainer in range(0, TRAINERS, 8):
        assert values[trainer] == _by_call(client, trainer)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork")  # jax's, where another test has imported it, and Python's own from 3.12 on
def test_a_fork_ends_pauses(small: str) -> None:
    """No timer is left to a fork, and what had one is answered."""
    with kantor.Client(small, timeout=60) as client:
        streams = [client.stream(OBJECTIVE) for _ in range(TRAINERS)]
        pending = [stream.submit(source=_cloud(i), target=_cloud(i + 1)) for stream in streams for i in range(2)]
        end = time.monotonic() + 20
        while not any(isinstance(t, threading.Timer) for t in threading.enumerate()) and time.monotonic() < end:
            if all(p.done() for p in pending):  # so fast that nothing was refused
                pending += [stream.submit(source=_cloud(1), target=_cloud(2)) for stream in streams]
        pid = os.fork()
        if pid == 0:
            os._exit(any(isinstance(t, threading.Timer) for t in threading.enumerate()))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert all(np.isfinite(p.result().value) for p in pending)
        for stream in streams:
            stream.close()
