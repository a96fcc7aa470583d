"""A small training in which everything has a state. As a script it is killed in the middle, and resumed.

    python training.py ADDRESS DIRECTORY

Each of the two is a process of its own, a fork of the script, which does nothing but import.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

import kantor
import kantor.torch
from kantor.schedules import Cosine, Cyclical

STEPS = 500
KILLED_AT = 250
PRIOR = kantor.StandardNormal()


class Momentum:
    """Gradient descent with momentum, by hand: the import of torch's optimisers takes seconds."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.velocities = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self) -> None:
        for parameter, velocity in zip(self.parameters, self.velocities, strict=True):
            assert parameter.grad is not None
            velocity.mul_(0.9).add_(parameter.grad)
            parameter.sub_(0.01 * velocity)
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        return {"velocities": self.velocities}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.velocities = state["velocities"]


class Training:
    """A small autoencoder under everything that has a state: a schedule, samples by the seed, a critic, momentum."""

    def __init__(self, client: kantor.Client) -> None:
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 4))
        self.criterion = kantor.torch.Loss(
            kantor.Sinkhorn("codes", "prior") + kantor.GaussianKl() + 0.1 * kantor.ConeCritic("codes", "other"),
            client,
            schedules={"kl.weight": Cyclical(0, 4, 10), "sinkhorn.blur": Cosine(2, 0.5, 20)},
            seed=11,
        )
        self.optimiser = Momentum(self.model.parameters())
        self.losses: list[float] = []

    def run(self, steps: range, before: Callable[[int], None] = lambda step: None) -> None:
        for step in steps:
            before(step)
            x = torch.randn(32, 3, generator=torch.Generator().manual_seed(step))
            mean, log_variance = self.model(x).chunk(2, 1)
            loss = self.criterion(codes=mean, prior=PRIOR, other=PRIOR, posterior=kantor.Gaussian(mean, log_variance))
            loss.backward()
            self.optimiser.step()
            self.losses.append(loss.item())

    @property
    def parts(self) -> tuple[Any, ...]:
        return self.model, self.criterion, self.optimiser

    @property
    def told(self) -> list[str]:
        """The curve and where it has led to, bit for bit."""
        return [loss.hex() for loss in self.losses] + [p.detach().numpy().tobytes().hex() for p in self.parameters]

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        return list(self.model.parameters())


def killed(training: Training, directory: Path) -> None:
    training.run(range(KILLED_AT))
    torch.save([part.state_dict() for part in training.parts], directory / "checkpoint.pt")
    training.run(range(KILLED_AT, KILLED_AT + 3))  # which are lost
    os.kill(os.getpid(), signal.SIGKILL)


def resumed(training: Training, directory: Path) -> None:
    states = torch.load(directory / "checkpoint.pt", weights_only=True)
    for part, state in zip(training.parts, states, strict=True):
        part.load_state_dict(state)
    training.run(range(KILLED_AT, STEPS))
    (directory / "resumed.json").write_text(json.dumps(training.told))


def main(address: str, directory: Path) -> None:
    """Prints how each process ended."""
    for work in (killed, resumed):
        child = os.fork()
        if child == 0:
            with kantor.Client(address, timeout=60) as client:
                work(Training(client), directory)
            os._exit(0)
        print(work.__name__, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
