"""Tokens and encryption, against servers that want them."""

from __future__ import annotations

import os
import pickle
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import kantor
from conftest import bits
from kantor._security import is_loopback
from servers import server
from test_proxies import free_port

A, B = "a" * 40, "b" * 40
PATIENCE = 60.0
POSTERIOR = kantor.Gaussian(np.ones((2, 2)), np.zeros((2, 2)))


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KANTOR_TOKEN", "KANTOR_TOKEN_FILE", "KANTOR_TLS_CA"):
        monkeypatch.delenv(name, raising=False)


def secret(path: Path, text: str) -> Path:
    """Replaces a file that only its owner may read, at once."""
    made = path.with_suffix(".new")
    made.write_text(text)
    made.chmod(0o600)
    return made.replace(path)


class Authority:
    """An authority that signs certificates."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.ca = directory / "ca.crt"
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=ca"
        )
        (directory / "out.crt").replace(self.ca)
        (directory / "out.key").replace(directory / "ca.key")

    def _openssl(self, command: str, *arguments: str) -> None:
        files = ["-keyout", "out.key", "-out", "out.crt"]
        subprocess.run(["openssl", command, *arguments, *files], cwd=self._directory, check=True, capture_output=True)

    def issue(self, name: str) -> tuple[Path, Path]:
        """Returns a certificate for name and 127.0.0.1, and its key; the files of the last one are replaced."""
        self._openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}"),
            *("-CA", "ca.crt", "-CAkey", "ca.key", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1"),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
        )
        certificate, key = self._directory / f"{name}.crt", self._directory / f"{name}.key"
        (self._directory / "out.key").chmod(0o600)
        return (self._directory / "out.crt").replace(certificate), (self._directory / "out.key").replace(key)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    assert shutil.which("openssl"), "openssl is missing: apt install openssl"
    return Authority(tmp_path_factory.mktemp("authority"))


class Guarded:
    """A server that encrypts and wants tokens, and the files that it reads again."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        self.address = f"127.0.0.1:{free_port('127.0.0.1')}"
        self.tokens = secret(directory / "tokens", f"one:{A}\n")
        self.certificate, self.key = authority.issue("server")
        self.ca = authority.ca
        self.options = [f"--tls-cert={self.certificate}", f"--tls-key={self.key}", f"--tokens={self.tokens}"]

    def client(self, **options: object) -> kantor.Client:
        return kantor.Client(self.address, **{"tls": self.ca, "token": A, "timeout": PATIENCE, **options})  # type: ignore[arg-type]


@pytest.fixture
def guarded(tmp_path: Path, authority: Authority) -> Iterator[Guarded]:
    made = Guarded(tmp_path, authority)
    with server(made.address, *made.options):
        yield made


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited for {what}"
        time.sleep(0.01)


def accepts(guarded: Guarded, token: str) -> bool:
    try:
        with guarded.client(token=token) as client:
            client.info()
    except kantor.UnauthenticatedError:
        return False
    return True


def value(client: kantor.Client) -> float:
    return client.evaluate(kantor.GaussianKl(), posterior=POSTERIOR).value


def test_every_kind_of_call_bears_the_token(guarded: Guarded, client: kantor.Client) -> None:
    want = bits(client.evaluate(kantor.GaussianKl(), posterior=POSTERIOR))
    with guarded.client() as made:
        assert bits(made.evaluate(kantor.GaussianKl(), posterior=POSTERIOR)) == want
        assert made.info().build.version
        assert made.diagnose(kantor.ActiveUnits(), posterior=POSTERIOR)
        with made.stream(kantor.GaussianKl()) as stream:
            assert bits(stream.evaluate(posterior=POSTERIOR)) == want


def test_a_call_without_a_token_says_what_is_missing(guarded: Guarded) -> None:
    with kantor.Client(guarded.address, tls=guarded.ca) as client:
        with pytest.raises(
            kantor.UnauthenticatedError, match="wants the header `authorization: Bearer TOKEN`"
        ) as caught:
            value(client)
        assert caught.value.tries == 1
        with pytest.raises(kantor.UnauthenticatedError):
            client.stream(kantor.GaussianKl())
    with guarded.client(token=B) as client, pytest.raises(kantor.UnauthenticatedError, match="not one of") as caught:
        value(client)
    assert B not in str(caught.value)


def test_the_environment_gives_what_no_argument_does(
    guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KANTOR_ADDRESS", guarded.address)
    monkeypatch.setenv("KANTOR_TLS_CA", str(guarded.ca))
    monkeypatch.setenv("KANTOR_TOKEN_FILE", str(secret(tmp_path / "mine", f"{A}\n")))
    with kantor.Client() as client:
        assert value(client) == 1
    monkeypatch.setenv("KANTOR_TOKEN", B)  # goes before the file
    with kantor.Client() as client, pytest.raises(kantor.UnauthenticatedError):
        value(client)
    with kantor.Client(token=A) as client:
        assert value(client) == 1


def test_a_server_of_its_own_takes_nothing_from_the_environment(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = secret(tmp_path / "tokens", f"one:{A}\n")
    for name, text in {
        "KANTOR_TOKEN": B,
        "KANTOR_TLS_CA": str(authority.ca),
        "KANTOR_TOKENS": str(tokens),
        "KANTOR_LISTEN": "127.0.0.1:1",
        "KANTOR_CONFIG": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, text)
    from conftest import BINARY

    with kantor.Client(binary=BINARY) as client:
        assert value(client) == 1


def test_a_pickled_client_has_its_access(guarded: Guarded, tmp_path: Path) -> None:
    with guarded.client(token=secret(tmp_path / "mine", A)) as client:
        pickled = pickle.dumps(client)
    assert A.encode() not in pickled
    with pickle.loads(pickled) as copy:
        assert value(copy) == 1


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1:7443", "example.org:7443", "127.0.0.1.example.org:7443", "localhost.example.org:1", "unixes:7443"],
)
def test_a_token_is_never_sent_in_plain_text(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(kantor.InvalidArgumentError, match="in plain text") as caught:
        kantor.Client(address, token=A)
    assert caught.value.field == "token"
    monkeypatch.setenv("KANTOR_TOKEN", A)
    with pytest.raises(kantor.InvalidArgumentError, match="in plain text"):
        kantor.Client(address)
    kantor.Client(address, tls=True).close()  # encrypted it may be sent


def test_loopback_is_told_by_the_address_alone() -> None:
    local = ["unix:/x", "unix:///x", "unix-abstract:x", "localhost:1", "LocalHost:1", "127.0.0.1:1", "127.1.2.3:1"]
    local += ["[::1]:1", "dns:///localhost:1", "ipv4:127.0.0.1:1"]
    far = ["", "0.0.0.0:1", "[::]:1", "192.168.0.1:1", "dns:///example.org:1", "127.evil.example:1"]
    far += ["dns://127.0.0.1/example.org:1", "ipv4:127.0.0.1:1,10.0.0.1:1"]
    assert [address for address in local + far if is_loopback(address)] == local


def test_arguments_that_are_wrong(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("client")
    for options, what in [
        ({"token": "two words"}, "token: is empty or has a character"),
        ({"token": ""}, "token: is empty"),
        ({"token": lambda: "a\nb"}, "token: is empty or has a character"),
        ({"token": tmp_path / "none"}, "token: .*none: No such file"),
        ({"tls": tmp_path / "none"}, "tls: .*none: No such file"),
        ({"tls": kantor.TLS(certificate=certificate)}, "tls: has a certificate or a key"),
        ({"tls": kantor.TLS(key=key)}, "tls: has a certificate or a key"),
    ]:
        with pytest.raises(kantor.InvalidArgumentError, match=what) as caught:
            kantor.Client("127.0.0.1:1", **options)  # type: ignore[arg-type]
        assert "two words" not in str(caught.value)
    with pytest.raises(ValueError, match="there is none"):
        kantor.Client(token=A)


def test_a_server_that_nobody_trusts_is_told_nothing(guarded: Guarded, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    for tls in (other.ca, True):
        with (
            guarded.client(tls=tls, timeout=20) as client,
            pytest.raises(kantor.UnavailableError, match=r"(?i)certificate|ssl"),
        ):
            value(client)
    with (
        guarded.client(tls=kantor.TLS(guarded.ca, name="elsewhere"), timeout=20) as client,
        pytest.raises(kantor.UnavailableError),
    ):
        value(client)
    with guarded.client(tls=kantor.TLS(guarded.ca, name="server")) as client:
        assert value(client) == 1


def test_a_client_shows_its_certificate(tmp_path: Path, authority: Authority) -> None:
    made = Guarded(tmp_path, authority)
    certificate, key = authority.issue("trainer")
    with server(made.address, *made.options, f"--tls-client-ca={authority.ca}"):
        with made.client(tls=kantor.TLS(authority.ca, certificate, key)) as client:
            assert value(client) == 1
        with made.client(timeout=20) as client, pytest.raises(kantor.UnavailableError):
            value(client)


class Load:
    """Steps of one trainer, one after the other, until it is told to stop."""

    def __init__(self, compute: Callable[[int], kantor.Evaluation]) -> None:
        self.results: list[kantor.Evaluation] = []
        self.error: BaseException | None = None
        self.stopping = False
        self._compute = compute
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self.stopping:
                self.results.append(self._compute(len(self.results)))
        except BaseException as error:
            self.error = error

    def goes_on(self) -> None:
        """Waits for more steps, or the end."""
        count = len(self.results)
        until(lambda: self.error or len(self.results) > count + 5, "more steps")
        assert self.error is None

    def stop(self) -> None:
        self.stopping = True
        self._thread.join(PATIENCE)


def batch(step: int) -> kantor.Gaussian:
    rng = np.random.default_rng(step)
    return kantor.Gaussian(rng.normal(size=(4, 3)), rng.normal(size=(4, 3)))


def test_no_step_is_lost_when_tokens_and_certificates_change(
    guarded: Guarded, authority: Authority, tmp_path: Path, client: kantor.Client
) -> None:
    mine = secret(tmp_path / "mine", A)
    read: list[str] = []  # by the client with the stream, which sends a token where it opens one

    def current() -> str:
        read.append(mine.read_text())
        return read[-1]

    terms = kantor.GaussianKl()
    gradients = ["posterior.mean"]
    with (
        guarded.client(token=mine) as one,
        guarded.client(token=current) as two,
        two.stream(terms, gradients=gradients) as stream,
    ):
        loads = [
            Load(lambda step: one.evaluate(terms, posterior=batch(step), gradients=gradients)),
            Load(lambda step: stream.evaluate(posterior=batch(step))),
        ]
        try:
            secret(guarded.tokens, f"one:{A}\none:{B}\n")
            until(lambda: accepts(guarded, B), "the new token")
            secret(mine, B)
            secret(guarded.tokens, f"one:{B}\n")
            until(lambda: not accepts(guarded, A) or any(load.error for load in loads), "the end of the old token")
            until(lambda: read[-1] == B, "the stream to open again")
            for load in loads:
                load.goes_on()
            before = shown(guarded)
            authority.issue("server")
            until(lambda: shown(guarded) != before, "the new certificate")
            with guarded.client(token=mine) as three:
                assert value(three) == 1
            for load in loads:
                load.goes_on()
        finally:
            for load in loads:
                load.stop()
    for load in loads:
        assert load.error is None
        for step, result in enumerate(load.results):
            assert bits(result) == bits(client.evaluate(terms, posterior=batch(step), gradients=gradients)), step


def shown(guarded: Guarded) -> str:
    """The certificate that a server shows."""
    host, _, port = guarded.address.rpartition(":")
    return ssl.get_server_certificate((host, int(port)))


def test_the_doctor_hides_the_token(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kantor import _doctor

    monkeypatch.setenv("KANTOR_TOKEN", A)
    monkeypatch.setenv("KANTOR_TLS_CA", os.fspath(guarded.ca))
    _doctor.run(guarded.address)
    out = capsys.readouterr().out
    assert A not in out
    assert "KANTOR_TOKEN=(hidden)" in out
    assert f"{guarded.address} is kantor" in out
