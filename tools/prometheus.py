"""Holds what Prometheus is given to a real one: rules, their tests, and every query of the dashboard under load.

    python tools/prometheus.py [--seconds N]

Runs promtool on deploy/prometheus, then bin/kantor with an admin listener, a Prometheus that scrapes it by that
configuration, and loads that are answered, refused, cancelled and left unconverged. Every query of the dashboard and
every series that an alert names has to be there. Needs Debian's package prometheus, bin/kantor and the Python client.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import kantor

ROOT = Path(__file__).resolve().parent.parent
RULES = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "kantor.json"
KANTOR = ROOT / "bin" / "kantor"

# How long each process may take to be there. Never reached unless something is broken.
PATIENCE = 60.0

# What stands for Grafana's own variables: every server, and an interval of a few scrapes.
VARIABLES = {"$job": ".+", "$instance": ".+", "$__rate_interval": "5s"}

# A series as a query names it, with its matchers.
SERIES = re.compile(r"\b(?:kantor[_:]\w[\w:]*|grpc_server_\w+|go_\w+|process_\w+|up)\b(?:\{[^{}]*\})?")

# What `kantor load` is told, one process each, so that all that the dashboard shows happens. The last begins when the
# others have run for a while: it fills the queue, and all of them are one caller.
LOADS: dict[str, list[str]] = {
    "calls": ["--mix", "64x16:9,512x16:1", "--trainers", "2", "--rate", "40"],
    "streams": ["--mix", "128x16", "--stream", "--trainers", "2", "--rate", "20"],
    "other losses": ["--mix", "64x4", "--loss", "mmd", "--loss", "sliced", "--rate", "5"],
    "unconverged": ["--mix", "64x4", "--loss", "sinkhorn:blur=0.001,max_iterations=1", "--rate", "5"],
    "cancelled": ["--mix", "2048x16", "--cancel", "0.9", "--trainers", "2"],
    "large": ["--mix", "4096x16", "--trainers", "16"],
}

# What the loads must have brought about, beside what the dashboard shows.
HAPPENED: dict[str, str] = {
    "refused, the queue was full": 'kantor_admission_rejected_total{reason="QUEUE_FULL"} > 0',
    "refused, the deadline was too soon": 'kantor_admission_rejected_total{reason="DEADLINE_TOO_SOON"} > 0',
    "cancelled": 'kantor_evaluations_total{code="Canceled"} > 0',
    "something large ran": 'max_over_time(kantor_running{size="large"}[1m]) > 0',
    "something waited": "max_over_time(sum(kantor_queue_length)[1m:1s]) > 0",
    "memory was counted": "max_over_time(kantor_inflight_bytes[1m]) > 0",
    "bad input": 'kantor_evaluations_total{code="InvalidArgument"} > 0',
    "several losses": 'kantor_eval_seconds_count{loss="several"} > 0',
    "diagnostics": 'kantor_eval_seconds_count{loss="active_units"} > 0',
}


def main() -> int:
    """Runs the checks and returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=20, help="how long the loads run before the queue is filled (%(default)s)"
    )
    options = parser.parse_args()
    missing = [name for name in ("prometheus", "promtool") if not shutil.which(name)]
    if missing:
        print(f"kantor needs {' and '.join(missing)} for this (Debian: prometheus)", file=sys.stderr)
        return 1
    if not KANTOR.exists():
        print("kantor needs bin/kantor for this: make build", file=sys.stderr)
        return 1
    check("the configuration", ["promtool", "check", "config", "prometheus.yaml"])
    check("the rules", ["promtool", "check", "rules", "alerts.yaml"])
    check("the rules' tests", ["promtool", "test", "rules", "alerts_test.yaml"])
    with tempfile.TemporaryDirectory(prefix="kantor") as folder, contextlib.ExitStack() as running:
        address, admin = running.enter_context(serving(Path(folder)))
        prometheus = running.enter_context(scraping(Path(folder), admin))
        check_metrics(admin)
        running.enter_context(calling(address))
        for name, flags in LOADS.items():
            if name == "large":
                time.sleep(options.seconds)
            running.enter_context(loading(Path(folder), name, address, flags))
        empty = unanswered(prometheus)
        report_targets(prometheus)
    for line in empty:
        print(f"no series: {line}")
    print("every query has series" if not empty else f"{len(empty)} queries have no series")
    return 1 if empty else 0


def check(what: str, command: list[str]) -> None:
    """Runs promtool, which prints what is wrong."""
    print(f"=== {what}", flush=True)
    subprocess.run(command, cwd=RULES, check=True)


@contextlib.contextmanager
def process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as running:
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                running.kill()


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, str]]:
    """A server: its address and its admin listener's. Its queue is short, so that a load can fill it."""
    address, log = f"unix:{folder}/socket", folder / "kantor.log"
    command = [str(KANTOR), "serve", "--listen", address, "--admin", "127.0.0.1:0", "--drain-grace", "1s"]
    with process([*command, "--queue", "2", "--memory", "2GiB"], log):
        found = until(lambda: re.search(r'msg="admin listening" address=(\S+)', log.read_text()), "the server", log)
        yield address, found.group(1)


@contextlib.contextmanager
def scraping(folder: Path, admin: str) -> Iterator[str]:
    """A Prometheus that scrapes by the project's configuration, every second: its address."""
    shutil.copy(RULES / "alerts.yaml", folder)
    configuration = (RULES / "prometheus.yaml").read_text()
    quick = configuration.replace(": 15s", ": 1s").replace("127.0.0.1:9464", admin)
    assert quick.count(": 1s") == 2 and admin in quick, "prometheus.yaml is not as this script expects it"
    (folder / "prometheus.yaml").write_text(quick)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    log = folder / "prometheus.log"
    flags = [
        f"--config.file={folder}/prometheus.yaml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
    ]
    with process(["prometheus", *flags], log):
        until(lambda: reachable(f"http://{address}/-/ready"), "Prometheus", log)
        yield address


@contextlib.contextmanager
def loading(folder: Path, name: str, address: str, flags: list[str]) -> Iterator[None]:
    """A load that runs until it is ended; one that ended before that has failed."""
    log = folder / f"{name}.log"
    command = [str(KANTOR), "load", "--address", address, "--duration", "1h", "--json", *flags]
    with process(command, log) as running:
        yield
        if running.poll() is not None:
            raise SystemExit(f"the load {name!r} has ended by itself:\n{log.read_text()}")


@contextlib.contextmanager
def calling(address: str) -> Iterator[None]:
    """What `kantor load` does not do, once a second: several losses, bad input, a deadline that is too soon."""
    stop = threading.Event()
    generator = np.random.default_rng(0)
    small, large = generator.normal(size=(64, 4)), generator.normal(size=(3000, 16))

    def calls(client: kantor.Client) -> Iterator[Callable[[], object]]:
        yield lambda: client.evaluate([kantor.Sinkhorn(), kantor.Mmd()], source=small, target=small + 1)
        yield lambda: client.evaluate(kantor.Sinkhorn(blur=-1.0), source=small, target=small)
        yield lambda: client.diagnose(kantor.ActiveUnits(), posterior=small)
        yield lambda: client.evaluate(kantor.Sinkhorn(), source=large, target=large + 1)  # so that it knows how long
        yield lambda: client.evaluate(kantor.Sinkhorn(), source=large, target=large + 1, timeout=0.03)

    def run() -> None:
        with kantor.Client(address, timeout=5) as client:
            while not stop.wait(1):
                for call in calls(client):
                    with contextlib.suppress(kantor.KantorError):
                        call()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def until(condition: Any, what: str, log: Path) -> Any:
    """Polls until the condition is something; a failure shows the log."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if log.exists() and (found := condition()):
            return found
        time.sleep(0.1)
    raise SystemExit(f"waited {PATIENCE:.0f} s for {what}:\n{log.read_text()}")


def reachable(url: str) -> bool:
    """Whether a page is there."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def api(prometheus: str, path: str, **arguments: str) -> Any:
    """What Prometheus answers."""
    url = f"http://{prometheus}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as response:
            return json.load(response)["data"]
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{path} {arguments}: {error.read().decode()}") from error


def check_metrics(admin: str) -> None:
    """Has promtool look at a scrape's names and types as well."""
    print("=== the names of the metrics", flush=True)
    with urllib.request.urlopen(f"http://{admin}/metrics", timeout=PATIENCE) as response:
        subprocess.run(["promtool", "check", "metrics"], input=response.read(), check=True)


def queries(prometheus: str) -> dict[str, str]:
    """What has to have series, by where it stands: what happened, the dashboard's queries, the series of the rules."""
    found = {f"it happened: {name}": query for name, query in HAPPENED.items()}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"]
            for variable, value in VARIABLES.items():
                query = query.replace(variable, value)
            found[f"panel {panel['id']}, {panel['title']}, {target['refId']}"] = query
    for group in api(prometheus, "rules")["groups"]:
        for rule in group["rules"]:
            if rule["health"] == "err":
                raise SystemExit(f"{rule['name']}: {rule['lastError']}")
            for series in SERIES.findall(rule["query"]):
                found[f"{rule['name']}: {series}"] = f"count({series})"
            if rule["type"] == "recording":
                found[f"{rule['name']}: itself"] = rule["name"]
    return found


def unanswered(prometheus: str) -> list[str]:
    """The queries that have no series, after patience. Each is asked until it has: what it asks for may be rare."""
    print("=== queries", flush=True)
    waiting, end = queries(prometheus), time.monotonic() + PATIENCE
    while True:
        for name, query in list(waiting.items()):
            if result := api(prometheus, "query", query=query)["result"]:
                print(f"  {len(result):3} series  {name}", flush=True)
                del waiting[name]
        if not waiting or time.monotonic() > end:
            return [f"{name}: {query}" for name, query in waiting.items()]
        time.sleep(1)


def report_targets(prometheus: str) -> None:
    """Says how the scrapes went; one that failed is a failure."""
    for target in api(prometheus, "targets")["activeTargets"]:
        if target["health"] != "up":
            raise SystemExit(f"{target['scrapeUrl']}: {target['lastError']}")
    samples = api(prometheus, "query", query="scrape_samples_scraped")["result"][0]["value"][1]
    seconds = api(prometheus, "query", query="max_over_time(scrape_duration_seconds[1m])")["result"][0]["value"][1]
    print(f"{samples} samples in a scrape, which took at most {float(seconds) * 1e3:.1f} ms")


if __name__ == "__main__":
    sys.exit(main())
