"""Holds a server under a mixed load with cancellations and disconnects, and its memory and goroutines to staying flat.

    python tools/soak.py KANTOR DURATION

Two loads run all the time, calls and streams of many losses and sizes, some of which are given up; a third is a trickle
of which nothing is given up and every answer compared. Memory and goroutines are sampled from the admin listener, and
their slopes estimated by regression after a warm-up. Writes out/soak.csv and out/soak.png. Exits with 1 where something
grows, where an answer differs from an earlier one to the same request, or where requests fail that nobody gave up.
"""

from __future__ import annotations

import csv
import json
import math
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("agg")
import matplotlib.pyplot as plt

OUT = Path(__file__).resolve().parent.parent / "out"
INTERVAL = 0.5  # seconds between samples
WARM_UP = 0.25  # of the time, in which caches and pools fill
BLOCKS = 10  # means of samples that the regression is through: neighbours depend on each other, blocks hardly

LOSSES = ("sinkhorn", "transport", "kantorovich", "sliced:directions=16", "mmd", "kl", "bures", "cone_critic")
MIX = "64x8:8,256x16:4,1024x8:1"

# Of each the metric, its unit, its title and what it may grow by in a minute, where it can be told that it grows.
METRICS = {
    "resident": ("process_resident_memory_bytes", 2**20, "resident memory, MiB", 1.0),
    "heap": ("go_memstats_heap_inuse_bytes", 2**20, "heap in use, MiB", 1.0),
    "goroutines": ("go_goroutines", 1, "goroutines", 1.0),
    "descriptors": ("process_open_fds", 1, "open files", 1.0),
}


@dataclass
class Slope:
    """A slope a minute and the interval that contains it with 95 %."""

    value: float
    lower: float
    upper: float

    def flat(self, bound: float) -> bool:
        """Whether nothing grows: the interval reaches down to 0, or ends below the bound."""
        return self.lower <= 0 or self.upper < bound


def main() -> None:
    """Runs the soak."""
    kantor, seconds = sys.argv[1], duration(sys.argv[2])
    OUT.mkdir(exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends the processes too
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        address, admin = f"unix:{folder}/socket", f"127.0.0.1:{free_port()}"
        server = subprocess.Popen(
            [kantor, "serve", "--listen", address, "--admin", admin, "--log-level", "error"], stdout=subprocess.PIPE
        )
        stack.callback(end, server)
        assert server.stdout is not None and b"listening" in server.stdout.readline()
        loads = [subprocess.Popen(load, stdout=subprocess.PIPE) for load in load_commands(kantor, address, seconds)]
        for load in loads:
            stack.callback(end, load)
        samples = sample(admin, seconds, loads)
        reports = [json.loads(load.communicate()[0]) for load in loads]
        quiet = settle(admin)
        server.terminate()
        stopped = server.wait(60)
    failed = judge(samples, reports, quiet)
    if stopped != 0:
        failed.append(f"the server ended with {stopped}")
    if failed:
        sys.exit("\n".join(failed))


def duration(text: str) -> float:
    """Reads 20m or 90s."""
    units = {"s": 1, "m": 60, "h": 3600}
    if not re.fullmatch(r"[0-9]+[smh]", text):
        sys.exit(f"got {text}, want a duration such as 20m")
    return float(text[:-1]) * units[text[-1]]


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that may have ended."""
    process.kill()
    process.wait()


def load_commands(kantor: str, address: str, seconds: float) -> list[list[str]]:
    """Calls and streams by trainers who give up now and then, and a trickle that nobody gives up."""
    base = [
        kantor,
        "load",
        "--address",
        address,
        "--json",
        "--duration",
        f"{seconds}s",
        "--deadline",
        "60s",
        "--mix",
        MIX,
    ]
    losses = [word for loss in LOSSES for word in ("--loss", loss)]
    given_up = ["--cancel", "0.1", "--disconnect", "0.02"]
    return [
        [*base, *losses, *given_up, "--trainers", "4"],
        [*base, *losses, *given_up, "--trainers", str(len(LOSSES)), "--stream"],
        [*base, *losses, "--trainers", "2", "--rate", "20", "--verify", "1"],
    ]


def scrape(admin: str) -> dict[str, float]:
    """The server's numbers now, by our names."""
    with urllib.request.urlopen(f"http://{admin}/metrics", timeout=60) as response:
        text = response.read().decode()
    found = {}
    for name, (metric, unit, _, _) in METRICS.items():
        match = re.search(rf"^{metric} (\S+)$", text, re.MULTILINE)
        assert match, f"the scrape has no {metric}"
        found[name] = float(match[1]) / unit
    return found


def sample(admin: str, seconds: float, loads: list[subprocess.Popen[bytes]]) -> list[dict[str, float]]:
    """Samples until the time is over or a load has ended before."""
    start, samples = time.monotonic(), []
    while (now := time.monotonic() - start) < seconds and all(load.poll() is None for load in loads):
        samples.append({"seconds": now, **scrape(admin)})
        print(
            f"\r{now:6.0f} s  " + "  ".join(f"{k} {v:.0f}" for k, v in scrape(admin).items()), end="", file=sys.stderr
        )
        time.sleep(INTERVAL)
    print(file=sys.stderr)
    return samples


def settle(admin: str) -> dict[str, float]:
    """The least that the server has within ten seconds after the load."""
    seen = []
    for _ in range(20):
        seen.append(scrape(admin))
        time.sleep(0.5)
    return {name: min(one[name] for one in seen) for name in METRICS}


def regress(times: np.ndarray, values: np.ndarray) -> Slope:
    """The slope through the means of blocks, a minute, with its interval by the blocks' own scatter."""
    t = np.array([block.mean() for block in np.array_split(times, BLOCKS)]) / 60
    v = np.array([block.mean() for block in np.array_split(values, BLOCKS)])
    spread = ((t - t.mean()) ** 2).sum()
    slope = float(((t - t.mean()) * v).sum() / spread)
    rest = v - v.mean() - slope * (t - t.mean())
    # Student's t with BLOCKS - 2 = 8 degrees of freedom: 2.306.
    half = 2.306 * math.sqrt(float((rest**2).sum()) / (BLOCKS - 2) / spread)
    return Slope(slope, slope - half, slope + half)


def judge(samples: list[dict[str, float]], reports: list[dict[str, object]], quiet: dict[str, float]) -> list[str]:
    """Prints the table, writes the files and returns what is wrong."""
    wrong = []
    write_csv(samples)
    times = np.array([one["seconds"] for one in samples])
    kept = times >= WARM_UP * times[-1]
    slopes = {name: regress(times[kept], np.array([one[name] for one in samples])[kept]) for name in METRICS}
    print(f"{len(samples)} samples in {times[-1]:.0f} s, the first {WARM_UP:.0%} of them to warm up")
    print(f"{'':24}{'mean':>9}{'most':>9}{'after':>9}{'slope/min':>11}  95 %")
    for name, (_, _, title, bound) in METRICS.items():
        values, slope = np.array([one[name] for one in samples])[kept], slopes[name]
        sizes = f"{values.mean():9.1f}{values.max():9.1f}{quiet[name]:9.1f}"
        print(f"{title:24}{sizes}{slope.value:11.3f}  [{slope.lower:.3f}, {slope.upper:.3f}]")
        if not slope.flat(bound):
            wrong.append(f"{title} grows by {slope.value:.3f} a minute")
    for kind, report in zip(("calls", "streams", "trickle"), reports, strict=True):
        print(
            f"{kind}: {report['answered']} answered, {report['abandoned']} given up, {report['failed']} failed, "
            f"{report['verified']} compared, {report['differing']} differ"
        )
        if report["differing"] or report["failed"] or not report["answered"]:
            wrong.append(f"{kind}: {report['differing']} differ, {report['failed']} failed: {report['failures']}")
    draw(samples, slopes)
    return wrong


def write_csv(samples: list[dict[str, float]]) -> None:
    """Writes out/soak.csv."""
    with (OUT / "soak.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["seconds", *METRICS])
        writer.writeheader()
        writer.writerows(samples)


def draw(samples: list[dict[str, float]], slopes: dict[str, Slope]) -> None:
    """Writes out/soak.png."""
    figure, axes = plt.subplots(len(METRICS), 1, figsize=(8, 9), sharex=True, layout="constrained")
    minutes = [one["seconds"] / 60 for one in samples]
    for axis, (name, (_, _, title, _)) in zip(axes, METRICS.items(), strict=True):
        axis.plot(minutes, [one[name] for one in samples], linewidth=0.8)
        axis.axvspan(0, WARM_UP * minutes[-1], alpha=0.1, color="gray")
        axis.set_ylim(bottom=0)
        axis.set_title(
            f"{title}: {slopes[name].value:+.3f} a minute [{slopes[name].lower:+.3f}, {slopes[name].upper:+.3f}]",
            fontsize=9,
        )
    axes[-1].set_xlabel("minutes")
    figure.savefig(OUT / "soak.png", dpi=120)


if __name__ == "__main__":
    main()
