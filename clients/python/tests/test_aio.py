"""The client for asyncio, with a live server."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

import kantor
import kantor.aio
from conftest import BINARY, bits
from kantor._server import Server
from kantor._transport import LARGE_BYTES

T = TypeVar("T")

OBJECTIVE = kantor.Sinkhorn("z", "prior", blur=0.7) + 2 * kantor.GaussianKl("q")
GRADIENTS = ["z.points", "q.mean"]
EXTRAS = ["sinkhorn.potentials"]
# Minutes of computing.
LONG = kantor.Sinkhorn(blur=0.001, tolerance=1e-12, max_iterations=100_000)
PATIENCE = 30.0  # seconds after which a test fails that would wait for ever


def batch(step: int) -> dict[str, Any]:
    rng = np.random.default_rng(step)
    z, mean, log_variance = rng.standard_normal((3, 20, 2)).astype(np.float32)
    return {"z": z, "prior": kantor.StandardNormal(), "q": kantor.Gaussian(mean, log_variance)}


def long_batch() -> dict[str, Any]:
    x, y = np.random.default_rng(0).standard_normal((2, 2000, 8))
    return {"source": x, "target": y}


def run(main: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, in the loop's debug mode, whose warnings are errors here."""
    return asyncio.run(asyncio.wait_for(main, 2 * PATIENCE), debug=True)


def log_of(client: kantor.aio.Client) -> list[dict[str, Any]]:
    assert client._core._made is not None
    return [json.loads(line) for line in client._core._made.result().server_log]


async def until(true: Callable[[], object]) -> None:
    """Waits for what another process or thread does."""
    for _ in range(int(PATIENCE / 0.005)):
        if true():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen")


def ended(client: kantor.aio.Client, method: str, code: str) -> Callable[[], bool]:
    """Whether the server has ended a call of a method with a code; it says so when it has stopped to compute."""
    return lambda: any(e.get("grpc.method") == method and e.get("grpc.code") == code for e in log_of(client))


def in_flight(stream: kantor.aio.Stream) -> int:
    assert stream._core is not None
    session = stream._core._sessions.get()
    return sum(batch.call is not None for batch in session._batches.values())


def test_awaited_calls_give_the_bits_of_blocking_ones(client: kantor.Client) -> None:
    wanted: dict[str, Any] = {"gradients": GRADIENTS, "extras": EXTRAS}
    expected = [bits(client.evaluate(OBJECTIVE, batch(i), **wanted, seed=i)) for i in range(4)]

    async def main() -> None:
        async with kantor.aio.Client(client.address, timeout=60) as mine:
            assert [bits(await mine.evaluate(OBJECTIVE, batch(i), **wanted, seed=i)) for i in range(4)] == expected
            assert await mine.info() == client.info()
            for unordered in (False, True):
                async with mine.stream(OBJECTIVE, **wanted, unordered=unordered) as stream:
                    assert [bits(await stream.evaluate(batch(i), seed=i)) for i in range(4)] == expected
                    pending = [await stream.submit(batch(i), seed=i) for i in range(4)]
                    assert [bits(await p) for p in reversed(pending)] == expected[::-1]
                    assert all(p.done() for p in pending)
                    assert bits(await pending[0].result()) == expected[0]  # may be asked again

    run(main())


def test_awaited_diagnostics_are_the_blocking_clients(client: kantor.Client) -> None:
    asked = [kantor.ActiveUnits("q"), kantor.Entropy("q"), kantor.PermutationTest("z", "prior", permutations=99)]

    async def main() -> None:
        async with kantor.aio.Client(client.address, timeout=60) as mine:
            for seed in (0, 2**63):
                got = await mine.diagnose(asked, batch(1), seed=seed)
                want = client.diagnose(asked, batch(1), seed=seed)
                assert [repr(result) for result in got.values()] == [repr(result) for result in want.values()]
                assert {n: bytes(a) for r in got.values() for n, a in r.details.items()} == {
                    n: bytes(a) for r in want.values() for n, a in r.details.items()
                }
            with pytest.raises(kantor.InvalidArgumentError) as caught:
                await mine.diagnose(kantor.ActiveUnits("z", threshold=-1.0), z=batch(1)["z"])
            assert caught.value.field == "diagnostics[0].active_units.threshold"
            with pytest.raises(kantor.InvalidArgumentError, match="seed: is -1"):
                await mine.diagnose(kantor.Entropy("z"), z=batch(1)["z"], seed=-1)
            # Above the size from which the server is asked whether it takes it, beside the loop.
            large = np.zeros((70_000, 16))
            assert large.nbytes > LARGE_BYTES
            assert (await mine.diagnose(kantor.ActiveUnits("z"), z=large))["active_units"].value == 0

    run(main())


def test_a_cancelled_diagnosis_ends_on_the_server() -> None:
    async def main() -> None:
        async with kantor.aio.Client(binary=BINARY, timeout=60) as mine:
            x, y = np.random.default_rng(0).standard_normal((2, 8000, 8))
            term = kantor.PermutationTest(kernel="imq", permutations=1000)
            task = asyncio.create_task(mine.diagnose(term, source=x, target=y))
            await asyncio.sleep(0.1)  # so that it computes; one that is on its way is ended as well
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(ended(mine, "Diagnose", "Canceled"))

    run(main())


def test_overrides_and_gradients_of_terms_are_sent(client: kantor.Client) -> None:
    async def main() -> None:
        async with kantor.aio.Client(client.address, timeout=60) as mine:
            per_term = await mine.evaluate(OBJECTIVE, batch(0), gradients=GRADIENTS, gradients_per_term=True)
            assert per_term.terms["kl"].gradients["q.mean"].shape == (20, 2)
            async with mine.stream(OBJECTIVE, gradients=GRADIENTS, gradients_per_term=True) as stream:
                changed = await stream.evaluate(batch(0), overrides={"kl.weight": 0})
                assert changed.terms["kl"].gradients.keys() == per_term.terms["kl"].gradients.keys()
                assert changed.value == changed.terms["sinkhorn"].value

    run(main())


def test_many_at_once_through_one_client_and_one_stream(client: kantor.Client) -> None:
    term = kantor.GaussianKl("q")
    expected = [client.evaluate(term, q=batch(i)["q"]).value for i in range(50)]
    assert client.info().limits.window < 50

    async def main() -> None:
        async with kantor.aio.Client(client.address, timeout=60) as mine, mine.stream(term) as stream:
            for evaluate in (lambda **q: mine.evaluate(term, **q), stream.evaluate):
                results = await asyncio.gather(*(evaluate(q=batch(i)["q"]) for i in range(50)))
                assert [result.value for result in results] == expected
            pending = [await stream.submit(q=batch(i)["q"]) for i in range(50)]
            assert [(await p).value for p in pending] == expected

    run(main())


def test_errors_are_the_blocking_clients(client: kantor.Client) -> None:
    bad = {**batch(1), "z": np.full((20, 2), np.nan, np.float32)}

    async def main() -> None:
        async with kantor.aio.Client(client.address, timeout=60) as mine:
            with pytest.raises(kantor.InvalidArgumentError) as caught:
                await mine.evaluate(OBJECTIVE, bad)
            assert caught.value.argument == "z.points"
            with pytest.raises(kantor.InvalidArgumentError, match="float16"):
                await mine.evaluate(OBJECTIVE, {**batch(0), "z": np.zeros((20, 2), np.float16)})
            with pytest.raises(kantor.InvalidArgumentError) as caught:
                async with mine.stream([]):
                    pass
            assert caught.value.argument == "terms"
            with pytest.raises(kantor.DeadlineError) as late:
                await mine.evaluate(LONG, long_batch(), timeout=0.1)
            assert isinstance(late.value, TimeoutError)
            async with mine.stream(OBJECTIVE) as stream:
                good = (await stream.evaluate(batch(0))).value
                first, second, third = [await stream.submit(b) for b in (batch(0), bad, batch(0))]
                assert (await third).value == good
                with pytest.raises(kantor.InvalidArgumentError):
                    await second
                assert (await first).value == good
            with pytest.raises(kantor.ClosedError, match="stream"):
                await stream.evaluate(batch(0))
        with pytest.raises(kantor.ClosedError, match="client"):
            await mine.info()
        with pytest.raises(kantor.ClosedError, match="client"):
            await mine.stream(OBJECTIVE).evaluate(batch(0))

    run(main())


def test_without_an_address_it_starts_a_server_and_ends_it() -> None:
    async def main() -> None:
        async with kantor.aio.Client(binary=BINARY, timeout=60) as mine:
            await asyncio.gather(*(mine.info() for _ in range(5)))
            assert mine._core._made is not None
            server = mine._core._made.result()._server
            assert isinstance(server, Server)
            assert server._process.poll() is None
        assert server._process.poll() == 0
        await kantor.aio.Client(binary=BINARY).aclose()  # which never started one

    run(main())


def test_why_there_is_no_server_is_told_to_every_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kantor._retry._NEVER_SEEN_SECONDS", 0.3)

    async def main() -> None:
        mine = kantor.aio.Client(binary=tmp_path / "none")
        for _ in range(2):
            with pytest.raises(kantor.ServerNotFoundError, match="does not exist"):
                await mine.info()
        await mine.aclose()
        with pytest.raises(ValueError, match="not both"):
            kantor.aio.Client("unix:/s", binary=BINARY)
        away = kantor.aio.Client(f"unix:{tmp_path}/none.sock")
        with pytest.raises(kantor.UnavailableError, match=r"\[UNAVAILABLE, \d+ tries in 0\.\d s\]"):
            await away.info()
        with pytest.raises(kantor.UnavailableError, match=r"\[UNAVAILABLE, \d+ tries in 0\.\d s\]"):
            await away.stream(OBJECTIVE).evaluate(batch(0))
        await away.aclose()

    run(main())


def test_a_cancelled_call_ends_on_the_server() -> None:
    async def main() -> None:
        async with kantor.aio.Client(binary=BINARY, timeout=60) as mine:
            task = asyncio.create_task(mine.evaluate(LONG, long_batch()))
            await asyncio.sleep(0.1)  # so that it computes; one that is on its way is ended as well
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(ended(mine, "Evaluate", "Canceled"))
            assert (await mine.evaluate(OBJECTIVE, batch(0))).converged

    run(main())


@pytest.mark.parametrize("how", ["evaluate", "await", "deadline"])
def test_a_cancelled_batch_ends_on_the_server_and_the_others_go_on(how: str) -> None:
    async def main() -> None:
        async with kantor.aio.Client(binary=BINARY, timeout=60) as mine, mine.stream(LONG) as stream:
            before = await stream.submit(source=np.zeros((2, 1)), target=np.ones((2, 1)))
            if how == "evaluate":
                late: Awaitable[Any] = stream.evaluate(long_batch())
            elif how == "await":
                late = await stream.submit(long_batch())
            else:
                late = stream.evaluate(long_batch(), timeout=0.3)
            task = asyncio.ensure_future(late)
            after = asyncio.create_task(stream.evaluate(source=np.zeros((2, 1)), target=2 * np.ones((2, 1))))
            await before
            await until(lambda: in_flight(stream) == 2)
            if how != "deadline":
                task.cancel()
            with pytest.raises(kantor.DeadlineError if how == "deadline" else asyncio.CancelledError):
                await task
            await until(ended(mine, "EvaluateStream", "Canceled"))
            # Half the squared distance.
            assert [(await p).value for p in (before, after)] == pytest.approx([0.5, 2])
            if isinstance(late, kantor.aio.Pending):
                with pytest.raises(kantor.CancelledError, match="given up"):
                    await late

    run(main())


def test_who_waits_for_room_can_be_cancelled_or_late(client: kantor.Client) -> None:
    small = {"source": np.zeros((2, 1)), "target": np.ones((2, 1))}

    async def main() -> None:
        async with kantor.aio.Client(client.address, timeout=60) as mine, mine.stream(LONG) as stream:
            window = (await mine.info()).limits.window
            first = await stream.submit(long_batch())
            full = [await stream.submit(small) for _ in range(window - 1)]
            waiting = asyncio.create_task(stream.submit(small))
            patient = asyncio.create_task(stream.submit(small))
            with pytest.raises(kantor.DeadlineError, match="no earlier batch was answered within"):
                await stream.submit(small, timeout=0.01)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert not patient.done()
            with pytest.raises(kantor.DeadlineError):
                await first.result(timeout=0.01)
            giving_up = asyncio.ensure_future(first)
            await asyncio.sleep(0)
            giving_up.cancel()  # which makes room
            pending = await patient
            assert [(await p).value for p in [*full, pending]] == pytest.approx([0.5] * window)

    run(main())


def test_the_loop_goes_on_while_the_server_computes() -> None:
    """A loop that waited for the answers, minutes away, would not tick a hundred times before there is one."""

    async def main() -> None:
        async with kantor.aio.Client(binary=BINARY, timeout=60) as mine, mine.stream(LONG) as stream:
            calls = (mine.evaluate(LONG, long_batch()), stream.evaluate(long_batch()))
            tasks = [asyncio.create_task(call) for call in calls]
            for _ in range(100):
                await asyncio.sleep(0.001)
            assert not any(task.done() for task in tasks)
            for task in tasks:
                task.cancel()
            assert {type(e) for e in await asyncio.gather(*tasks, return_exceptions=True)} == {asyncio.CancelledError}
            await until(ended(mine, "Evaluate", "Canceled"))
            await until(ended(mine, "EvaluateStream", "Canceled"))

    run(main())


def test_a_server_that_dies_is_waited_for() -> None:
    async def main() -> None:
        async with kantor.aio.Client(binary=BINARY, timeout=60) as mine, mine.stream(OBJECTIVE) as stream:
            expected = (await mine.evaluate(OBJECTIVE, batch(0))).value
            assert mine._core._made is not None
            server = mine._core._made.result()._server
            assert isinstance(server, Server)
            pending = [await stream.submit(batch(0)) for _ in range(4)]
            os.kill(server._process.pid, signal.SIGKILL)
            single, *batches = await asyncio.gather(
                mine.evaluate(OBJECTIVE, batch(0)), stream.evaluate(batch(0)), *(p.result() for p in pending)
            )
            assert [single.value, *(result.value for result in batches)] == [expected] * 6

    run(main())


def test_loops_one_after_the_other_share_a_client(client: kantor.Client) -> None:
    mine = kantor.aio.Client(client.address, timeout=60)

    async def main() -> float:
        async with mine.stream(OBJECTIVE) as stream:
            results = await asyncio.gather(mine.evaluate(OBJECTIVE, batch(0)), stream.evaluate(batch(0)))
        return results[0].value if results[0].value == results[1].value else np.nan

    assert {run(main()) for _ in range(3)} == {client.evaluate(OBJECTIVE, batch(0)).value}
    run(mine.aclose())


@pytest.mark.parametrize("way", ["call", "stream"])
def test_what_is_no_good_is_kept(
    client: kantor.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setenv("KANTOR_DUMP", str(tmp_path))
    stopped = kantor.Sinkhorn("z", "prior", blur=0.05, tolerance=1e-9, max_iterations=3)
    good = {"z": batch(0)["z"], "prior": kantor.StandardNormal()}
    bad = {**good, "z": np.full((20, 2), np.nan)}

    async def main() -> float:
        async with kantor.aio.Client(client.address, timeout=60) as mine:
            if way == "call":
                with pytest.raises(kantor.InvalidArgumentError):
                    await mine.evaluate(stopped, bad)
                return (await mine.evaluate(stopped, good, seed=3)).value
            async with mine.stream(stopped) as stream:
                with pytest.raises(kantor.InvalidArgumentError):
                    await stream.evaluate(bad)
                return (await stream.evaluate(good, seed=3)).value

    value = run(main())
    (failure,), (file,) = tmp_path.glob("*-failure.json"), tmp_path.glob("*-unconverged.json")
    out = subprocess.run([BINARY, "eval", "--request", file], capture_output=True, text=True, check=True)
    assert float(json.loads(out.stdout)["value"]) == value
    assert failure.stat().st_size


def test_a_process_ends_with_calls_under_way_and_nothing_closed() -> None:
    code = f"""
        import asyncio, numpy as np, kantor, kantor.aio

        async def main():
            client = kantor.aio.Client(binary={str(BINARY)!r})
            x = np.random.default_rng(0).standard_normal((2000, 8))
            long = kantor.Sinkhorn(blur=0.001, tolerance=1e-12, max_iterations=100_000)
            stream = client.stream(long)
            pending = await stream.submit(source=x, target=x + 1)
            tasks = [asyncio.create_task(client.evaluate(long, source=x, target=x + 1)), asyncio.ensure_future(pending)]
            await asyncio.sleep(0.05)
            print("leaving", client._core._made.result()._server._process.pid)

        asyncio.run(main())
    """
    out = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (out.returncode, out.stderr) == (0, "")
    word, pid = out.stdout.split()
    assert word == "leaving"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_a_forked_child_goes_on_with_the_client(client: kantor.Client) -> None:
    """In a process of its own, because Python warns of a fork beside threads, which is what this is about."""
    code = f"""
        import asyncio, os, numpy as np, kantor, kantor.aio

        q = kantor.Gaussian(np.ones((2, 2)), np.zeros((2, 2)))
        client = kantor.aio.Client({client.address!r}, timeout=20)
        value = lambda: asyncio.run(client.evaluate(kantor.GaussianKl(), posterior=q)).value

        async def fork_beside_a_stream():
            async with client.stream(kantor.GaussianKl()) as stream:
                pending = await stream.submit(posterior=q)
                child = os.fork()
                if child == 0:
                    os._exit(0)
                os.waitpid(child, 0)
                return [(await pending).value, (await stream.evaluate(posterior=q)).value]

        values = [value()]
        for _ in range(5):
            child = os.fork()
            if child == 0:
                os._exit(0 if value() == 1 else 1)
            status = os.waitpid(child, 0)[1]
            assert os.waitstatus_to_exitcode(status) == 0, status
            values += [value(), *asyncio.run(fork_beside_a_stream())]
        assert values == [1.0] * 16, values
        print("all equal")
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert out.stdout == "all equal\n", out.stderr


def test_a_pickled_client_talks_to_the_same_server() -> None:
    async def main() -> None:
        client = kantor.aio.Client(binary=BINARY)
        with pytest.raises(TypeError, match="has not started"):
            pickle.dumps(client)
        async with client:
            info = await client.info()
            async with pickle.loads(pickle.dumps(client)) as copy:
                assert await copy.info() == info
                assert await pickle.loads(pickle.dumps(copy)).info() == info
            assert await client.info() == info  # the copy has not ended it
        known = kantor.aio.Client("unix:/nonexistent", token="secret", timeout=3)
        copy = pickle.loads(pickle.dumps(known))
        assert copy._core.peek()._access.given == ("secret", None)
        assert copy._timeout == 3

    asyncio.run(main())
