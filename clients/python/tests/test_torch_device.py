"""Copies between an accelerator and the host, with stand-ins for torch.cuda that note what is asked of it and when.

No GPU is needed: a stand-in's work is done at once, so that numbers are right as well, and the order is what is tested.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import kantor
import kantor.torch
from kantor.torch import _device


class OnDevice(torch.Tensor):
    """A tensor that says it is on a GPU."""

    is_cpu = property(lambda self: False)
    is_cuda = property(lambda self: True)

    # What is computed from it is plain, but for what looks at the same numbers.
    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            out = function(*args, **(kwargs or {}))
        return out.as_subclass(cls) if function in (torch.Tensor.detach, torch.Tensor.reshape) else out


class Event:
    def __init__(self, calls: list[str], name: str) -> None:
        self.calls, self.name = calls, name

    def synchronize(self) -> None:
        self.calls.append(f"the host waits for {self.name}")


class Stream:
    """A stream of which every call is noted."""

    def __init__(self, calls: list[str], name: str) -> None:
        self.calls, self.name = calls, name

    def record_event(self) -> Event:
        self.calls.append(f"event on {self.name}")
        return Event(self.calls, f"an event of {self.name}")

    def wait_event(self, event: Event) -> None:
        self.calls.append(f"{self.name} waits for {event.name}")

    def wait_stream(self, other: Stream) -> None:
        self.wait_event(other.record_event())

    def synchronize(self) -> None:
        raise AssertionError("the host waits for a stream")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is asked of torch.cuda, in order: copies by the stream that they are on, pinned allocations, waits."""
    calls: list[str] = []
    current, made, on = Stream(calls, "current"), [], ["current"]

    @contextlib.contextmanager
    def entered(stream: Stream) -> Iterator[None]:
        on.append(stream.name)
        yield
        on.pop()

    def side(device: torch.device) -> Stream:
        made.append(device)
        return Stream(calls, "side")

    def refuse(*_: Any) -> None:
        raise AssertionError("the host waits for the whole device")

    def empty(*args: Any, pin_memory: bool = False, **kwargs: Any) -> torch.Tensor:
        if pin_memory:
            calls.append(f"pinned on {on[-1]}")
        return torch.zeros(*args, **kwargs)

    def copy(into: torch.Tensor, source: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
        calls.append(f"{'copy' if non_blocking else 'copy in memory'} on {on[-1]}")
        into.numpy()[...] = source.numpy()
        return into

    monkeypatch.setattr(torch.cuda, "Stream", side)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current)
    monkeypatch.setattr(torch.cuda, "stream", entered)
    monkeypatch.setattr(torch.cuda, "synchronize", refuse)
    monkeypatch.setattr(torch, "empty", empty)
    monkeypatch.setattr(torch.Tensor, "copy_", copy)
    monkeypatch.setattr(
        torch.Tensor, "record_stream", lambda _, stream: calls.append(f"used on {stream.name}"), raising=False
    )
    _device._side.cache_clear()
    yield calls
    _device._side.cache_clear()
    assert len(made) <= 1  # one stream for a device, not one for a copy


OUT = [
    "event on current",
    "side waits for an event of current",
    "pinned on side",
    "copy on side",
    "event on side",
    "the host waits for an event of side",
]
BACK = [
    "pinned on side",
    "copy in memory on side",
    "copy on side",
    "event on side",
    "current waits for an event of side",
    "used on current",
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_to_the_host_after_the_current_stream_and_by_an_event(calls: list[str], dtype: torch.dtype) -> None:
    given = torch.arange(6, dtype=dtype).reshape(2, 3)
    for _ in range(2):
        torch.testing.assert_close(_device.to_host(given.as_subclass(OnDevice)), given, rtol=0, atol=0)
    assert calls == OUT + OUT


def test_to_the_device_without_the_host_waiting(calls: list[str]) -> None:
    given = torch.arange(6.0)
    torch.testing.assert_close(_device.beside(torch.zeros(1).as_subclass(OnDevice), given), given, rtol=0, atol=0)
    assert calls == BACK


def test_what_is_on_the_host_is_not_copied(calls: list[str]) -> None:
    given = torch.arange(6.0)
    assert _device.beside(torch.zeros(1), given) is given
    assert _device.to_host(given) is given
    assert calls == []


def test_a_step_of_a_loss(client: kantor.Client, calls: list[str]) -> None:
    """Each input comes to the host by its event; gradients and value go back without the host waiting."""
    criterion = kantor.torch.Loss(kantor.GaussianKl(), client)
    mean = torch.randn(4, 2).as_subclass(OnDevice).requires_grad_()
    log_variance = torch.randn(4, 2).as_subclass(OnDevice)
    loss = criterion(posterior=kantor.Gaussian(mean, log_variance))
    assert calls == OUT + OUT + BACK + BACK
    loss.backward()
    assert mean.grad is not None
    np.testing.assert_allclose(mean.grad.numpy(), mean.detach().numpy() / 4, rtol=1e-6)
    assert calls == OUT + OUT + BACK + BACK
    criterion.close()


def test_a_step_of_samples_loss(client: kantor.Client, calls: list[str]) -> None:
    criterion = kantor.torch.SamplesLoss("energy", client=client)
    x, y = torch.randn(5, 2), torch.randn(6, 2)
    a, b = torch.full((5,), 0.2), torch.full((6,), 1 / 6)
    on = [tensor.as_subclass(OnDevice) for tensor in (a, x, b, y)]
    on[1].requires_grad_()
    value = criterion(*on)
    assert calls == 4 * OUT + 2 * BACK
    assert isinstance(value, torch.Tensor)
    assert value.item() == kantor.torch.SamplesLoss("energy", client=client)(a, x, b, y)
