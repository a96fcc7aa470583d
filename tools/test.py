"""Runs every test and check of the project and ends with a summary.

    python tools/test.py [--checks | --pythons]

With --checks it leaves the tests out; with --pythons it runs the client's tests alone, all that need no other package,
on every Python that it is for. Needs what `make test` installs before; the standard library is enough for the script
itself.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pythons
from pythons import CLIENT as PYTHON_CLIENT
from pythons import ROOT

BUF = ["go", "tool", "-modfile=tools/buf/go.mod", "buf"]

# Checks by name: the folder they run in and what runs.
CHECKS: dict[str, tuple[Path, list[str]]] = {
    "gofmt": (
        ROOT,
        ["sh", "-c", 'out=$("$(go env GOROOT)"/bin/gofmt -l $(git ls-files "*.go")) && echo "$out" && test -z "$out"'],
    ),
    "go vet": (ROOT, ["go", "vet", "./..."]),
    # What has no assembly; `make test-system` runs it.
    "go vet arm64": (ROOT, ["env", "GOOS=linux", "GOARCH=arm64", "go", "vet", "./..."]),
    "arm64 tests": (ROOT, ["tools/arm64.sh", "--build"]),
    "staticcheck": (ROOT, ["go", "tool", "-modfile=tools/go.mod", "staticcheck", "./..."]),
    "govulncheck": (ROOT, ["tools/vulncheck.sh"]),
    "govulncheck itself": (ROOT, ["tools/vulncheck.sh", "--self-test"]),
    "buf lint": (ROOT, [*BUF, "lint"]),
    "buf breaking": (ROOT, [*BUF, "breaking", "proto", "--against", "proto/baseline.binpb"]),
    "generated code": (ROOT, ["tools/checkgenerate.sh"]),
    "ruff check": (
        PYTHON_CLIENT,
        [
            *[sys.executable, "-m", "ruff", "check", "--config", "pyproject.toml"],
            *[".", "../../bench", "../../examples", "../../tools"],
        ],
    ),
    "ruff format": (
        PYTHON_CLIENT,
        [
            *[sys.executable, "-m", "ruff", "format", "--check", "--config", "pyproject.toml"],
            *[".", "../../bench", "../../examples", "../../tools"],
        ],
    ),
    "mypy": (PYTHON_CLIENT, [sys.executable, "-m", "mypy"]),
    "pyright": (PYTHON_CLIENT, [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable]),
    "mypy example": (PYTHON_CLIENT, [sys.executable, "-m", "mypy", "../../examples/vae", "../../examples/ranks"]),
    # Each once, so that they keep running; what they print is of use to no one.
    "go benchmarks": (
        ROOT,
        [
            "sh",
            "-c",
            "out=$(go test -run '^$' -bench . -benchtime 1x -benchmem ./... 2>&1) || { echo \"$out\"; exit 1; }",
        ],
    ),
    # With kantor alone, on tiny problems, so that the benchmarks keep running.
    "benchmarks": (ROOT, [sys.executable, "-m", "bench", "--smoke"]),
}

# The exit status of a check that could not run, and why a check may say so. It counts as skipped; the summary says it.
NOT_RUN = 75
EXCUSES = {"govulncheck": "not run, because the database of vulnerabilities cannot be reached"}

# Go tests by name. The mathematics runs twice: on the kernels that this CPU has, and on the plain loops that others
# fall back to. Giving up is tested in every way without the race detector, which has half of the ways.
GO_TESTS: dict[str, list[str]] = {
    "go test": ["-race", "./..."],
    "go test giving up": ["-run=GivingUpStopsEveryFamily", "./server"],
    "go test purego": ["-tags=purego", "./losses/..."],
}


@dataclass
class Suite:
    """What came of one suite."""

    name: str
    passed: int = 0
    failed: int = 0
    seconds: float = 0.0
    skipped: list[str] = field(default_factory=list)  # each with its reason


def main() -> int:
    """Runs the suites and returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--checks", action="store_true", help="the checks only")
    only.add_argument("--pythons", action="store_true", help="the Python client only, on every Python")
    options = parser.parse_args()
    if options.pythons:
        return run_every_python()
    suites = [timed(run_check, name) for name in CHECKS]
    closing: list[str] = []
    if not options.checks:
        suites += [timed(run_go, name) for name in GO_TESTS]
        suites.append(timed(run_pytest, "pytest"))
        bases = pythons.find()
        # The two ends; what is between has `make test-pythons`, and the one that is here its newest packages above.
        ends = [version for version in (pythons.SUPPORTED[0], pythons.SUPPORTED[-1]) if version in bases]
        oldest = {*ends[:1]} if pythons.SUPPORTED[0] in ends else {pythons.OWN}
        chosen = [
            pythons.Environment(version, "oldest" if version in oldest else "newest")
            for version in sorted({*ends, *oldest})
        ]
        # Not what would only repeat itself: the wheel, the benchmarks.
        suites += run_pythons(bases, chosen, "-m", "not once")
        closing = [
            f"{pythons.OWN} newest: {pythons.described(sys.executable)}",
            *described(chosen),
            *pythons.absent(bases),
        ]
    return summarise(suites, closing)


def timed(run: Callable[[Suite], None], name: str) -> Suite:
    """Announces a suite, runs it and notes the time."""
    print(f"=== {name}", flush=True)
    suite, start = Suite(name), time.monotonic()
    run(suite)
    suite.seconds = time.monotonic() - start
    return suite


def run_check(suite: Suite) -> None:
    """Runs a check, which passes or fails as a whole."""
    folder, command = CHECKS[suite.name]
    status = subprocess.run(command, cwd=folder, check=False).returncode
    if status == NOT_RUN and suite.name in EXCUSES:
        suite.skipped = [EXCUSES[suite.name]]
        return
    suite.passed, suite.failed = int(status == 0), int(status != 0)


def run_go(suite: Suite) -> None:
    """Runs Go tests: a line for each package, and all that a failed test printed."""
    command = ["go", "test", "-json", *GO_TESTS[suite.name]]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    output: dict[tuple[str, str], list[str]] = defaultdict(list)
    ended: dict[tuple[str, str], str] = {}
    assert process.stdout is not None
    for line in process.stdout:
        try:
            event = json.loads(line)
        except ValueError:  # what go says before the tests run
            print(line, end="", flush=True)
            continue
        key = event.get("Package") or event.get("ImportPath", ""), event.get("Test", "")
        action = event["Action"]
        if action in ("output", "build-output"):
            output[key].append(event["Output"])
        elif action in ("pass", "fail", "skip", "build-fail"):
            ended[key] = action
            report_go(key, action, event.get("Elapsed", 0.0), output.pop(key, []))
    tests = leaves({key: action for key, action in ended.items() if key[1]})
    suite.passed = sum(action == "pass" for action in tests.values())
    suite.failed = sum(action == "fail" for action in tests.values())
    suite.skipped = [f"{test} ({package}): {skips[package, test]}" for package, test in skipped(tests)]
    # A package that does not build, or panics, has no test that failed.
    if process.wait() != 0 and not suite.failed:
        suite.failed = 1


skips: dict[tuple[str, str], str] = {}


def report_go(key: tuple[str, str], action: str, seconds: float, output: list[str]) -> None:
    """Prints a package's line, and a failure's output; keeps a skip's."""
    package, test = key
    if action == "skip" and test:
        lines = [line.strip() for line in output if not line.lstrip().startswith(("===", "---"))]
        skips[key] = " ".join(lines)
    elif action in ("fail", "build-fail"):
        print("".join(output), end="", flush=True)
    if not test and action in ("pass", "fail"):
        print(f"  {action:4}  {package}  {seconds:.1f} s", flush=True)


def leaves(tests: dict[tuple[str, str], str]) -> dict[tuple[str, str], str]:
    """The tests without those that only group others, which would count twice."""
    parents = {(package, test.rpartition("/")[0]) for package, test in tests}
    return {key: action for key, action in tests.items() if key not in parents}


def skipped(tests: dict[tuple[str, str], str]) -> list[tuple[str, str]]:
    """The tests that were skipped."""
    return [key for key, action in tests.items() if action == "skip"]


def run_pytest(suite: Suite) -> None:
    """Runs the Python tests against a live server; pytest itself shows progress and failures."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}"]
        count_cases(suite, report, subprocess.run(command, cwd=PYTHON_CLIENT, check=False).returncode)


def count_cases(suite: Suite, report: Path, status: int) -> None:
    """Reads what pytest reports of its tests."""
    for case in ElementTree.parse(report).iter("testcase") if report.exists() else ():
        skip = case.find("skipped")
        if skip is not None:
            suite.skipped.append(f"{case.get('classname')}.{case.get('name')}: {skip.get('message')}")
        elif case.find("failure") is not None or case.find("error") is not None:
            suite.failed += 1
        else:
            suite.passed += 1
    if status != 0 and not suite.failed:
        suite.failed = 1


def run_every_python() -> int:
    """Runs the client's tests on each Python with the oldest and the newest packages; a missing Python is a failure."""
    bases = pythons.find()
    chosen = [pythons.Environment(version, packages) for version in bases for packages in ("oldest", "newest")]
    status = summarise(run_pythons(bases, chosen), [*described(chosen), *pythons.absent(bases)])
    return 1 if pythons.absent(bases) else status


def run_pythons(bases: dict[str, str], chosen: list[pythons.Environment], *flags: str) -> list[Suite]:
    """Runs the tests that need the client's own packages alone in each environment, as many at once as processors."""
    for environment in chosen:
        environment.make(bases[environment.version])
    pythons.install(sys.executable, ROOT / "out" / "hatchling", "hatchling>=1.26")  # that they do not make it at once

    def run(environment: pythons.Environment) -> Suite:
        return timed(lambda suite: run_core(suite, environment, *flags), environment.name)

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 4)) as pool:
        return list(pool.map(run, chosen))


def run_core(suite: Suite, environment: pythons.Environment, *flags: str) -> None:
    """Runs the tests that need the client's own packages alone; what pytest printed is shown where they fail."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [str(environment.python), "-m", "pytest", "-q", "--core", "-p", "no:cacheprovider"]
        out = subprocess.run(
            [*command, f"--junitxml={report}", *flags],
            cwd=PYTHON_CLIENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        count_cases(suite, report, out.returncode)
    last = out.stdout.rstrip().rpartition("\n")[2]
    print(
        f"=== {environment.name}: {last}" if out.returncode == 0 else f"{out.stdout}=== {environment.name}", flush=True
    )


def described(chosen: list[pythons.Environment]) -> list[str]:
    """What each environment has."""
    return [f"{environment.name}: {pythons.described(environment.python)}" for environment in chosen]


def summarise(suites: list[Suite], closing: list[str]) -> int:
    """Prints the table, the skips, what else is to be said and the closing line."""
    print(f"\n{'suite':16}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for suite in suites:
        counts = f"{suite.passed:8}{suite.failed:8}{len(suite.skipped):9}"
        print(f"{suite.name:16}{counts}{suite.seconds:9.1f}")
    for suite in suites:
        for skip in suite.skipped:
            print(f"skipped: {suite.name}: {skip}")
    print("".join(f"{line}\n" for line in closing), end="")
    passed, failed = sum(s.passed for s in suites), sum(s.failed for s in suites)
    total_skipped = sum(len(s.skipped) for s in suites)
    print(f"{passed} passed, {failed} failed" + (f", {total_skipped} skipped" if total_skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
