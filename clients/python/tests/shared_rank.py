"""One of several processes that share a server: python shared_rank.py BINARY. It obeys a line at a time.

value    computes, and prints the value
pid      prints the pids of the servers on its address
log      prints the server's log as one line
close    closes the client
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import kantor


def servers(directory: str) -> list[int]:
    """The processes whose command line has the directory, as a server's has it for its socket."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has just ended
            continue
        if "serve" in words and any(word.startswith(f"unix:{directory}/") for word in words):
            found.append(int(path.parent.name))
    return found


def value(client: kantor.Client) -> float:
    """KL(N(2, I) | N(0, I)), ½·2²."""
    mean = np.full((1, 1), 2.0)
    return client.evaluate(kantor.GaussianKl(), posterior=kantor.Gaussian(mean, mean * 0)).value


def main() -> None:
    client = kantor.Client(binary=sys.argv[1], timeout=60)
    directory = str(Path(client.address.removeprefix("unix:")).parent)
    print(directory, flush=True)
    for line in sys.stdin:
        word = line.strip()
        if word == "value":
            print(value(client), flush=True)
        elif word == "pid":
            print(*servers(directory), flush=True)
        elif word == "log":
            print(" ".join(client.server_log), flush=True)
        elif word == "close":
            client.close()
            print("closed", flush=True)


if __name__ == "__main__":
    main()
