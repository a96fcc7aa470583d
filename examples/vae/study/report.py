"""Writes what was found: one HTML file with the pictures inside, and the Markdown, CSV and PNG files behind it."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from study import style
from study.cells import Row
from study.part import Conclusion, Part, Section, Tables

TITLE = "What swapping KL for transport does to the latent space of a β-VAE"
CSS = """
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; color: #222 }
h1, h2 { line-height: 1.2 } figure { margin: 1.5rem 0 } img { width: 100%; height: auto }
figcaption, .test { font-size: .85rem; color: #555 } li { margin: .6rem 0 }
table { border-collapse: collapse; font-size: .8rem; display: block; overflow-x: auto }
th, td { border-bottom: 1px solid #ddd; padding: .2rem .5rem; text-align: right }
th:first-child, td:first-child { text-align: left }
"""
HOW = (
    "Each sentence below was made from the rows named under it, by the test named there, when this report was "
    "written. A sentence with a p-value compares runs that share their seeds, six at the least; p-values are of the "
    "one sentence and not corrected for the number of sentences. Where there are fewer seeds the ranges are given and "
    "nothing is claimed beyond them. What is good for KL comes first."
)


@dataclass(frozen=True)
class Done:
    """A part that is whole, with its section and tables."""

    part: Part
    section: Section
    tables: Tables


def write(folder: Path, done: Sequence[Done], notes: Sequence[str]) -> Path:
    """Writes all files into a folder and returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {
        picture.name: style.png(picture.figure) for one in done for picture in one.section.pictures
    }  # each figure is closed by this
    for name, png in pictures.items():
        (folder / f"{name}.png").write_bytes(png)
    for one in done:
        for name, rows in one.tables.items():
            (folder / f"{name}.csv").write_text(csv_of(rows))
    (folder / "report.md").write_text(markdown(done, notes))
    page = folder / "index.html"
    page.write_text(html(done, notes, pictures))
    return page


def ordered(done: Sequence[Done]) -> list[Conclusion]:
    """All conclusions, those that are good for KL first."""
    found = [conclusion for one in done for conclusion in one.section.conclusions]
    return sorted(found, key=lambda conclusion: conclusion.favours != "KL")


def csv_of(rows: Sequence[Row]) -> str:
    """Returns rows as CSV; a column that some rows lack is empty there."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: rounded(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def rounded(value: object) -> object:
    """Returns a number with the seven digits that may mean something."""
    return float(f"{value:.7g}") if isinstance(value, float) else value


def markdown(done: Sequence[Done], notes: Sequence[str]) -> str:
    """The report as Markdown, its pictures beside it."""
    lines = [f"# {TITLE}", "", *(f"{note}\n" for note in notes), "## Conclusions", "", HOW, ""]
    for conclusion in ordered(done):
        lines += [f"- {conclusion.sentence}  ", f"  *{conclusion.test}. {conclusion.rows}*"]
    for one in done:
        lines += ["", f"## {one.part.title}", "", *(f"{text}\n" for text in one.section.text)]
        if one.section.summary:
            lines += [*table(one.section.summary), ""]
        for picture in one.section.pictures:
            lines += [f"![{one.part.title}: {picture.name}]({picture.name}.png)", "", f"*{picture.caption}*", ""]
        lines += ["Rows: " + ", ".join(f"[{name}.csv]({name}.csv)" for name in one.tables)]
    return "\n".join(lines) + "\n"


def table(rows: Sequence[Row]) -> list[str]:
    """The lines of a Markdown table."""
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return lines + ["| " + " | ".join(str(row[name]) for name in columns) + " |" for row in rows]


def html(done: Sequence[Done], notes: Sequence[str], pictures: dict[str, bytes]) -> str:
    """The report as one page."""
    body = [f"<h1>{escape(TITLE)}</h1>", *(f"<p>{escape(note)}</p>" for note in notes)]
    body += ["<h2>Conclusions</h2>", f"<p>{escape(HOW)}</p>", "<ul>"]
    for conclusion in ordered(done):
        said = f"{escape(conclusion.test)}. {escape(conclusion.rows)}"
        body.append(f'<li>{escape(conclusion.sentence)}<br><span class="test">{said}</span></li>')
    body.append("</ul>")
    for one in done:
        body += [f"<h2>{escape(one.part.title)}</h2>", *(f"<p>{escape(text)}</p>" for text in one.section.text)]
        body += html_table(one.section.summary)
        for picture in one.section.pictures:
            data = base64.b64encode(pictures[picture.name]).decode()
            caption = escape(picture.caption)
            body.append(
                f'<figure><img alt="{escape(picture.name)}" src="data:image/png;base64,{data}">'
                f"<figcaption>{caption}</figcaption></figure>"
            )
        links = ", ".join(f'<a href="{name}.csv">{name}.csv</a>' for name in one.tables)
        body.append(f"<p>Rows: {links}</p>")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(TITLE)}</title>'
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{CSS}</style></head>\n<body>\n' + "\n".join(
        [*body, "</body></html>\n"]
    )


def html_table(rows: Sequence[Row]) -> list[str]:
    """The lines of an HTML table, none without rows."""
    if not rows:
        return []
    columns = list(rows[0])
    lines = ["<table>", "<tr>" + "".join(f"<th>{escape(name)}</th>" for name in columns) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{escape(str(row[name]))}</td>" for name in columns) + "</tr>" for row in rows]
    return [*lines, "</table>"]
