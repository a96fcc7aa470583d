"""Three servers behind HAProxy: whether load evens out, and whether a trainer notices that servers die and come back.

    python tools/system/haproxy.py HAPROXY KANTOR CONFIGURATION

Needs the Python client. Exits with 1 where a server has less or more than its share of the load, or where trainings
differ in a bit from the same ones with one server that nothing happened to.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np

import kantor

HAPROXY, KANTOR, CONFIGURATION = (Path(argument).resolve() for argument in sys.argv[1:])

# The ports in the configuration: of HAProxy, then of the servers and of their admin listeners.
PORTS = (7440, 7443, 7453, 7444, 7454, 7445, 7455)
NAMES = ("one", "two", "three")
# Of three servers each has a third of the load, give or take.
LEAST_SHARE, MOST_SHARE = 0.22, 0.45
TRAINERS, STEPS = 4, 200
GRADIENTS = ["codes.points"]
PATIENCE = 60.0  # seconds that anything may take to get ready


class Fleet:
    """The servers and HAProxy in front of them, on free ports."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._haproxy: subprocess.Popen[bytes] | None = None
        self._lives = 0
        self.address = f"127.0.0.1:{self._ports[7440]}"
        text = CONFIGURATION.read_text()
        for port, free in self._ports.items():
            text, found = re.subn(rf"\b{port}$|(?<=:){port}\b", str(free), text, flags=re.MULTILINE)
            assert found, f"{CONFIGURATION} has no port {port}"
        (folder / "haproxy.cfg").write_text(text)

    def open(self) -> None:
        """Starts them all."""
        for name in NAMES:
            self.start(name)
        haproxy = [HAPROXY, "-db", "-f", self._folder / "haproxy.cfg"]
        self._haproxy = subprocess.Popen(haproxy, stderr=(self._folder / "haproxy.log").open("wb"))
        self.await_ready()

    def start(self, name: str) -> None:
        """Starts a server, and waits until it listens."""
        i = NAMES.index(name)
        self._lives += 1
        process = subprocess.Popen(
            [
                *[KANTOR, "serve", "--log-format", "json", "--log-level", "info", "--drain-grace", "5s"],
                *["--listen", f"127.0.0.1:{self._ports[7443 + i]}", "--admin", f"127.0.0.1:{self._ports[7453 + i]}"],
            ],
            stdout=subprocess.PIPE,
            stderr=(self._folder / f"{name}-{self._lives}.log").open("wb"),
        )
        self._servers[name] = process
        assert process.stdout is not None
        assert b"listening" in process.stdout.readline()

    def end(self, name: str, how: signal.Signals) -> None:
        """Ends a server and waits for that."""
        self._servers[name].send_signal(how)
        self._servers[name].wait(PATIENCE)

    def await_ready(self) -> None:
        """Waits until HAProxy answers: it takes servers for ready until it has looked, and they are."""
        health = [KANTOR, "health", "--address", self.address]
        end = time.monotonic() + PATIENCE
        while subprocess.run(health, capture_output=True, check=False).returncode:
            assert time.monotonic() < end, (self._folder / "haproxy.log").read_text()
            time.sleep(0.1)

    def evaluations(self) -> dict[str, int]:
        """What each server has computed since it was started; they are ended for that."""
        for server in self._servers.values():
            server.terminate()
        for server in self._servers.values():
            server.wait(PATIENCE)
        counts = dict.fromkeys(NAMES, 0)
        for log in self._folder.glob("*-*.log"):
            for line in log.read_text().splitlines():
                event = json.loads(line)
                if event["msg"] == "stopped":
                    counts[log.name.partition("-")[0]] += event["evaluations"]
        return counts

    def close(self) -> None:
        """Ends what still runs."""
        for process in (*self._servers.values(), *([self._haproxy] if self._haproxy else [])):
            process.kill()
            process.wait()


def free_ports(n: int) -> list[int]:
    """Ports of loopback that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def fleet() -> Iterator[Fleet]:
    """Three servers and HAProxy, until the end of the block."""
    with tempfile.TemporaryDirectory() as folder:
        made = Fleet(Path(folder))
        try:
            made.open()
            yield made
        finally:
            made.close()


def shares(stream: bool) -> None:
    """Puts a load on and holds every server to its share."""
    with fleet() as servers:
        load = [
            KANTOR,
            "load",
            "--address",
            servers.address,
            "--trainers",
            "12",
            "--rate",
            "300",
            "--mix",
            "64x8",
            "--duration",
            "5s",
        ]
        subprocess.run([*load, *(["--stream"] if stream else [])], check=True)
        counts = servers.evaluations()
    total = sum(counts.values())
    told = ", ".join(f"{name} {count / total:.1%}" for name, count in counts.items())
    print(f"{'streams' if stream else 'calls'}: {total} evaluations, {told}", flush=True)
    if not all(LEAST_SHARE <= count / total <= MOST_SHARE for count in counts.values()):
        sys.exit(f"want {LEAST_SHARE:.0%} to {MOST_SHARE:.0%} each")


def digest(answer: kantor.Evaluation) -> str:
    """All bits of a value and its gradient."""
    return sha256(np.float64(answer.value).tobytes() + answer.gradients["codes.points"].tobytes()).hexdigest()


class Trainer(threading.Thread):
    """A training whose every batch follows from the last gradient, over a stream or by calls."""

    def __init__(self, address: str, number: int) -> None:
        super().__init__(name=f"trainer {number}")
        self._address, self._number = address, number
        self.digests: list[str] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        """Trains."""
        try:
            self._train()
        except BaseException as error:  # for who joins
            self.error = error

    def _train(self) -> None:
        random = np.random.default_rng(self._number)
        codes = random.normal(size=(128, 4)).astype(np.float32)
        terms = kantor.Sinkhorn("codes", "prior", blur=0.5)
        prior = kantor.StandardNormal()
        with kantor.Client(self._address, timeout=PATIENCE) as client, contextlib.ExitStack() as stack:
            step = functools.partial(client.evaluate, terms, gradients=GRADIENTS)
            if self._number % 2:
                step = stack.enter_context(client.stream(terms, gradients=GRADIENTS)).evaluate
            for seed in range(STEPS):
                answer = step(codes=codes, prior=prior, seed=seed)
                self.digests.append(digest(answer))
                codes = codes - np.float32(0.5) * answer.gradients["codes.points"]


def train(address: str) -> list[Trainer]:
    """Starts trainings, each in a thread."""
    trainers = [Trainer(address, number) for number in range(TRAINERS)]
    for trainer in trainers:
        trainer.start()
    return trainers


def ended(trainers: list[Trainer]) -> list[list[str]]:
    """Waits for trainings, and returns the digests of their steps."""
    for trainer in trainers:
        trainer.join()
        if trainer.error is not None:
            raise RuntimeError(f"{trainer.name} failed at step {len(trainer.digests)}") from trainer.error
    return [trainer.digests for trainer in trainers]


def reached(trainers: list[Trainer], step: int) -> None:
    """Waits until every training has made that many steps, or one has failed."""
    while any(len(trainer.digests) < step and trainer.is_alive() for trainer in trainers):
        time.sleep(0.001)


def survival() -> None:
    """Kills, restarts and stops servers under trainings."""
    with tempfile.TemporaryDirectory() as folder:
        one = Path(folder) / "socket"
        alone = subprocess.Popen(
            [KANTOR, "serve", "--listen", f"unix:{one}", "--log-level", "error"], stdout=subprocess.PIPE
        )
        assert alone.stdout is not None and b"listening" in alone.stdout.readline()
        undisturbed = ended(train(f"unix:{one}"))
        alone.terminate()
        alone.wait(PATIENCE)
    with fleet() as servers:
        trainers = train(servers.address)
        for i, name in enumerate(NAMES):
            reached(trainers, (2 * i + 1) * STEPS // 7)
            servers.end(name, signal.SIGKILL)
            reached(trainers, (2 * i + 2) * STEPS // 7)
            servers.start(name)
        reached(trainers, 6 * STEPS // 7)
        servers.end("one", signal.SIGTERM)
        servers.start("one")
        disturbed = ended(trainers)
    same = sum(
        a == b for before, after in zip(undisturbed, disturbed, strict=True) for a, b in zip(before, after, strict=True)
    )
    print(f"each of three servers killed and restarted, one stopped: {same} of {TRAINERS * STEPS} steps are bit-equal")
    if same != TRAINERS * STEPS:
        sys.exit("want all of them")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends the processes too
    shares(stream=False)
    shares(stream=True)
    survival()
