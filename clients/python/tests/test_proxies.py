"""Proxies in the environment, which are for other machines."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

from servers import server

# Computes over each of the addresses that it is given, in all three ways.
COMPUTE = """
import sys
import numpy as np
import kantor

q = kantor.Gaussian(np.ones((2, 2)), np.zeros((2, 2)))
for address in sys.argv[1:]:
    with kantor.Client(address, timeout=10) as client:
        try:
            client.info()
            values = [client.evaluate(kantor.GaussianKl(), posterior=q).value]
            with client.stream(kantor.GaussianKl()) as stream:
                values.append(stream.evaluate(posterior=q).value)
            print(address, *values)
        except kantor.KantorError as error:
            print(address, error)
"""


def free_port(host: str) -> int:
    """Returns a port that nobody listens to; raises an OSError where this machine has no such host."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def has_ipv6() -> bool:
    try:
        return free_port("::1") > 0
    except OSError:
        return False


def environment(proxy: str) -> dict[str, str]:
    """Returns one with a proxy under every name, and no exceptions from it."""
    names = ["http_proxy", "https_proxy", "grpc_proxy", "all_proxy"]
    others = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return others | dict.fromkeys([*names, *map(str.upper, names)], proxy)


def test_this_machine_is_never_asked_for_through_a_proxy(tmp_path: Path) -> None:
    port = free_port("127.0.0.1")
    listens = [f"unix:{tmp_path}/kantor.sock", f"127.0.0.1:{port}"]
    addresses = [*listens, f"unix://{tmp_path}/kantor.sock", f"localhost:{port}", f"LocalHost:{port}"]
    addresses += [f"dns:localhost:{port}", f"dns:///127.0.0.1:{port}", f"ipv4:127.0.0.1:{port}"]
    if has_ipv6():
        other = free_port("::1")
        listens.append(f"[::1]:{other}")
        addresses += [f"[::1]:{other}", f"ipv6:[::1]:{other}"]
    with contextlib.ExitStack() as running, socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))  # and nobody listens
        for address in listens:
            running.enter_context(server(address))
        out = subprocess.run(
            [sys.executable, "-c", COMPUTE, *addresses],
            env=environment(f"http://127.0.0.1:{dead.getsockname()[1]}"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert out.returncode == 0, out.stderr
    assert out.stdout.splitlines() == [f"{address} 1.0 1.0" for address in addresses]


def test_another_machine_is_asked_for_through_the_proxy() -> None:
    """As everything that speaks HTTP does: the way out may be the only one."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(20)
        host = "203.0.113.7:443"  # for documentation, RFC 5737
        with subprocess.Popen(
            [sys.executable, "-c", COMPUTE, host],
            env=environment(f"http://127.0.0.1:{proxy.getsockname()[1]}"),
            stdout=subprocess.DEVNULL,
        ) as process:
            try:
                taken, _ = proxy.accept()
                with taken, taken.makefile() as lines:
                    assert lines.readline() == f"CONNECT {host} HTTP/1.1\n"
            finally:
                process.kill()
