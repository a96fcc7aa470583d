"""Rows on the Python client: what it adds to a call, what it hides behind other work, and what it costs to import."""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

import kantor
from bench import peers
from bench.machine import ROOT
from bench.measure import Call, interleaved
from bench.problems import Floats, Problem, off, wide_blur
from bench.rows import SCALING, Row, Session

# SamplesLoss's default.
_BLUR = 0.05

# KeOps pays from about here.
_ONLINE_FROM = 1024

# What one process does of a program's first lines; each is timed by itself, in this order.
_FIRST_LINES = (
    ("import kantor", "import kantor"),
    ("from kantor import Client", "from kantor import Client"),
    ("Client()", "client = Client(binary={binary!r})"),
    ("first call", "client.info()"),
)
# The same without kantor, to compare with.
_NEEDED = (("import numpy", "import numpy"), ("import grpc", "import grpc"))


def torch_overhead(session: Session, n: int, dim: int, calls: int = 2000) -> Row:
    """What kantor.torch.Loss adds, forward and backward, to the same call on arrays; one call of each in turn.

    Beside it what PyTorch alone adds: a function that does nothing, after the call; and one by hand around the call, of
    one input and one gradient, which is the least that a loss can be.
    """
    import torch

    import kantor.torch

    term = kantor.Mmd()
    x, y = Problem(n, dim, _BLUR).clouds()
    points, target = torch.from_numpy(x).requires_grad_(), torch.from_numpy(y)
    criterion = kantor.torch.Loss(term, session.server.client)
    with session.server.client.stream(term, gradients=["source.points"]) as stream:

        def arrays() -> kantor.Evaluation:
            return stream.evaluate(source=x, target=y)

        def differentiated(loss: Callable[[], torch.Tensor]) -> Callable[[], object]:
            def call() -> object:
                points.grad = None
                return loss().backward()  # type: ignore[no-untyped-call]

            return call

        answer = arrays()
        nothing = _function(lambda _: answer)
        by_hand = _function(lambda points: stream.evaluate(source=points.detach().numpy(), target=y))
        idle = differentiated(lambda: nothing(points))
        ways: dict[str, Callable[[], object]] = {
            "stream": arrays,
            "nothing": lambda: (arrays(), idle()),
            "by hand": differentiated(lambda: by_hand(points)),
            "kantor.torch.Loss": differentiated(lambda: criterion(source=points, target=target)),
        }
        times = _in_turn(ways, calls)
    criterion.close()
    return {
        "kind": "torch overhead",
        "n": n,
        "dim": dim,
        "ms": {name: statistics.median(found) for name, found in times.items()},
        "over_stream_us": {name: _above(found, times["stream"]) for name, found in times.items() if name != "stream"},
        "over_nothing_us": _above(times["kantor.torch.Loss"], times["nothing"]),
    }


def _above(times: list[float], others: list[float]) -> float:
    """The median microseconds of a turn's call above another's in the same turn, whatever the turn was like."""
    return 1e3 * statistics.median(time - other for time, other in zip(times, others, strict=True))


def _function(evaluate: Callable[[Any], kantor.Evaluation]) -> Callable[[Any], Any]:
    """The least that makes an evaluation differentiable in one tensor."""
    import torch

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, points: torch.Tensor) -> torch.Tensor:
            result = evaluate(points)
            ctx.save_for_backward(torch.from_numpy(result.gradients["source.points"]))
            return torch.tensor(result.value, dtype=points.dtype)

        @staticmethod
        def backward(ctx: Any, upstream: torch.Tensor) -> torch.Tensor:
            (gradient,) = ctx.saved_tensors
            return upstream * gradient  # type: ignore[no-any-return]

    return Function.apply  # type: ignore[no-any-return]


def _in_turn(ways: dict[str, Callable[[], object]], calls: int) -> dict[str, list[float]]:
    """The milliseconds of each way's calls, turn by turn; the first tenth warms up and is left out.

    One of each in a turn, in an order that changes: what a call leaves in the caches serves or harms the next one.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    order, rng = list(ways), random.Random(0)
    for _ in range(calls):
        rng.shuffle(order)
        for name in order:
            start = time.perf_counter()
            ways[name]()
            times[name].append((time.perf_counter() - start) * 1e3)
    return {name: found[calls // 10 :] for name, found in times.items()}


def overlap(session: Session, n: int, dim: int, steps: int = 30) -> Row:
    """A step that submits a batch, decodes, and joins, beside the two alone.

    The stand-in for a decoder sleeps, as one on an accelerator leaves the CPU alone, or multiplies matrices with
    PyTorch, which wants the same cores.
    """
    problem = Problem(n, dim, wide_blur(dim))
    x, y = problem.clouds()
    row: Row = {"kind": "overlap", **asdict(problem), "steps": []}
    with session.server.client.stream(kantor.Sinkhorn(blur=problem.blur), gradients=["source.points"]) as stream:

        def alone() -> object:
            return stream.evaluate(source=x, target=y)

        for _ in range(3):
            alone()
        expected = statistics.median(_in_turn({"": alone}, max(steps // 2, 2))[""])
        for work, make in (("sleeps", _sleeping), ("multiplies", _multiplying)):
            for share in (0.5, 1.0, 2.0):
                decode = make(share * expected)

                def step(decode: Callable[[], object] = decode) -> object:
                    pending = stream.submit(source=x, target=y)
                    decode()
                    return pending.result()

                found = _in_turn({"kantor": alone, "decoder": decode, "step": step}, steps)
                row["steps"].append(
                    {"work": work, "share": share} | {name: statistics.median(ms) for name, ms in found.items()}
                )
    return row


def _sleeping(milliseconds: float) -> Callable[[], object]:
    return lambda: time.sleep(milliseconds * 1e-3)


def _multiplying(milliseconds: float) -> Callable[[], object]:
    """Products of matrices that take about so long on an idle machine, on all cores."""
    import torch

    a = torch.randn(192, 192)

    def products(count: int) -> None:
        for _ in range(count):
            torch.mm(a, a)

    products(10)
    one = statistics.median(_in_turn({"": lambda: products(10)}, 10)[""]) / 10
    count = max(round(milliseconds / one), 1)
    return lambda: products(count)


def drop_in(session: Session, n: int, dim: int) -> Row:
    """kantor.torch.SamplesLoss in the place of GeomLoss's, both at their defaults, tensors in and gradient out."""
    import torch

    import kantor.torch

    problem = Problem(n, dim, _BLUR)
    criterion = kantor.torch.SamplesLoss(client=session.server.client)
    x, y = map(torch.from_numpy, problem.clouds())
    x.requires_grad_()

    def call() -> tuple[float, Floats]:
        value = criterion(x, y)
        assert isinstance(value, torch.Tensor)
        (gradient,) = torch.autograd.grad(value, x)
        return value.item(), gradient.numpy()

    row: Row = {"kind": "drop-in", "n": n, "dim": dim, "agreement": {}, "absent": {}}
    calls: dict[str, Call] = {"kantor": call}
    candidates = {"SamplesLoss": "tensorized"} | ({"SamplesLoss online": "online"} if n >= _ONLINE_FROM else {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", kantor.torch.AccuracyWarning)
        value, gradient = call()
        for name, backend in candidates.items() if session.peers else ():
            try:
                calls[name] = peers.samples_loss(problem, SCALING, backend)
                peer_value, peer_gradient = calls[name]()
            except Exception as error:  # a compiler that is missing, memory: whatever keeps a peer from running
                calls.pop(name, None)
                row["absent"][name] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
                continue
            row["agreement"][name] = {
                "value": abs(value - peer_value) / abs(peer_value),
                "gradient": off(gradient, peer_gradient.astype(np.float64)),
            }
        row["ms"] = {name: asdict(timing) for name, timing in interleaved(calls, session.budget).items()}
    return row


def imports(session: Session, processes: int = 7) -> Row:
    """The first lines of a program, in processes of their own."""
    del session
    binary = str(ROOT / "bin" / "kantor")
    times: dict[str, list[float]] = {}
    for _ in range(processes):
        for lines in (_FIRST_LINES, *((line,) for line in _NEEDED)):
            for (name, _), ms in zip(
                lines, _timed_lines([line.format(binary=binary) for _, line in lines]), strict=True
            ):
                times.setdefault(name, []).append(ms)
    return {
        "kind": "imports",
        "processes": processes,
        "ms": {name: {"median": statistics.median(found), "least": min(found)} for name, found in times.items()},
    }


def _timed_lines(lines: list[str]) -> list[float]:
    """The milliseconds of each line in a new process."""
    code = ["import time", "times = [time.perf_counter()]"]
    for line in lines:
        code += [line, "times.append(time.perf_counter())"]
    code += ["print(*((after - before) * 1e3 for before, after in zip(times, times[1:])))"]
    ran = subprocess.run([sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise RuntimeError((ran.stderr.strip().splitlines() or [f"status {ran.returncode}"])[-1][:200])
    return [float(word) for word in ran.stdout.split()]
