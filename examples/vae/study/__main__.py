"""The command: computes what is missing and writes the report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch

import kantor
from study import data, r1, r2, r3, r4, report
from study.cells import Profile, World
from study.files import fingerprint
from study.part import Part, tables_of
from study.runner import clock, results_of, run
from study.store import Store

PARTS: tuple[Part, ...] = (r1.PART, r2.PART, r3.PART, r4.PART)
HERE = Path(__file__).resolve().parents[1]
OUT = HERE.parents[1] / "out" / "study"
INTERRUPTED = 130  # exit status, as a shell has it for SIGINT


def main() -> int:
    """Returns the exit status."""
    options = arguments()
    profile: Profile = "quick" if options.quick else "full" if options.full else "default"
    torch.set_num_threads(1)  # the models are small, and the server wants a core
    folder = data.find(options.data)
    files = fingerprint(folder)
    store = Store(options.out)
    parts = [part for part in PARTS if part.name in options.only]
    try:
        with kantor.Client() as client:
            build = client.info().build
            run(parts, profile, World(client, folder, files), store)
    except KeyboardInterrupt:
        print("\ninterrupted: what is done is kept, the same command goes on from there", file=sys.stderr)
        return INTERRUPTED
    print(f"report: {write(options.report or default_report(profile, options.out), profile, files, store, build)}")
    return 0


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(prog="python -m study", description=(__doc__ or "").splitlines()[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a look at everything, in five minutes at most")
    size.add_argument("--full", action="store_true", help="everything")
    parser.add_argument(
        "--only", type=only(names), default=names, metavar="r1,r3", help="these parts of " + ",".join(names)
    )
    parser.add_argument("--data", type=Path, help="folder with Fashion-MNIST's idx files, or files like them")
    parser.add_argument("--out", type=Path, default=OUT, help="where cells are kept (default out/study)")
    parser.add_argument("--report", type=Path, help="folder for the report (default report; of --quick in --out)")
    return parser.parse_args()


def only(names: list[str]) -> Callable[[str], list[str]]:
    """Returns what reads a list of parts."""

    def read(text: str) -> list[str]:
        chosen = text.split(",")
        for name in chosen:
            if name not in names:
                raise argparse.ArgumentTypeError(f"got {name!r}, want some of {','.join(names)}")
        return chosen

    return read


def default_report(profile: Profile, out: Path) -> Path:
    """The report that is kept in the checkout is not overwritten by a quick look."""
    return out / "quick" if profile == "quick" else HERE / "report"


def write(folder: Path, profile: Profile, files: str | None, store: Store, build: kantor.Build) -> Path:
    """Writes the report of all parts that are whole in this profile."""
    done, seconds = [], 0.0
    for part in PARTS:
        results = results_of(part, profile, files, store)
        if results is not None:
            done.append(report.Done(part, part.section(results), tables_of(results)))
            seconds += sum(result.seconds for result in results)
    command = {"quick": "make study STUDY=--quick", "default": "make study", "full": "make study-full"}[profile]
    notes = [
        f"Written by `{command}`, which computes it anew. The cells took {clock(seconds)} minutes together.",
        f"kantor {build.version}, kernel {build.kernel}; all losses and their gradients are from its server, through "
        "the Python client. A step's time and the server's share of it stand in the rows of every training.",
    ]
    if files:
        notes.append(f"What is called fashion here are the images of a folder whose fingerprint is {files}.")
    if files is None:
        notes.append("Fashion-MNIST was not there: wherever it would have been used, the digits stand in for it.")
    return report.write(folder, done, notes)


if __name__ == "__main__":
    sys.exit(main())
