"""Requests and answers above the server's message limit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import kantor
from kantor import _transport
from servers import server

LIMIT = 1 << 20
SMALL = kantor.Gaussian(np.ones((2, 2)), np.zeros((2, 2)))
# 4 and 2 MiB.
LARGE = {"posterior": kantor.Gaussian(np.zeros((1 << 16, 8)), np.zeros((1 << 16, 8), np.float32))}
WHAT = (
    r"the request has \d+ bytes \(6\.0 MiB\), more than the 1048576 bytes \(1\.0 MiB\) that the server takes; its "
    r"largest input, posterior, has \d+ bytes \(6\.0 MiB\): send fewer rows or problems at once, or float32; `kantor "
    r"serve --max-message-size SIZE` raises the limit \[RESOURCE_EXHAUSTED\]"
)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Of a server with a small limit."""
    out = f"unix:{tmp_path}/s.sock"
    with server(out, "--max-message-size", "1MiB"):
        yield out


# Whether the client looks before it sends, or the server refuses what came.
@pytest.fixture(params=["looks", "sends"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "sends":
        for module in ("_transport", "_stream"):
            monkeypatch.setattr(f"kantor.{module}.LARGE_BYTES", 1 << 40)


@pytest.mark.usefixtures("way")
def test_a_call_above_the_limit_says_what_is_too_large(address: str) -> None:
    with kantor.Client(address, timeout=60) as client:
        with pytest.raises(kantor.TooLargeError, match=f"^{WHAT}$") as caught:
            client.evaluate(kantor.GaussianKl(), LARGE)
        assert caught.value.limit == LIMIT
        assert caught.value.tries == 1
        assert client.evaluate(kantor.GaussianKl(), posterior=SMALL).value == 1


@pytest.mark.usefixtures("way")
def test_a_batch_above_the_limit_fails_alone(address: str) -> None:
    with kantor.Client(address, timeout=60) as client, client.stream(kantor.GaussianKl()) as stream:
        before = stream.submit(posterior=SMALL)
        with pytest.raises(kantor.TooLargeError, match=f"^{WHAT}$"):
            stream.evaluate(LARGE)
        after = stream.submit(posterior=SMALL)
        assert before.result().value == after.result().value == 1


def test_batches_in_flight_beside_one_above_the_limit_are_answered(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends the call for it: which was it, and what of the others?"""
    monkeypatch.setattr("kantor._stream.LARGE_BYTES", 1 << 40)
    with kantor.Client(address, timeout=60) as client, client.stream(kantor.GaussianKl()) as stream:
        pending = [stream.submit(LARGE if i % 3 == 1 else {"posterior": SMALL}) for i in range(7)]
        for i, answer in enumerate(pending):
            if i % 3 == 1:
                with pytest.raises(kantor.TooLargeError, match="largest input, posterior"):
                    answer.result()
            else:
                assert answer.result().value == 1


def test_an_answer_above_the_limit_says_so(address: str) -> None:
    # 80 kB of float32 fit; the per-dimension values as float64, under eight names, do not.
    wide = kantor.Gaussian(np.zeros((1, 1 << 14), np.float32), np.zeros((1, 1 << 14), np.float32))
    names = [f"kl{i}" for i in range(8)]
    terms = [kantor.GaussianKl(name=name) for name in names]
    extras = [f"{name}.per_dimension" for name in names]
    match = r"the response has \d+ bytes, want at most \d+: ask for fewer gradients or extras, .*--max-message-size"
    with kantor.Client(address, timeout=60) as client:
        with pytest.raises(kantor.TooLargeError, match=match):
            client.evaluate(terms, posterior=wide, extras=extras)
        with client.stream(terms, extras=extras) as stream:
            with pytest.raises(kantor.TooLargeError, match=match):
                stream.evaluate(posterior=wide)
            assert stream.evaluate(posterior=SMALL).value == 8


def test_the_limit_is_asked_for_once_and_again_before_a_refusal(
    client: kantor.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    info = _transport.Transport.info

    def counted(self: _transport.Transport, timeout: float | None) -> object:
        nonlocal asked
        asked += 1
        return info(self, timeout)

    monkeypatch.setattr(_transport.Transport, "info", counted)
    with kantor.Client(client.address) as other, other.stream(kantor.GaussianKl()) as stream:
        assert other.evaluate(kantor.GaussianKl(), posterior=SMALL).value == 1
        assert asked == 0
        for _ in range(2):
            assert other.evaluate(kantor.GaussianKl(), LARGE).value == stream.evaluate(LARGE).value == 0
        assert asked == 1
        other._transport()._limit = LIMIT  # of the server before this one
        assert other.evaluate(kantor.GaussianKl(), LARGE).value == 0
        assert asked == 2


def test_a_request_near_the_limit_is_measured(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its arrays alone do not tell: names and shapes have some 70 bytes."""
    monkeypatch.setattr(_transport, "LARGE_BYTES", 0)
    with kantor.Client(address, timeout=60) as client:
        for rows, fits in ((65530, True), (65536, False)):
            q = kantor.Gaussian(np.zeros((rows, 1)), np.zeros((rows, 1)))
            if fits:
                assert client.evaluate(kantor.GaussianKl(), posterior=q).value == 0
            else:
                with pytest.raises(kantor.TooLargeError, match=r"has 10486\d\d bytes"):
                    client.evaluate(kantor.GaussianKl(), posterior=q)
