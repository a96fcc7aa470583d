"""Tables and numbers as the report writes them."""

from __future__ import annotations


def table(head: list[str], lines: list[list[str]]) -> str:
    """A table with its head, ending in a newline."""
    cells = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells) + "\n"


def milliseconds(value: float) -> str:
    """A time to three digits."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def ratio(value: float) -> str:
    """How many times faster kantor is; bold where it is slower."""
    shown = f"{value:.2f}" if value < 2 else f"{value:.1f}" if value < 100 else f"{value:.0f}"
    return f"**{shown}**" if value < 1 else shown


def percent(value: float) -> str:
    """A fraction to two digits."""
    return f"{100 * value:.2g} %" if value < 1 else f"{100 * value:.0f} %"
