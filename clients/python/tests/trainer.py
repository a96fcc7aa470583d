"""A trainer that tells what became of each of its steps; the fault matrix (faults/) runs it as a process.

    python trainer.py '{"address": "unix:/tmp/k.sock", "call": "stream", "steps": 30, "at": 10}'

It prints a line of JSON for each step, in order: the bits of its result, or the exception that it met. Before step
`at` it prints a line and waits for one, so that something can be made ready to happen to that step.
"""

from __future__ import annotations

import collections
import hashlib
import json
import signal
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

import kantor

POINTS, DIMENSION = 256, 16
LOSS = kantor.Sinkhorn("x", "y", epsilon=0.5, tolerance=1e-3, max_iterations=500)
GRADIENTS = ["x.points"]
# Together minutes of work.
HEAVY_POINTS = 3000
HEAVY = {"epsilon": 1e-4, "tolerance": 1e-300, "max_iterations": 100_000_000}
# Batches of a stream that are under way at once; the server's window is no smaller.
DEPTH = 3


@dataclass(frozen=True)
class Plan:
    """What a trainer does.

    Attributes:
        address: of the server.
        call: `unary` or `stream`.
        steps: how many.
        at: the step before which it waits.
        heavy: whether that step asks for minutes of work.
        large: whether that step has as many points as a heavy one, and no more work than them.
        heavy_timeout: seconds that it may take; None: as long as others.
        options: further arguments of the client.
    """

    address: str
    call: str
    steps: int
    at: int
    heavy: bool = False
    large: bool = False
    heavy_timeout: float | None = None
    options: dict[str, Any] | None = None

    def points(self, step: int) -> int:
        """Of each cloud of a step."""
        return HEAVY_POINTS if self.large and step == self.at else POINTS


def clouds(step: int, points: int = POINTS) -> dict[str, Any]:
    """The data of a step, which it is a function of."""
    rng = np.random.default_rng(step)
    return {name: rng.standard_normal((points, DIMENSION), dtype=np.float32) for name in "xy"}


def digest(result: kantor.Evaluation) -> str:
    """All bits of a result that a training could see."""
    seen = hashlib.sha256(result.value.hex().encode())
    seen.update(result.gradients["x.points"].tobytes())
    return seen.hexdigest()


def say(**line: object) -> None:
    """Prints a line of JSON."""
    print(json.dumps(line), flush=True)


def account(step: int, result: Any) -> None:
    """Says what became of a step, once it is known."""
    try:
        say(step=step, bits=digest(result()))
    except KeyboardInterrupt:
        say(step=step, error="KeyboardInterrupt", reason="")
    except kantor.CallError as error:
        say(step=step, error=type(error).__name__, reason=f"{error.code}: {error.message}")
    except kantor.KantorError as error:
        say(step=step, error=type(error).__name__, reason=str(error))


def wait() -> None:
    """Waits until a line says that the step may be made."""
    say(at=True)
    sys.stdin.readline()


def run_unary(client: kantor.Client, plan: Plan) -> None:
    """Makes every step a call."""
    for step in range(plan.steps):
        if step == plan.at:
            wait()
        if step == plan.at and plan.heavy:
            heavy = kantor.Sinkhorn("x", "y", **HEAVY)  # type: ignore[arg-type]
            inputs = clouds(step, HEAVY_POINTS)
            account(
                step, lambda h=heavy, i=inputs: client.evaluate(h, i, gradients=GRADIENTS, timeout=plan.heavy_timeout)
            )
        else:
            account(step, lambda i=clouds(step, plan.points(step)): client.evaluate(LOSS, i, gradients=GRADIENTS))


def run_stream(client: kantor.Client, plan: Plan) -> None:
    """Makes every step a batch of a stream, a few under way at once."""
    pending: collections.deque[tuple[int, kantor.Pending]] = collections.deque()
    with client.stream(LOSS, gradients=GRADIENTS) as stream:
        for step in range(plan.steps):
            if step == plan.at:
                wait()
            if step == plan.at and plan.heavy:
                while pending:
                    account(*settled(pending))
                overrides = {f"sinkhorn.{name}": value for name, value in HEAVY.items()}
                inputs = clouds(step, HEAVY_POINTS)
                account(
                    step, lambda i=inputs: stream.evaluate(i, overrides=overrides, timeout=plan.heavy_timeout)
                )
                continue
            pending.append((step, stream.submit(clouds(step, plan.points(step)))))
            if len(pending) >= DEPTH:
                account(*settled(pending))
        while pending:
            account(*settled(pending))


def settled(pending: collections.deque[tuple[int, kantor.Pending]]) -> tuple[int, Any]:
    """The oldest step that is under way, and how to wait for it."""
    step, batch = pending.popleft()
    return step, batch.result


def main() -> None:
    """Runs the plan of the command line."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    plan = Plan(**json.loads(sys.argv[1]))
    with kantor.Client(plan.address, **(plan.options or {})) as client:
        (run_unary if plan.call == "unary" else run_stream)(client, plan)


if __name__ == "__main__":
    main()
