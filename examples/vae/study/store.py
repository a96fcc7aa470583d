"""Keeps results, each in a file of its own that is there entirely or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from study.cells import Cell, Measured, Result, Row


class Store:
    """Results under a folder, by the keys of their cells."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, cell: Cell, version: str) -> Result | None:
        """Returns what came of a cell, None if it is still to be computed."""
        path = self._path(cell, version)
        if not path.exists():
            return None
        kept = json.loads(path.read_text())
        arrays: dict[str, np.ndarray] = {}
        if kept["arrays"]:
            with np.load(path.with_suffix(".npz")) as found:
                arrays = {name: found[name] for name in found.files}
        rows: list[Row] = [{**cell.params, **row} for row in kept["rows"]]
        return Result(cell, rows, arrays, kept["seconds"])

    def put(self, cell: Cell, version: str, measured: Measured, seconds: float) -> None:
        """Keeps what came of a cell; the arrays first, since the row says that they are there."""
        path = self._path(cell, version)
        if measured.arrays:
            part = path.with_suffix(".npz.part")
            with part.open("wb") as file:
                np.savez_compressed(file, **measured.arrays)  # type: ignore[arg-type]
            part.replace(path.with_suffix(".npz"))
        kept = {
            "params": dict(cell.params),
            "rows": measured.rows,
            "arrays": sorted(measured.arrays),
            "seconds": seconds,
        }
        part = path.with_suffix(".json.part")
        part.write_text(json.dumps(kept, indent=1))
        part.replace(path)

    def _path(self, cell: Cell, version: str) -> Path:
        return self._folder / f"{cell.part}-{cell.kind}-{cell.key(version)}.json"
