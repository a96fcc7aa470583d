"""Batch after batch, with a live server."""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import signal
import subprocess
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import kantor
from conftest import bits
from servers import server

OBJECTIVE = kantor.Sinkhorn("z", "prior", blur=0.7) + 2 * kantor.GaussianKl("q")
GRADIENTS = ["z.points", "q.mean", "q.log_variance"]
EXTRAS = ["sinkhorn.potentials", "kl.per_dimension"]


def batch(step: int) -> dict[str, object]:
    rng = np.random.default_rng(step)
    z, mean, log_variance = rng.standard_normal((3, 20, 2)).astype(np.float32)
    return {"z": z, "prior": kantor.StandardNormal(), "q": kantor.Gaussian(mean, log_variance)}


def test_a_stream_gives_the_bits_of_single_calls(client: kantor.Client) -> None:
    single = [bits(client.evaluate(OBJECTIVE, batch(i), gradients=GRADIENTS, extras=EXTRAS, seed=i)) for i in range(6)]
    with client.stream(OBJECTIVE, gradients=GRADIENTS, extras=EXTRAS) as stream:
        assert [bits(stream.evaluate(batch(i), seed=i)) for i in range(6)] == single
        pending = [stream.submit(batch(i), seed=i) for i in range(6)]
        assert [bits(p.result()) for p in pending] == single
        assert all(p.done() for p in pending)
        assert bits(pending[0].result()) == single[0]  # may be asked again
    with client.stream(OBJECTIVE, gradients=GRADIENTS, extras=EXTRAS, unordered=True) as stream:
        pending = [stream.submit(batch(i), seed=i) for i in range(6)]
        assert [bits(p.result()) for p in reversed(pending)] == single[::-1]


def test_a_bad_batch_fails_alone(client: kantor.Client) -> None:
    bad = {**batch(1), "z": np.full((20, 2), np.nan, np.float32)}
    with client.stream(OBJECTIVE) as stream:
        good = stream.evaluate(batch(0)).value
        with pytest.raises(kantor.InvalidArgumentError) as caught:
            stream.evaluate(bad)
        assert caught.value.argument == "z.points"
        first, second, third = stream.submit(batch(0)), stream.submit(bad), stream.submit(batch(0))
        assert third.result().value == good
        with pytest.raises(kantor.InvalidArgumentError):
            second.result()
        assert first.result().value == good
        # What the codec refuses is never sent.
        with pytest.raises(kantor.InvalidArgumentError, match="float16"):
            stream.evaluate({**batch(0), "z": np.zeros((20, 2), np.float16)})
        assert stream.evaluate(batch(0)).value == good


def test_overrides_are_the_batchs_own(client: kantor.Client) -> None:
    with client.stream(OBJECTIVE) as stream:
        plain = stream.evaluate(batch(0))
        changed = stream.evaluate(batch(0), overrides={"kl.weight": 0, "sinkhorn.blur": 1.5})
        assert changed.terms["kl"] is not None
        assert changed.value == changed.terms["sinkhorn"].value != plain.terms["sinkhorn"].value
        solve = changed.terms["sinkhorn"].solve
        assert solve is not None
        assert solve.epsilon == 2.25
        assert stream.evaluate(batch(0)).value == plain.value
        with pytest.raises(kantor.InvalidArgumentError) as caught:
            stream.evaluate(batch(0), overrides={"kl.blur": 1})
        assert caught.value.argument == 'overrides["kl.blur"]'


def test_a_bad_objective_is_refused_when_the_stream_opens(client: kantor.Client) -> None:
    with pytest.raises(kantor.InvalidArgumentError) as caught:
        client.stream([])
    assert caught.value.argument == "terms"


def test_more_batches_than_the_window(client: kantor.Client) -> None:
    count = 5 * client.info().limits.window
    with client.stream(kantor.GaussianKl("q")) as stream:
        pending = [stream.submit(q=batch(i)["q"]) for i in range(count)]
        values = [p.result().value for p in pending]
    assert values == [client.evaluate(kantor.GaussianKl("q"), q=batch(i)["q"]).value for i in range(count)]


def test_threads_share_a_stream(client: kantor.Client) -> None:
    with client.stream(kantor.GaussianKl("q")) as stream, concurrent.futures.ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda i: stream.evaluate(q=batch(i)["q"]).value, range(64)))
    assert values == [client.evaluate(kantor.GaussianKl("q"), q=batch(i)["q"]).value for i in range(64)]


def test_a_timeout_leaves_the_stream_alive(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 1000, 8))
    with client.stream(kantor.Sinkhorn(blur=0.01, tolerance=1e-12, max_iterations=300), unordered=True) as stream:
        pending = stream.submit(source=x, target=y)
        with pytest.raises(kantor.DeadlineError):
            pending.result(timeout=0.01)
        assert stream.evaluate(source=x[:3], target=y[:3], timeout=120).value > 0
        assert pending.result(timeout=120).value > 0


def test_a_closed_stream_says_so(client: kantor.Client) -> None:
    with client.stream(kantor.GaussianKl("q")) as stream:
        pass
    with pytest.raises(kantor.ClosedError):
        stream.evaluate(q=batch(0)["q"])


def test_a_dropped_stream_ends(client: kantor.Client) -> None:
    """A server takes 64 streams on a connection; a training script that makes a criterion a step must not run out."""
    stream = client.stream(kantor.GaussianKl())
    session = stream._sessions.get()
    assert session.running
    gone = weakref.ref(stream)
    del stream
    gc.collect()
    assert gone() is None
    session.join()
    assert not session.running


def test_a_stream_closed_with_batches_in_flight_ends_them(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 2000, 8))
    with client.stream(kantor.Sinkhorn(blur=0.001, tolerance=1e-12, max_iterations=100_000)) as stream:
        pending = stream.submit(source=x, target=y)
        start = time.monotonic()
    assert time.monotonic() - start < 5  # the server stopped; the solve would take minutes
    with pytest.raises(kantor.CancelledError):
        pending.result()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts servers on one socket, one after the other."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(server(f"unix:{tmp_path}/s.sock"))


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_a_stream_outlives_its_server(
    serve: Callable[[], subprocess.Popen[bytes]], tmp_path: Path, ending: signal.Signals
) -> None:
    """A server that drains (SIGTERM) or dies (SIGKILL), and its successor: the next batch finds it."""
    first = serve()
    with kantor.Client(f"unix:{tmp_path}/s.sock", timeout=20) as client:
        with client.stream(kantor.GaussianKl("q")) as stream:
            value = stream.evaluate(q=batch(0)["q"]).value
            first.send_signal(ending)
            first.wait(10)
            serve()
            assert stream.evaluate(q=batch(0)["q"]).value == value
        assert client.evaluate(kantor.GaussianKl("q"), q=batch(0)["q"]).value == value


def test_a_stream_without_a_server_is_unavailable(
    serve: Callable[[], subprocess.Popen[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kantor._retry._LOST_SECONDS", 0.3)
    server = serve()
    with kantor.Client(f"unix:{tmp_path}/s.sock") as client, client.stream(kantor.GaussianKl("q")) as stream:
        server.kill()
        server.wait()
        with pytest.raises(kantor.UnavailableError, match=r"\[UNAVAILABLE, \d tries in 0\.\d s\]"):
            stream.evaluate(q=batch(0)["q"])
