"""Servers that are not the client's own."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

from conftest import BINARY


@contextlib.contextmanager
def server(address: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Starts one, and waits until it listens; in the end it is killed."""
    with subprocess.Popen(
        [BINARY, "serve", "--listen", address, "--drain-grace", "1s", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdout is not None
            assert b"listening" in process.stdout.readline()
            yield process
        finally:
            process.kill()
