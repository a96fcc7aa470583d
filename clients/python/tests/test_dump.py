"""KANTOR_DUMP: what is written, and that `kantor eval` computes the same from it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kantor
from conftest import BINARY, Floats
from kantor import _codec, _dump, _results

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


def test_what_did_not_converge_is_computed_again_bit_for_bit(
    client: kantor.Client, dumps: Path, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    result = client.evaluate(STOPPED_EARLY, inputs(rng), gradients=["x.points"], seed=7)
    file = only(dumps)
    assert file.name.startswith("kantor-")
    assert file.name.endswith("-unconverged.json")
    assert replayed_value(file) == result.value
    assert f"kantor eval --request {file}" in caplog.text


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


def test_what_the_server_refused_is_refused_again(client: kantor.Client, dumps: Path, rng: np.random.Generator) -> None:
    bad = {**inputs(rng), "x": np.full((3, 2), np.nan)}
    with client.stream(STOPPED_EARLY) as stream, pytest.raises(kantor.InvalidArgumentError) as caught:
        stream.evaluate(bad)
    assert only(dumps).name.endswith("-failure.json")
    out = subprocess.run([BINARY, "eval", "--request", only(dumps)], capture_output=True, text=True, check=False)
    assert out.returncode != 0
    assert caught.value.reason in out.stderr


def test_a_number_that_is_none_is_kept(
    client: kantor.Client, dumps: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request is known to give one, so the answer is made up."""
    nan: Floats = np.array([0, np.nan])
    build = _results.Build("v", "k")
    made_up = kantor.Evaluation(1.0, {}, {"x.points": nan}, _results.Timing(0, 0), build)
    monkeypatch.setattr(_codec, "evaluation", lambda response: made_up)
    assert client.evaluate(STOPPED_EARLY, inputs(rng)) is made_up
    assert only(dumps).name.endswith("-nan.json")


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
