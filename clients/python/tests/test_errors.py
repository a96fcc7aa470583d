"""Every status becomes the exception that says it, through a socket."""

from __future__ import annotations

import asyncio
import itertools
import pickle
import re
import socket
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
import kantor.aio
from kantor import _errors, _retry, _transport
from kantor._retry import retryable
from kantor._status import from_rpc
from kantor.v1 import loss_service_pb2

Answer = Callable[[Any, grpc.ServicerContext], bytes]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_retry, "_NEVER_SEEN_SECONDS", 0.3)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Answer], str]]:
    """Starts servers whose every unary call is answered by a function."""
    servers: list[grpc.Server] = []

    def start(answer: Answer) -> str:
        class Handler(grpc.GenericRpcHandler):
            def service(self, details: grpc.HandlerCallDetails) -> Any:
                return grpc.unary_unary_rpc_method_handler(answer)

        server = grpc.server(ThreadPoolExecutor(1), handlers=[Handler()])
        address = f"unix:{tmp_path}/{len(servers)}.sock"
        server.add_insecure_port(address)
        server.start()
        servers.append(server)
        return address

    yield start
    for server in servers:
        server.stop(0)


def evaluate(address: str, **options: Any) -> kantor.Evaluation:
    with kantor.Client(address, **options) as client:
        return client.evaluate(kantor.GaussianKl(), posterior=kantor.Gaussian(np.zeros((1, 1)), np.zeros((1, 1))))


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.UNAVAILABLE, kantor.UnavailableError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, kantor.DeadlineError),
        (grpc.StatusCode.CANCELLED, kantor.CancelledError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, kantor.OverloadedError),
        (grpc.StatusCode.UNAUTHENTICATED, kantor.UnauthenticatedError),
        (grpc.StatusCode.UNIMPLEMENTED, kantor.UnsupportedError),
        (grpc.StatusCode.INTERNAL, kantor.InternalError),
        (grpc.StatusCode.UNKNOWN, kantor.InternalError),
        (grpc.StatusCode.DATA_LOSS, kantor.InternalError),
        (grpc.StatusCode.PERMISSION_DENIED, kantor.CallError),
        (grpc.StatusCode.INVALID_ARGUMENT, kantor.InvalidArgumentError),
    ],
)
def test_a_code_has_its_exception(
    code: grpc.StatusCode, error: type[kantor.KantorError], serve: Callable[[Answer], str]
) -> None:
    def refuse(request: Any, context: grpc.ServicerContext) -> bytes:
        context.abort(code, "the reason")
        raise AssertionError("abort raises")

    with pytest.raises(kantor.KantorError, match="the reason") as caught:
        evaluate(serve(refuse))
    assert type(caught.value) is error
    if isinstance(caught.value, kantor.CallError):
        assert caught.value.code == code.name
    # Workers send their exceptions to the parent by pickle.
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is error
    assert str(again) == str(caught.value)


def test_a_bad_request_says_which_argument(serve: Callable[[Answer], str]) -> None:
    status = status_pb2.Status(code=code_pb2.INVALID_ARGUMENT, message="text")
    violation = error_details_pb2.BadRequest.FieldViolation(field='inputs["q"].mean', description="has NaN at [0,0]")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="BAD_INPUT", domain="kantor"))
    status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))

    def refuse(request: Any, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "text")
        raise AssertionError("abort raises")

    with pytest.raises(kantor.InvalidArgumentError) as caught:
        evaluate(serve(refuse))
    assert caught.value.field == 'inputs["q"].mean'
    assert caught.value.argument == "q.mean"
    assert caught.value.reason == "has NaN at [0,0]"
    assert str(caught.value) == "q.mean: has NaN at [0,0]"
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("field", "argument"),
    [
        ('inputs["source"].points', "source.points"),
        ("objective.terms[1].sinkhorn.blur", "terms[1].blur"),
        ("objective.terms[0].name", "terms[0].name"),
        ("objective.terms", "terms"),
        ("objective.gradients[0]", "gradients[0]"),
        ('overrides["kl.weight"]', 'overrides["kl.weight"]'),
        ("seed", "seed"),
        ("", ""),
    ],
)
def test_a_path_is_said_in_the_words_of_the_call(field: str, argument: str) -> None:
    assert kantor.InvalidArgumentError(field, "why").argument == argument


def test_an_unavailable_server_is_tried_again(serve: Callable[[Answer], str]) -> None:
    tries = 0

    def answer(request: Any, context: grpc.ServicerContext) -> bytes:
        nonlocal tries
        tries += 1
        if tries < 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        return loss_service_pb2.EvaluateResponse(value=7).SerializeToString()

    assert evaluate(serve(answer)).value == 7
    assert tries == 3


async def evaluate_awaited(address: str) -> kantor.Evaluation:
    async with kantor.aio.Client(address) as client:
        return await client.evaluate(kantor.GaussianKl(), posterior=kantor.Gaussian(np.zeros((1, 1)), np.zeros((1, 1))))


@pytest.mark.parametrize("call", [evaluate, lambda address: asyncio.run(evaluate_awaited(address))], ids=["", "aio"])
def test_a_server_that_says_when_is_tried_again_then_and_no_sooner(
    serve: Callable[[Answer], str], call: Callable[[str], kantor.Evaluation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_retry, "_NEVER_SEEN_SECONDS", 60)
    status = status_pb2.Status(code=code_pb2.RESOURCE_EXHAUSTED, message="full")
    delay = 0.15  # three times what the first pause is otherwise, at the most
    status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=int(delay * 1e9))))
    asked: list[float] = []

    def answer(request: Any, context: grpc.ServicerContext) -> bytes:
        asked.append(time.monotonic())
        if len(asked) < 3:
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        return loss_service_pb2.EvaluateResponse(value=7).SerializeToString()

    assert call(serve(answer)).value == 7
    assert len(asked) == 3
    assert all(later - earlier >= delay for earlier, later in itertools.pairwise(asked))


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN])
@pytest.mark.parametrize("whose", ["the server's", "the connection's"])
def test_a_failure_is_tried_again_if_it_is_the_connections(
    serve: Callable[[Answer], str], code: grpc.StatusCode, whose: str
) -> None:
    """A server says why; a connection whose bytes were damaged, or a proxy that lost the server, cannot."""
    tries = 0
    status = status_pb2.Status(code=code.value[0], message="broken")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="INTERNAL", domain="kantor"))

    def answer(request: Any, context: grpc.ServicerContext) -> bytes:
        nonlocal tries
        tries += 1
        if tries == 2:
            return loss_service_pb2.EvaluateResponse(value=7).SerializeToString()
        if whose == "the server's":
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(code, "broken")
        raise AssertionError("abort raises")

    address = serve(answer)
    if whose == "the connection's":
        assert evaluate(address).value == 7
        return
    with pytest.raises(kantor.InternalError, match="broken"):
        evaluate(address)
    assert tries == 1


def test_the_timeout_bounds_the_tries() -> None:
    with pytest.raises((kantor.UnavailableError, kantor.DeadlineError)):
        evaluate("unix:/nonexistent/kantor.sock", timeout=0.2)


def test_a_connection_may_take_its_time(tmp_path: Path) -> None:
    """One that has not come about in a moment is not given up for another, which would take as long."""
    with socket.socket(socket.AF_UNIX) as listener:  # accepts, and says nothing
        listener.bind(str(tmp_path / "s.sock"))
        listener.listen()
        listener.setblocking(False)
        with pytest.raises(kantor.DeadlineError):
            evaluate(f"unix:{tmp_path}/s.sock", timeout=1)
        listener.accept()[0].close()
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_no_server_is_unavailable() -> None:
    with pytest.raises(kantor.UnavailableError, match="nonexistent"):
        evaluate("unix:/nonexistent/kantor.sock")


def drawn() -> dict[str, str]:
    """The base class of each class in the drawing."""
    out, above = {}, ["KantorError"]
    for branch, name in re.findall(r"^    ([│ ]*)[├└]── (\w+)", str(_errors.__doc__), re.MULTILINE):
        depth = len(branch) // 4
        del above[depth + 1 :]
        out[name] = above[depth]
        above.append(name)
    return out


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    def walk(base: type[kantor.KantorError]) -> dict[str, str]:
        out: dict[str, str] = {}
        for below in base.__subclasses__():
            if below.__module__ == _errors.__name__:  # the others never leave the client
                out |= {below.__name__: base.__name__} | walk(below)
        return out

    assert drawn() == walk(kantor.KantorError)
    assert set(drawn()) | {"KantorError"} <= set(kantor.__all__)


@pytest.mark.parametrize("name", drawn())
def test_an_error_says_when_it_comes_and_what_to_do(name: str) -> None:
    doc = str(getattr(kantor, name).__doc__).partition("Attributes:")[0]
    when, _, advice = doc.strip().partition("\n\n")
    assert len(when) > 20
    assert len(advice) > 20 or name == "CallError"  # of which there are kinds
    assert re.search(rf"── {name} +\S", str(_errors.__doc__))


class Reset(grpc.RpcError):
    """What a call raises that the server resets."""

    def trailing_metadata(self) -> tuple[Any, ...]:
        return ()

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.CANCELLED

    def details(self) -> str:
        return "Stream removed"


class LostByABalancer(Reset):
    """What a call raises whose server has died behind a balancer."""

    def details(self) -> str:
        return "Stream removed (RST_STREAM (Received RST_STREAM with error code 8))"


def test_a_server_that_a_balancer_has_lost_is_away() -> None:
    error = from_rpc(LostByABalancer())
    assert type(error) is kantor.UnavailableError
    assert retryable(error)
    assert type(from_rpc(Reset())) is kantor.CancelledError


@pytest.mark.parametrize(
    ("timeout", "error"), [(0.0, kantor.DeadlineError), (60.0, kantor.CancelledError), (None, kantor.CancelledError)]
)
def test_a_deadline_that_the_server_notices_first_is_one(timeout: float | None, error: type[Exception]) -> None:
    def reset(request: object, timeout: float | None, metadata: object) -> None:
        raise Reset

    with pytest.raises(error):
        _transport._call(reset, None, timeout, None)
