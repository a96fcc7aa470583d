"""Checks that every flag which a manifest or a unit gives to kantor is one that the program has.

python tools/deploy/flags.py PROGRAM FILE...
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml


def main() -> None:
    """Exits with 1 where a flag is unknown, or a file starts kantor nowhere."""
    program, files = sys.argv[1], [Path(name) for name in sys.argv[2:]]
    wrong = []
    for file in files:
        started = list(of_unit(file) if file.suffix == ".service" else of_manifest(file))
        if not started:
            wrong.append(f"{file}: starts kantor nowhere")
        for command, *arguments in started:
            flags = [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]
            wrong += [
                f"{file}: kantor {command} has no {flag}" for flag in flags if flag not in known(program, command)
            ]
        print(f"{file}: {sum(map(len, started)) - len(started)} arguments of {len(started)} commands")
    if wrong:
        sys.exit("\n".join(wrong))


@cache
def known(program: str, command: str) -> set[str]:
    """The long flags that a command's help names."""
    text = subprocess.run([program, command, "--help"], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"--[a-z][a-z-]*", text))


def of_unit(file: Path) -> Iterator[list[str]]:
    """What a unit starts, without the program."""
    for line in file.read_text().splitlines():
        if line.startswith("Exec"):
            yield line.split()[1:]


def of_manifest(file: Path) -> Iterator[list[str]]:
    """What the containers and probes of kantor's image start, without the program."""
    for document in yaml.safe_load_all(file.read_text()):
        for container in containers(document):
            if str(container["image"]).startswith("kantor:"):
                yield from (value for value in lists(container, "args"))
                yield from (value[1:] for value in lists(container, "command"))


def containers(node: Any) -> Iterator[dict[str, Any]]:
    """Every container in a document."""
    if isinstance(node, dict) and "image" in node:
        yield node
    elif isinstance(node, (dict, list)):
        for child in node.values() if isinstance(node, dict) else node:
            yield from containers(child)


def lists(node: Any, key: str) -> Iterator[list[str]]:
    """Every list of that name, however deep."""
    if isinstance(node, dict):
        if isinstance(node.get(key), list):
            yield node[key]
        for child in node.values():
            yield from lists(child, key)


if __name__ == "__main__":
    main()
