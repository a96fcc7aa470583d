"""Between an accelerator and the host.

Copies go through pinned memory on a stream of their own. One from the device begins after what the current stream had
to do when it was asked for, and the host waits for that one copy by its event; one to the device waits for nothing, and
the current stream waits for it by an event, the host not at all. Nothing waits for the whole device. Pinned memory is
PyTorch's: its allocator keeps what was freed for the next call, and gives it to nobody before the copy has ended.
"""

from __future__ import annotations

import functools

import torch


def to_host(tensor: torch.Tensor) -> torch.Tensor:
    """Returns a tensor's numbers in the host's memory: those that the current stream will have computed by then."""
    if not tensor.is_cuda:
        return tensor.cpu()
    side = _side(tensor.device)
    side.wait_stream(torch.cuda.current_stream(tensor.device))
    with torch.cuda.stream(side):
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        host.copy_(tensor, non_blocking=True)
        copied = side.record_event()
    copied.synchronize()
    return host


def beside(like: torch.Tensor, host: torch.Tensor) -> torch.Tensor:
    """Returns numbers of the host's where another tensor is, to be used on the current stream."""
    if like.is_cpu:
        return host
    if not like.is_cuda:
        return host.to(like.device)
    side, current = _side(like.device), torch.cuda.current_stream(like.device)
    with torch.cuda.stream(side):
        pinned = torch.empty(host.shape, dtype=host.dtype, pin_memory=True)
        pinned.copy_(host)
        out = torch.empty(host.shape, dtype=host.dtype, device=like.device)
        out.copy_(pinned, non_blocking=True)
        copied = side.record_event()
    current.wait_event(copied)
    out.record_stream(current)  # or its memory would be the side stream's again before the current one has read it
    return out


@functools.cache
def _side(device: torch.device) -> torch.cuda.Stream:
    """Returns the stream that a device's copies go by."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
