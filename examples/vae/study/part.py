"""What a part of the study is, and what it hands to the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import TypeAlias

from matplotlib.figure import Figure

from study.cells import Cell, Compute, Profile, Result, Row

Tables: TypeAlias = dict[str, list[Row]]


@dataclass(frozen=True)
class Conclusion:
    """One sentence, and what stands behind it.

    Attributes:
        sentence: what the rows say.
        test: which test it rests on, with its numbers; or the ranges, where there is none.
        rows: which rows of which table.
        favours: whom the sentence is good for, if it compares: `KL` is said first.
    """

    sentence: str
    test: str
    rows: str
    favours: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure with its file's name, and what one sees in it."""

    name: str
    figure: Figure
    caption: str


@dataclass(frozen=True)
class Section:
    """A part's share of the report.

    Attributes:
        text: paragraphs: what was asked and how it was measured.
        pictures: in the order in which they are read.
        conclusions: likewise.
        summary: a small table, rows of equal keys, its numbers rounded.
    """

    text: list[str]
    pictures: list[Picture]
    conclusions: list[Conclusion]
    summary: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Part:
    """A question with the cells that answer it.

    Attributes:
        name: `r1`.
        title: of its section.
        code: modules whose change makes the cells anew.
        compute: one cell.
        plan: the cells of a profile; the second argument is whether there is Fashion-MNIST.
        section: makes the section of the results of a profile's cells, by the names of the tables.
        budget: seconds that the cells of each profile take on two cores.
    """

    name: str
    title: str
    code: tuple[ModuleType, ...]
    compute: Compute
    plan: Callable[[Profile, bool], list[Cell]]
    section: Callable[[list[Result]], Section]
    budget: Mapping[Profile, float]


def tables_of(results: list[Result]) -> Tables:
    """Returns the rows of each kind under `part_kind`, each with the seconds that its cell took."""
    tables: Tables = {}
    for result in results:
        rows = tables.setdefault(f"{result.cell.part}_{result.cell.kind}", [])
        rows += [{**row, "seconds": round(result.seconds, 3)} for row in result.rows]
    return tables


def where(rows: list[Row], **wanted: object) -> list[Row]:
    """Returns the rows with these values."""
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def named(table: str, count: int, **wanted: object) -> str:
    """Says which rows of which table: `r1_vae.csv: beta = 1 (6 rows)`."""
    conditions = ", ".join(f"{name} = {value}" for name, value in wanted.items()) or "all"
    return f"{table}.csv: {conditions} ({count} rows)"
