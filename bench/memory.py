"""One library, one problem, one process: prints the peak resident memory in KiB after a small problem and after it.

python -m bench.memory LIBRARY N DIM
"""

from __future__ import annotations

import sys

from bench import peers
from bench.machine import peak_kib
from bench.measure import Call
from bench.problems import Problem, wide_blur

LIBRARIES = ("SamplesLoss", "SamplesLoss online", "OTT")
_SMALL = 64


def call_of(library: str, problem: Problem) -> Call:
    """The library at its coarsest: memory does not depend on how often it iterates."""
    if library == "OTT":
        return peers.ott(problem, peers.Ott(threshold=1e9))
    return peers.samples_loss(problem, 0.5, "online" if library.endswith("online") else "tensorized")


def main() -> None:
    """Runs both problems."""
    library, n, dim = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    peaks = []
    for size in (_SMALL, n):
        call_of(library, Problem(size, dim, wide_blur(dim)))()
        peaks.append(peak_kib())
    print(*peaks)


if __name__ == "__main__":
    main()
