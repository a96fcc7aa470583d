"""Forks beside threads that are in a call, in a process of its own."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import kantor
from kantor._fork import ForkedError, Gate
from kantor._retry import Patience, retrying
from test_processes import run


def test_threads_that_call_and_a_main_thread_that_forks() -> None:
    """No child hangs, and no call of the threads fails: what a fork ends is made again."""
    out = run("""
        import warnings
        warnings.simplefilter("ignore")  # Python's own of a fork beside threads, which is what this is about
        stream = client.stream(kantor.GaussianKl())
        long = kantor.Sinkhorn("x", "y", blur=0.03, tolerance=1e-9, max_iterations=60)
        some = dict(x=x[:800], y=y[:800])
        calls = [
            lambda: client.evaluate(kantor.GaussianKl(), posterior=q).value == 1,
            lambda: stream.evaluate(posterior=q).value == 1,
            lambda: client.info().build.kernel != "",
            lambda: client.evaluate(long, some).value == expected,  # longer than a fork waits for
        ]
        expected = client.evaluate(long, some).value
        answers, stop, failed = [0] * 4, threading.Event(), []

        def repeat(i):
            while not stop.is_set():
                try:
                    assert calls[i]()
                    answers[i] += 1
                except BaseException as error:
                    failed.append(error)
                    return

        threads = [threading.Thread(target=repeat, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        ends = []
        for _ in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                os._exit(0 if calls[0]() and calls[1]() else 1)
            ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        stop.set()
        for thread in threads:
            thread.join(20)
        print(ends == [0] * 20, failed, [thread.is_alive() for thread in threads], min(answers) > 0)
        client.close()
    """)
    assert out == "True [] [False, False, False, False] True\n"


def test_a_call_that_a_fork_ended_is_made_again_after_it_and_is_no_try() -> None:
    """More often than anything else is tried."""
    gate_passed = [ForkedError() for _ in range(100)]

    def call(left: float | None) -> int:
        if gate_passed:
            raise gate_passed.pop()
        return 7

    assert retrying(call, 60, Patience()) == 7


def test_a_closed_gate_lets_nobody_in_and_waits_for_who_is_inside() -> None:
    gate, ended, inside = Gate(), threading.Event(), threading.Event()

    def call() -> None:
        with gate.inside(ended.set):
            inside.set()
            ended.wait(20)

    caller = threading.Thread(target=call)
    caller.start()
    assert inside.wait(20)
    gate.close()
    with pytest.raises(ForkedError), gate.inside(lambda: None):
        pass
    gate.clear(settle=False)
    assert ended.is_set()
    caller.join(20)
    waiter = threading.Thread(target=gate.wait)
    waiter.start()
    gate.open()
    waiter.join(20)
    assert not waiter.is_alive()
    with gate.inside(lambda: None):
        pass


def test_a_client_goes_on_where_a_fork_has_ended_its_channel(client: kantor.Client) -> None:
    q = kantor.Gaussian(np.ones((2, 2)), np.zeros((2, 2)))
    with kantor.Client(client.address) as other:
        assert other.evaluate(kantor.GaussianKl(), posterior=q).value == 1
        left = other._transport()
        left._leave_for_fork()
        with pytest.raises(ForkedError):
            left.info(None)
        assert other.evaluate(kantor.GaussianKl(), posterior=q).value == 1
        assert other._transport() is not left
