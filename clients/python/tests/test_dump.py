"""KANTOR_DUMP: what is written, and that `kantor eval` computes from it what the caller got, bit for bit."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

import kantor
import kantor.torch
from conftest import BINARY
from kantor import _dump

Arrays = dict[str, npt.NDArray[Any]]
Inputs = dict[str, Any]
# A client, what to compute, and of what; the result, and the gradients that the caller has in the end.
Compute = Callable[[kantor.Client, kantor.Objective, Inputs], tuple[kantor.Evaluation, Arrays]]

STOPPED_EARLY = kantor.Sinkhorn("x", "y", blur=0.05, tolerance=1e-9, max_iterations=3) + 2 * kantor.GaussianKl("q")


@pytest.fixture
def dumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "dumps"
    monkeypatch.setenv("KANTOR_DUMP", str(directory))
    return directory


def inputs(rng: np.random.Generator) -> dict[str, Any]:
    x, y = rng.standard_normal((2, 20, 2)).astype(np.float32)
    return {"x": x, "y": kantor.StandardNormal(size=9), "q": kantor.Gaussian(np.float64(x), np.float64(y))}


def replayed_value(file: Path) -> float:
    out = subprocess.run([BINARY, "eval", "--request", file], capture_output=True, text=True, check=True)
    return float(json.loads(out.stdout)["value"])


def only(directory: Path) -> Path:
    (file,) = directory.iterdir()
    return file


def arrays_of(inputs: Inputs) -> Arrays:
    """Returns what can have a gradient by its name: `x.points`."""
    arrays = {f"{name}.{f.name}": getattr(value, f.name) for name, value in inputs.items() for f in fields(value)}
    return {name: array for name, array in arrays.items() if isinstance(array, np.ndarray) and array.dtype.kind == "f"}


def unary(client: kantor.Client, terms: kantor.Objective, inputs: Inputs) -> tuple[kantor.Evaluation, Arrays]:
    result = client.evaluate(terms, inputs, gradients=arrays_of(inputs), seed=2**64 - 1)
    return result, dict(result.gradients)


def stream(client: kantor.Client, terms: kantor.Objective, inputs: Inputs) -> tuple[kantor.Evaluation, Arrays]:
    with client.stream(terms, gradients=arrays_of(inputs)) as opened:
        result = opened.evaluate(inputs, seed=2**64 - 1)
    return result, dict(result.gradients)


def loss(client: kantor.Client, terms: kantor.Objective, inputs: Inputs) -> tuple[kantor.Evaluation, Arrays]:
    """The gradients are what backward leaves, and the seed is the one of the step."""
    leaves = {name: torch.tensor(array, requires_grad=True) for name, array in arrays_of(inputs).items()}
    tensors = {
        name: replace(value, **{f.name: leaves.get(f"{name}.{f.name}", getattr(value, f.name)) for f in fields(value)})
        for name, value in inputs.items()
    }
    criterion = kantor.torch.Loss(terms, client, seed=5)
    criterion(tensors).backward()
    criterion.close()
    assert criterion.report is not None
    return criterion.report, {name: np.asarray(leaf.grad) for name, leaf in leaves.items()}


@pytest.fixture(params=[unary, stream, loss], ids=["unary", "stream", "loss"])
def compute(request: pytest.FixtureRequest) -> Compute:
    how: Compute = request.param
    return how


def exactly(numbers: Any) -> Any:
    """Numbers of `kantor eval` or of a result as texts that say every bit; of one problem without a list."""
    if isinstance(numbers, list):
        each = [exactly(number) for number in numbers]
        return each[0] if len(each) == 1 else each if any(each) else None
    return None if numbers is None else repr(float(numbers))


def assert_replayed(file: Path, result: kantor.Evaluation, gradients: Arrays) -> None:
    """Asserts that `kantor eval` prints and writes what was computed."""
    directory = file.parent.with_name("gradients")
    out = subprocess.run(
        [BINARY, "eval", "--request", file, "--gradients", directory], capture_output=True, text=True, check=True
    )
    printed = json.loads(out.stdout, parse_int=float)  # an integer -0 would be 0
    assert exactly(printed["value"]) == exactly(result.value)
    assert [term["name"] for term in printed["terms"]] == list(result.terms)
    for term, own in zip(printed["terms"], result.terms.values(), strict=True):
        assert exactly(term["value"]) == exactly(list(own.values))
        intervals, solves = [o.interval for o in own.outcomes], [o.solve for o in own.outcomes]
        assert exactly(term.get("lower")) == exactly([i and i.lower for i in intervals])
        assert exactly(term.get("upper")) == exactly([i and i.upper for i in intervals])
        assert exactly(term.get("iterations")) == exactly([s and s.iterations for s in solves])
    written = {file.stem: np.load(file) for file in directory.iterdir()}
    assert written.keys() == gradients.keys()
    for name, gradient in gradients.items():
        again = written[name]
        assert (name, again.dtype, again.shape) == (name, gradient.dtype, gradient.shape)
        assert again.tobytes() == gradient.tobytes(), name


# A sampled input, a weight, both number formats, and a term with an interval, one that is sampled and a closed form.
OBJECTIVE = (
    kantor.Sinkhorn("x", "y", blur=0.05, tolerance=1e-9, max_iterations=1)
    + 0.3 * kantor.Sinkhorn("x", "prior", name="to_prior", blur=0.5)
    + 2 * kantor.GaussianKl("q")
)


def clouds(rng: np.random.Generator, *batch: int) -> Inputs:
    x, y = rng.standard_normal((2, *batch, 20, 2))
    mean, log_variance = rng.standard_normal((2, *batch, 7, 2))
    weights = rng.uniform(0.5, 1.5, (*batch, 20))
    weights /= weights.sum(-1, keepdims=True)
    return {
        "x": kantor.Measure(x.astype(np.float32), weights.astype(np.float32)),
        "y": kantor.Measure(y, sizes=np.arange(20, 20 - batch[0], -1) if batch else None),
        "prior": kantor.StandardNormal(size=9),
        "q": kantor.Gaussian(mean, log_variance.astype(np.float32)),
    }


@pytest.mark.parametrize("batch", [(), (3,)], ids=["one", "batch"])
def test_what_did_not_converge_is_computed_again(
    client: kantor.Client,
    dumps: Path,
    rng: np.random.Generator,
    caplog: pytest.LogCaptureFixture,
    compute: Compute,
    batch: tuple[int, ...],
) -> None:
    result, gradients = compute(client, OBJECTIVE, clouds(rng, *batch))
    file = only(dumps)
    assert file.name.startswith("kantor-")
    assert file.name.endswith("-unconverged.json")
    assert f"kantor eval --request {file}" in caplog.text
    assert all(gradient.any() for gradient in gradients.values())
    assert all(o.interval is not None for name in ("sinkhorn", "to_prior") for o in result.terms[name].outcomes)
    assert_replayed(file, result, gradients)


@pytest.mark.parametrize(
    ("weight", "mean", "log_variance"),
    # exp(800) is no float64; and a gradient of 1e50 no float32, though the value, 1e70, is a float64.
    [(1, np.ones((2, 2)), np.full((2, 2), 800.0)), (1e30, np.full((2, 2), 1e20, np.float32), np.zeros((2, 2)))],
    ids=["value", "gradient"],
)
def test_what_is_not_finite_is_computed_again(
    client: kantor.Client,
    dumps: Path,
    compute: Compute,
    weight: float,
    mean: npt.NDArray[Any],
    log_variance: npt.NDArray[Any],
) -> None:
    given = {"q": kantor.Gaussian(mean, log_variance)}
    result, gradients = compute(client, kantor.Objective((weight * kantor.GaussianKl("q"),)), given)
    assert only(dumps).name.endswith("-nan.json")
    assert np.isfinite(result.value) == (weight > 1)
    # Where the value is infinite there is no direction of descent, and the gradient 0.
    assert sum(np.isinf(gradient).all() for gradient in gradients.values()) == (weight > 1)
    assert_replayed(only(dumps), result, gradients)


def test_what_the_server_refused_is_refused_again(
    client: kantor.Client, dumps: Path, rng: np.random.Generator, compute: Compute
) -> None:
    bad = {**clouds(rng), "y": kantor.Measure(np.full((3, 2), np.nan))}
    with pytest.raises(kantor.InvalidArgumentError) as caught:
        compute(client, OBJECTIVE, bad)
    assert only(dumps).name.endswith("-failure.json")
    out = subprocess.run([BINARY, "eval", "--request", only(dumps)], capture_output=True, text=True, check=False)
    assert out.returncode != 0
    assert f"{caught.value.field}: {caught.value.reason}" in out.stderr


def test_a_batch_of_a_stream_is_a_request_of_its_own(
    client: kantor.Client, dumps: Path, rng: np.random.Generator
) -> None:
    with client.stream(STOPPED_EARLY) as stream:
        given = inputs(rng)
        plain = stream.evaluate(given, seed=3).value
        overrides = {"sinkhorn.blur": 0.2, "sinkhorn.max_iterations": 2, "kl.weight": 0.7}
        changed = stream.evaluate(given, seed=4, overrides=overrides).value
    first, second = sorted(dumps.iterdir(), key=lambda file: file.name.partition("step")[2])
    assert "-step1-" in first.name
    assert "-step2-" in second.name
    assert [replayed_value(first), replayed_value(second)] == [plain, changed]
    assert plain != changed


@pytest.mark.parametrize(
    ("key", "number", "kept"),
    [("sinkhorn.blur", -1.0, True), ("kl.blur", 1.0, False), ("sinkhorn.max_iterations", 2.5, False)],
)
def test_an_override_that_is_refused_is_kept_where_a_request_can_say_it(
    client: kantor.Client, dumps: Path, rng: np.random.Generator, key: str, number: float, kept: bool
) -> None:
    with client.stream(STOPPED_EARLY) as opened, pytest.raises(kantor.InvalidArgumentError):
        opened.evaluate(inputs(rng), overrides={key: number})
    assert dumps.exists() == kept
    if kept:
        out = subprocess.run([BINARY, "eval", "--request", only(dumps)], capture_output=True, check=False)
        assert out.returncode != 0


def test_good_results_and_timeouts_leave_nothing(client: kantor.Client, dumps: Path, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 2000, 8))
    client.evaluate(kantor.GaussianKl("q"), q=inputs(rng)["q"])
    slow = kantor.Sinkhorn("x", "y", blur=0.001, tolerance=1e-12, max_iterations=100_000)
    with pytest.raises(kantor.DeadlineError):
        client.evaluate(slow, x=x, y=y, timeout=0.05)
    assert not dumps.exists()


def test_the_number_of_files_is_bounded(
    client: kantor.Client, dumps: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_dump, "_MOST_FILES", 3)
    for _ in range(5):
        client.evaluate(STOPPED_EARLY, inputs(rng))
    assert len(list(dumps.iterdir())) == 3


def test_a_directory_that_cannot_be_written_is_a_line_in_the_log(
    client: kantor.Client,
    tmp_path: Path,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("KANTOR_DUMP", str(file))
    assert not client.evaluate(STOPPED_EARLY, inputs(rng)).converged
    assert f"KANTOR_DUMP={file}" in caplog.text
