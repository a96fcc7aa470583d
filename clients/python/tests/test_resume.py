"""A server that dies in the middle of a training, and what the training sees of it: nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

import kantor
from conftest import BINARY, bits
from kantor import _retry, _server
from kantor.v1 import loss_service_pb2

LOSS = kantor.Sinkhorn("x", "y", blur=0.3)


def kill(client: kantor.Client) -> None:
    assert isinstance(client._server, _server.Server)
    os.kill(client._server._process.pid, signal.SIGKILL)


@pytest.mark.parametrize("unordered", [False, True])
def test_batches_in_flight_are_answered_by_the_next_server(client: kantor.Client, unordered: bool) -> None:
    rng = np.random.default_rng(4)
    problems = rng.standard_normal((8, 2, 200, 3))
    # Long enough that the server is killed at work.
    slow = kantor.Sinkhorn("x", "y", blur=0.05, tolerance=1e-9, max_iterations=500)
    expected = [bits(client.evaluate(slow, x=x, y=y)) for x, y in problems]
    with kantor.Client(binary=BINARY, timeout=60) as mine, mine.stream(slow, unordered=unordered) as stream:
        pending = [stream.submit(x=x, y=y) for x, y in problems]
        kill(mine)
        # Asked from the last on, and by several threads.
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda p: bits(p.result()), pending[::-1]))
        assert answers[::-1] == expected
        assert all(p.done() for p in pending)


def test_a_single_call_outlives_the_server_as_well() -> None:
    x = np.ones((3, 2))
    with kantor.Client(binary=BINARY, timeout=60) as client:
        value = client.evaluate(LOSS, x=x, y=2 * x).value
        kill(client)
        assert client.evaluate(LOSS, x=x, y=2 * x).value == value


def test_a_server_that_dies_again_and_again_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_server, "MOST_DEATHS", 2)
    with kantor.Client(binary=BINARY, timeout=60) as client:
        for _ in range(2):
            assert client.info()
            kill(client)
            client._server._process.wait()  # type: ignore[union-attr]
        client._server._watcher.join(10)  # type: ignore[union-attr]
        with pytest.raises(kantor.UnavailableError) as caught:
            client.info()
    assert "ended with SIGKILL, as 2 times within 60 s, and is not started again" in str(caught.value)


class Script:
    """A server whose every stream is a function of what it receives; it keeps what it got."""

    def __init__(self, path: Path) -> None:
        self.address = f"unix:{path}/scripted.sock"
        self.calls: list[list[int]] = []
        self.turns: list[Callable[[int], Any]] = []
        self._server = grpc.server(ThreadPoolExecutor(4), handlers=[self._handler()])
        self._server.add_insecure_port(self.address)
        self._server.start()

    def _handler(self) -> grpc.GenericRpcHandler:
        script = self

        class Handler(grpc.GenericRpcHandler):
            def service(self, details: grpc.HandlerCallDetails) -> Any:
                return grpc.stream_stream_rpc_method_handler(
                    script.answer,
                    request_deserializer=loss_service_pb2.EvaluateStreamRequest.FromString,
                    response_serializer=loss_service_pb2.EvaluateStreamResponse.SerializeToString,
                )

        return Handler()

    def answer(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        ids: list[int] = []
        self.calls.append(ids)
        turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        for request in requests:
            if request.WhichOneof("message") == "open":
                yield loss_service_pb2.EvaluateStreamResponse(opened={"window": 8})
                continue
            ids.append(request.batch.id)
            out = turn(request.batch.id)
            if isinstance(out, status_pb2.Status):
                context.set_trailing_metadata((("grpc-status-details-bin", out.SerializeToString()),))
                context.abort(next(c for c in grpc.StatusCode if c.value[0] == out.code), out.message)
            if out is not None:
                yield out

    def stop(self) -> None:
        self._server.stop(0).wait()


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    made = Script(tmp_path)
    yield made
    made.stop()


def status(code: int, message: str, retry_after: float | None = None) -> status_pb2.Status:
    out = status_pb2.Status(code=code, message=message)
    if retry_after is not None:
        delay = duration_pb2.Duration(nanos=int(retry_after * 1e9))
        out.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return out


def result(batch: int) -> loss_service_pb2.EvaluateStreamResponse:
    return loss_service_pb2.EvaluateStreamResponse(result={"id": batch, "response": {"value": batch}})


def failure(batch: int, why: status_pb2.Status) -> loss_service_pb2.EvaluateStreamResponse:
    return loss_service_pb2.EvaluateStreamResponse(failure={"id": batch, "status": why})


def values(script: Script, batches: int = 4) -> list[float]:
    with kantor.Client(script.address, timeout=30) as client, client.stream(LOSS) as stream:
        pending = [stream.submit() for _ in range(batches)]
        return [p.result().value for p in reversed(pending)][::-1]


AWAY = status(code_pb2.UNAVAILABLE, "going")


@pytest.mark.parametrize(
    "interrupt",
    [
        lambda batch: result(batch) if batch < 3 else (None if batch < 4 else AWAY),
        # A server that stops says so of each batch that it gives up.
        lambda batch: result(batch) if batch < 3 else failure(3, AWAY),
        # Overloaded, and it says when to come again.
        lambda batch: result(batch) if batch < 3 else status(code_pb2.RESOURCE_EXHAUSTED, "full", 0.01),
    ],
)
def test_only_what_has_no_answer_is_sent_again_and_in_order(script: Script, interrupt: Callable[[int], Any]) -> None:
    script.turns = [interrupt, result]
    assert values(script) == [1, 2, 3, 4]
    assert script.calls[1] == [3, 4]


def test_a_batchs_own_failure_is_its_answer(script: Script) -> None:
    refused = status(code_pb2.INVALID_ARGUMENT, "wrong")
    script.turns = [lambda batch: failure(batch, refused) if batch == 2 else result(batch)]
    with kantor.Client(script.address, timeout=30) as client, client.stream(LOSS) as stream:
        pending = [stream.submit() for _ in range(3)]
        assert [pending[i].result().value for i in (0, 2)] == [1, 3]
        for _ in range(2):
            with pytest.raises(kantor.InvalidArgumentError, match="wrong"):
                pending[1].result()
    assert script.calls == [[1, 2, 3]]


@pytest.mark.parametrize("end", [status(code_pb2.INTERNAL, "broken"), status(code_pb2.RESOURCE_EXHAUSTED, "large")])
def test_an_end_that_would_come_again_is_everybodys_answer(script: Script, end: status_pb2.Status) -> None:
    script.turns = [lambda batch: end]
    with pytest.raises(kantor.CallError, match=end.message):
        values(script)
    sent = [batch for call in script.calls for batch in call]
    assert len(sent) == len(set(sent))  # one that was submitted only after the end has a call of its own


def test_a_batch_that_ends_every_call_is_given_up(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be what kills the server. A batch before it that is answered each time must not keep it going."""
    monkeypatch.setattr(_retry, "_FIRST_PAUSE", 0.001)
    script.turns = [lambda batch: AWAY]
    with pytest.raises(kantor.UnavailableError, match=r"going \[UNAVAILABLE, 8 tries in"):
        values(script, batches=1)
    assert script.calls == [[1]] * 8


def test_a_server_that_goes_away_after_a_long_computation_is_waited_for(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a batch took before its server was lost is none of the time that the next one is waited for."""
    monkeypatch.setattr(_retry, "_LOST_SECONDS", 0.3)

    def long(batch: int) -> status_pb2.Status:
        time.sleep(0.5)
        return AWAY

    script.turns = [long, result]
    assert values(script, batches=1) == [1]
    assert script.calls == [[1], [1]]


def test_an_answer_that_nobody_waits_for_is_the_servers_fault(script: Script) -> None:
    script.turns = [lambda batch: result(batch + 7)]
    with pytest.raises(kantor.InternalError, match="batch 8, which waits for no answer"):
        values(script, batches=1)


def test_the_deadline_bounds_the_tries_and_says_what_they_met(script: Script) -> None:
    script.turns = [lambda batch: status(code_pb2.UNAVAILABLE, "come later", 0.9)]
    with kantor.Client(script.address, timeout=30) as client, client.stream(LOSS) as stream:
        with pytest.raises(kantor.DeadlineError, match=r"no result within 0\.2 s; the server went away: come later"):
            stream.evaluate(timeout=0.2)
        assert len(script.calls) == 1


def test_closing_does_not_wait_for_the_next_try(script: Script) -> None:
    script.turns = [lambda batch: status(code_pb2.UNAVAILABLE, "come later", 0.999)]
    caught: list[BaseException] = []
    with kantor.Client(script.address, timeout=30) as client:
        stream = client.stream(LOSS)
        pending = stream.submit()

        def wait() -> None:
            try:
                pending.result()
            except kantor.CancelledError as error:
                caught.append(error)

        waiter = threading.Thread(target=wait)
        waiter.start()
        stream.close()
        waiter.join(10)
    assert len(caught) == 1
