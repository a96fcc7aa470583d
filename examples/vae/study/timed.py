"""A criterion that knows how much of a training's time it took."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch

import kantor
import kantor.torch
from study.cells import Row


class Timed:
    """kantor.torch.Loss, with a clock.

    Attributes:
        criterion: behind it.
    """

    def __init__(self, terms: kantor.Term | kantor.Objective, client: kantor.Client, seed: int = 0) -> None:
        self.criterion = kantor.torch.Loss(terms, client, seed=seed)
        self._calls = 0
        self._waited = 0.0
        self._served = 0.0
        self._start = time.perf_counter()

    def __call__(self, inputs: Mapping[str, object], *, seed: int | None = None) -> torch.Tensor:
        """Returns the value, as the criterion does."""
        before = time.perf_counter()
        value: torch.Tensor = self.criterion(inputs, seed=seed)
        self._waited += time.perf_counter() - before
        self._calls += 1
        report = self.criterion.report
        assert report is not None
        self._served += report.timing.decode + report.timing.compute
        return value

    def shares(self) -> Row:
        """Ends the streams and returns the time of a step in ms, the call's share of it, and the server's own share.

        A step is what was between the start and now, over the number of calls.
        """
        spent = time.perf_counter() - self._start
        self.criterion.close()
        return {
            "step_ms": round(1e3 * spent / self._calls, 3),
            "call_share": round(self._waited / spent, 4),
            "server_share": round(self._served / spent, 4),
        }
