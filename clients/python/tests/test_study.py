"""The study of examples/vae: its truth, what keeps its cells, and that its sentences follow its rows."""

from __future__ import annotations

import gzip
import importlib
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import kantor
from conftest import ROOT

EXAMPLE = ROOT / "examples" / "vae"
NAMES = (
    "cells",
    "data",
    "files",
    "paired",
    "part",
    "report",
    "runner",
    "store",
    "r1",
    "r1_cells",
    "r2",
    "r3",
    "r4",
    "__main__",
)


@pytest.fixture(scope="module")
def study() -> Iterator[Any]:
    """The study's modules by name; torch has one thread, as in the study."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    sys.path.insert(0, str(EXAMPLE))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(f"study.{name}") for name in NAMES})
    finally:
        sys.path.remove(str(EXAMPLE))
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("beta", "units", "rate", "distortion"),
    # Row T22 of docs/mathematics.md.
    [
        (1, 8, 7.7552, 1.9304),
        (2, 8, 4.9826, 2.3304),
        (4, 7, 2.2859, 3.1023),
        (10, 3, 0.3411, 4.3017),
        (20, 0, 0, 4.6933),
    ],
)
def test_a_linear_vae_learns_to_fill_water(
    study: Any, client: kantor.Client, beta: float, units: int, rate: float, distortion: float
) -> None:
    """From random weights, with the server's KL and its gradients, to within 2 % of the closed form."""
    cell = study.cells.Cell("r1", "vae", {"beta": beta, "iterations": 300, "seed": 0})
    (row,) = study.r1_cells.compute(cell, study.cells.World(client)).rows
    assert row["rate"] == pytest.approx(rate, rel=0.02, abs=0.02 if rate == 0 else 0)
    assert row["distortion"] == pytest.approx(distortion, rel=0.02)
    assert row["active_units"] == units
    assert row["theory_rate"] == pytest.approx(rate, abs=5e-5)
    assert row["theory_distortion"] == pytest.approx(distortion, abs=5e-5)


def test_matching_codes_costs_a_linear_autoencoder_nothing(study: Any, client: kantor.Client) -> None:
    """Row T23: the penalty gets to 0 at the distortion that principal components have."""
    params = {"matching": "bures", "weight": 1.0, "iterations": 100, "seed": 0}
    measured = study.r1_cells.compute(study.cells.Cell("r1", "autoencoder", params), study.cells.World(client))
    assert measured.rows[0]["distortion"] == pytest.approx(1.5304, rel=0.02)
    assert measured.rows[0]["penalty"] < 0.01
    np.testing.assert_allclose(measured.arrays["covariance"], np.eye(8), atol=0.1)


def part_of(study: Any, compute: Any, count: int = 4) -> Any:
    """A part whose cells cost nothing."""
    cells = [study.cells.Cell("t", "x", {"seed": seed}) for seed in range(count)]
    budget = dict.fromkeys(("quick", "default", "full"), 1.0)
    return study.part.Part("t", "T", (study.paired,), compute, lambda *_: cells, lambda _: None, budget)


def test_an_interruption_loses_one_cell(study: Any, tmp_path: Path) -> None:
    computed: list[int] = []

    def compute(cell: Any, _: Any) -> Any:
        if cell.params["seed"] == 2 and computed.count(2) == 0:
            computed.append(2)
            raise KeyboardInterrupt
        computed.append(cell.params["seed"])
        return study.cells.Measured([{"value": cell.params["seed"] / 2}], {"a": np.arange(3)})

    part, store = part_of(study, compute), study.store.Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        study.runner.run([part], "quick", study.cells.World(None), store)
    assert computed == [0, 1, 2]
    assert study.runner.results_of(part, "quick", None, store) is None
    study.runner.run([part], "quick", study.cells.World(None), store)
    assert computed == [0, 1, 2, 2, 3]
    results = study.runner.results_of(part, "quick", None, store)
    assert [result.rows for result in results] == [[{"seed": seed, "value": seed / 2}] for seed in range(4)]
    assert results[3].arrays["a"].tolist() == [0, 1, 2]
    # What computes it is changed: nothing of it is there any more.
    assert study.runner.results_of(replace(part, code=(study.cells,)), "quick", None, store) is None


def test_a_half_written_cell_is_not_there(study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, cell = study.store.Store(tmp_path), study.cells.Cell("t", "x", {"seed": 1})

    def full(*_: Any, **__: Any) -> int:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="no space"):
        store.put(cell, "1", study.cells.Measured([{"value": 1.0}]), 0.1)
    assert store.get(cell, "1") is None


def test_sign_flips_are_counted_exactly(study: Any) -> None:
    paired = study.paired
    assert paired.sign_flip(np.array([1.0, 2, 3, 4, 5, 6])) == 2 / 64
    assert paired.sign_flip(np.array([1.0, -1, 1, -1, 1, -1])) == 1
    # Of 8 signs of (3, 2, -1) those four with |sum| ≥ 4: (3,2,-1), (3,2,1) and their opposites.
    assert paired.sign_flip(np.array([3.0, 2, -1])) == 0.5


def test_comparisons_turn_around(study: Any) -> None:
    low, high = [1.0, 2, 3, 4, 5, 6], [2.0, 3, 4, 5, 6, 7]
    compare = study.paired.compare
    assert [compare(low, high).verdict, compare(high, low).verdict] == ["lower", "higher"]
    assert compare(low, low[::-1]).verdict == "undecided"
    assert "p = 0.031" in compare(low, high).said
    # Too few for a test: a verdict only where the ranges are apart, and no p.
    assert compare(low[:3], high[:3]).verdict == "undecided"
    assert compare([1, 2, 3], [4, 5, 6]).verdict == "lower"
    assert compare([1, 2], [3, 4]).verdict == "undecided"
    assert "p =" not in compare([1, 2, 3], [4, 5, 6]).said


def test_sentences_turn_around_with_their_rows(study: Any) -> None:
    def row(rate: float) -> dict[str, Any]:
        truth = {"theory_rate": 1.0, "theory_distortion": 2.0, "theory_units": 3}
        return {"beta": 1, "seed": 0, "rate": rate, "distortion": 2.0, "active_units": 3, **truth}

    assert " lands on " in study.r1.conclusions([row(1.01)], [])[0].sentence
    assert " does not land on " in study.r1.conclusions([row(1.03)], [])[0].sentence

    def scales(value: float) -> Any:
        rows = [
            {"D": 2, "N": 8, "loss": "sliced", "per_dimension": 0.0, "scale": value + 1e-3 * k, "seed": k}
            for k in range(6)
        ]
        return study.r3.scale_of("sliced transport", ("sliced",), rows).sentence

    assert "with sliced transport: codes that are too narrow in 1 of 1 " in scales(0.9)
    assert "too wide in 1, " in scales(1.1)
    assert "not told from it in 1;" in scales(1.005)


def test_what_is_good_for_kl_is_said_first(study: Any) -> None:
    said = [study.part.Conclusion(text, "t", "r", who) for text, who in (("a", ""), ("b", "KL"), ("c", ""))]
    section = study.part.Section([], [], said)
    done = study.report.Done(None, section, {})
    assert [conclusion.sentence for conclusion in study.report.ordered([done])] == ["b", "a", "c"]


@pytest.mark.parametrize("name", ["r2", "r3", "r4"])
def test_every_part_computes_draws_and_concludes(study: Any, client: kantor.Client, tmp_path: Path, name: str) -> None:
    """The quick profile, its trainings cut to a few steps: every kind of cell, every picture, every sentence."""
    part = getattr(study, name).PART
    world = study.cells.World(client)
    results = []
    for cell in part.plan("quick", False):
        short = {key: 3 for key in cell.params if key == "steps"} | {key: 1 for key in cell.params if key == "batches"}
        measured = part.compute(replace(cell, params={**cell.params, **short}), world)
        rows = [{**cell.params, **row} for row in measured.rows]
        results.append(study.cells.Result(cell, rows, measured.arrays, 0.1))
    tables = study.part.tables_of(results)
    section = part.section(results)
    page = study.report.write(tmp_path, [study.report.Done(part, section, tables)], ["a note"]).read_text()
    assert page.count("data:image/png;base64,") == len(section.pictures) > 0
    assert not re.search(r'src="(?!data:)', page)
    for conclusion in section.conclusions:
        assert conclusion.test
        table = re.match(r"\w+\.csv", conclusion.rows)
        assert table
        assert (tmp_path / table[0]).exists()
    for picture in section.pictures:
        assert (tmp_path / f"{picture.name}.png").read_bytes().startswith(b"\x89PNG")
    assert all(
        np.isfinite(value) for rows in tables.values() for row in rows for value in row.values() if value != str(value)
    )


def idx(*shape: int, body: bytes) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape) + body


def test_idx_files(study: Any, tmp_path: Path) -> None:
    images = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    for name, labels in (("train", b"\1\2"), ("t10k", b"\3\4")):
        with gzip.open(tmp_path / f"{name}-images-idx3-ubyte.gz", "wb") as file:
            file.write(idx(2, 3, 3, body=images.tobytes()))
        (tmp_path / f"{name}-labels-idx1-ubyte").write_bytes(idx(2, body=labels))
    assert study.data.find(tmp_path) == tmp_path
    found = study.data.load("fashion", tmp_path)
    np.testing.assert_array_equal(found.train, images.reshape(2, 9) / np.float32(255))
    assert found.test_labels.tolist() == [3, 4]
    assert found.side == 3
    with pytest.raises(FileNotFoundError, match="neither train-images-idx3-ubyte nor"):
        study.data.find(tmp_path / "nowhere")


def test_cells_of_other_images_are_other_cells(study: Any, tmp_path: Path) -> None:
    for name in study.data.FILES["train"] + study.data.FILES["test"]:
        (tmp_path / name).write_bytes(idx(1, body=b"\1"))
    first = study.files.fingerprint(tmp_path)
    (tmp_path / study.data.FILES["test"][1]).write_bytes(idx(1, body=b"\2"))
    second = study.files.fingerprint(tmp_path)
    cells = [study.cells.Cell("t", "x", {"data": name, "seed": 0}) for name in ("digits", "fashion")]
    keys = [[cell.key("1") for cell in study.files.told_apart(cells, files)] for files in ("", first, second)]
    assert len({key[0] for key in keys}) == 1
    assert len({key[1] for key in keys}) == 3
    assert study.files.fingerprint(None) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "want an idx file"),
        (b"\0\0\x0d\1" + b"\0" * 8, "want an idx file"),
        (idx(2, 3, body=b"\0" * 5), "has not the 6 numbers"),
        (idx(2, 3, body=b"\0" * 7), "has not the 6 numbers"),
        (idx(1 << 31, 1 << 31, body=b""), "want at most"),
    ],
)
def test_a_broken_idx_file_is_refused(study: Any, tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=said):
        study.data.read_idx(path)


def test_only_takes_parts_that_there_are(study: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["study", "--only", "r1,r9"])
    with pytest.raises(SystemExit):
        study.__main__.arguments()
    assert "'r9'" in capsys.readouterr().err
