"""The unit of work: one training run or one estimate."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Literal, TypeAlias

import numpy as np

import kantor

Value: TypeAlias = str | int | float | bool
Row: TypeAlias = dict[str, Value]
Profile: TypeAlias = Literal["quick", "default", "full"]


@dataclass(frozen=True)
class Cell:
    """What is to be computed.

    Attributes:
        part: that it belongs to, `r1`.
        kind: of the part's kinds of cells; its rows go to the table `part_kind.csv`.
        params: all that its result depends on, the seed included.
    """

    part: str
    kind: str
    params: Mapping[str, Value]

    def key(self, version: str) -> str:
        """Returns the name under which it is kept: of its parameters and of the code that computes it."""
        text = json.dumps([self.part, self.kind, version, sorted(self.params.items())])
        return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Measured:
    """What came of a cell.

    Attributes:
        rows: of the kind's table, without the parameters, which are put in front.
        arrays: what pictures are drawn from.
    """

    rows: list[Row]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """A cell with what came of it, as it is kept."""

    cell: Cell
    rows: list[Row]
    arrays: dict[str, np.ndarray]
    seconds: float


@dataclass(frozen=True)
class World:
    """What a cell is computed with, none of which its result may depend on.

    Attributes:
        client: of a live server.
        data: folder with the idx files of Fashion-MNIST, if there is one.
        files: what tells its files from Debian's, empty for those; None without a folder.
    """

    client: kantor.Client
    data: Path | None = None
    files: str | None = None


def version_of(modules: Sequence[ModuleType]) -> str:
    """Returns a hash of what the modules do: comments and line breaks do not count."""
    trees = [ast.dump(ast.parse(inspect.getsource(module))) for module in modules]
    return hashlib.sha256("\n".join(trees).encode()).hexdigest()[:12]


Compute: TypeAlias = Callable[[Cell, World], Measured]
