"""`python -m kantor doctor` and `python -m kantor explain x.npy y.npy`."""

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
    doctor.set_defaults(run=lambda given: _doctor.run(given.address, given.binary))
    text = "look at two clouds and advise on a loss between them, as kantor.explain does"
    explain = commands.add_parser("explain", help=text, description=text)
    explain.add_argument("x", help="a .npy file of points, [N, D]: the source")
    explain.add_argument("y", nargs="?", help="another: the target; without it N(0, I)")
    explain.add_argument("--blur", type=float, help="that you have in mind, in units of the points")
    explain.add_argument("--seed", type=int, default=0)
    explain.set_defaults(run=_explain)
    given = parser.parse_args(arguments)
    return int(given.run(given))


def _explain(given: argparse.Namespace) -> int:
    """Prints the advice and returns 0, or what is wrong with the arguments and returns 1."""
    import numpy as np

    import kantor

    try:
        x, y = (kantor.StandardNormal() if path is None else np.load(path) for path in (given.x, given.y))
        print(kantor.explain(x, y, blur=given.blur, seed=given.seed))
    except (OSError, ValueError, kantor.KantorError) as error:
        print(f"python -m kantor explain: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
