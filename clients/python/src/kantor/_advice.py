"""What kantor.explain returns."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from kantor._terms import Debias, Sinkhorn


class Finding(NamedTuple):
    """One thing that kantor.explain has seen.

    Attributes:
        topic: `blur`, `debias`, `difference`, `units`, `duplicates`, `tails` or `time`; each comes once at most.
        sentence: what was seen and what follows, in words.
        numbers: those of the sentence, by name, as computed in this call.
    """

    topic: str
    sentence: str
    numbers: Mapping[str, float]


@dataclass(frozen=True, eq=False, repr=False)
class Advice:
    """What kantor.explain advises: a line for the term as one writes it, and one for each finding.

    Attributes:
        term: what is advised, for `client.evaluate(advice.term, source=x, target=y)`.
        findings: what was seen. The same clouds and seed give the same, but for the topic `time`.
    """

    term: Sinkhorn
    findings: tuple[Finding, ...]

    @property
    def blur(self) -> float | None:
        """The blur of the term, a length in the units of the points; None where the points have no spread."""
        return self.term.blur

    @property
    def debias(self) -> Debias | None:
        """The debiasing of the term."""
        return self.term.debias

    def numbers(self, topic: str) -> Mapping[str, float]:
        """Returns the numbers of a topic; none where nothing was found."""
        return next((finding.numbers for finding in self.findings if finding.topic == topic), {})

    def __str__(self) -> str:
        width = max(len(finding.topic) for finding in self.findings)
        return "\n".join([self._call, *(f"{topic:{width}}  {sentence}" for topic, sentence, _ in self.findings)])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        rows = (
            f"<tr><th style='text-align:left'>{html.escape(topic)}</th>"
            f"<td style='text-align:left'>{html.escape(sentence)}</td></tr>"
            for topic, sentence, _ in self.findings
        )
        return f"<code>{html.escape(self._call)}</code><table>{''.join(rows)}</table>"

    @property
    def _call(self) -> str:
        """The term as one writes it."""
        given = {"blur": self.term.blur, "debias": self.term.debias, "reach": self.term.reach}
        return f"kantor.Sinkhorn({', '.join(f'{k}={v!r}' for k, v in given.items() if v is not None)})"
