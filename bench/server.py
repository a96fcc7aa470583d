"""The server that is measured: this checkout's, on a private Unix socket."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import kantor
from bench.machine import ROOT, peak_kib, processor_ms
from bench.measure import Call
from bench.problems import Floats, Problem

_READY_SECONDS = 20.0


@dataclass(frozen=True)
class Running:
    """A server and a client of it."""

    client: kantor.Client
    pid: int

    def peak_kib(self) -> int:
        """The server's peak resident memory since its start."""
        return peak_kib(self.pid)

    def processor_ms(self) -> float:
        """The milliseconds that the server has computed, on all processors together."""
        return processor_ms(self.pid)


@contextmanager
def running(kernel: str = "") -> Iterator[Running]:
    """A server of its own, which the client would otherwise start and keep the process id of.

    Kernel is the instruction set that it computes with; empty: the CPU's best.
    """
    folder = tempfile.mkdtemp(prefix="kantor-", dir="/tmp")
    socket = Path(folder, "kantor.sock")
    command = [str(ROOT / "bin" / "kantor"), "serve", "--listen", f"unix:{socket}", "--exit-with-stdin"]
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = os.environ | ({"KANTOR_VEC": kernel} if kernel else {})
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, **quiet)
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while not socket.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start; `make build` makes it")
            time.sleep(0.002)
        with kantor.Client(f"unix:{socket}") as client:
            yield Running(client, process.pid)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def calling(client: kantor.Client, term: kantor.Term, x: Floats, y: Floats) -> Iterator[Call]:
    """Value and gradient over a stream, as a training loop asks for them; arrays in, arrays out."""
    with client.stream(term, gradients=["source.points"]) as stream:

        def call() -> tuple[float, Floats]:
            result = stream.evaluate(source=x, target=y)
            return result.value, result.gradients["source.points"]

        yield call


def evaluate(client: kantor.Client, term: kantor.Term, problem: Problem, dtype: Any = np.float32) -> kantor.Evaluation:
    """One call of its own, for what is beside value and gradient."""
    x, y = (cloud.astype(dtype) for cloud in problem.clouds())
    return client.evaluate(term, source=x, target=y, gradients=["source.points"])
