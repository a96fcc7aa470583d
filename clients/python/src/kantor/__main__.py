"""`python -m kantor doctor`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from kantor import _doctor


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns the exit status: 0, or 1 where the doctor found something wrong."""
    parser = argparse.ArgumentParser(prog="python -m kantor")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    text = "check what the client needs, line by line, and name what is wrong"
    doctor = commands.add_parser("doctor", help=text, description=text)
    doctor.add_argument("--address", help="of a running server; without it KANTOR_ADDRESS, else one is started")
    doctor.add_argument("--binary", help="the server to start; without it the one that kantor.Client() would find")
    given = parser.parse_args(arguments)
    return _doctor.run(given.address, given.binary)


if __name__ == "__main__":
    sys.exit(main())
