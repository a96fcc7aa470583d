"""Exact transport against POT's network simplex; each function measures one row."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict

import kantor
from bench import peers
from bench.measure import interleaved
from bench.problems import Problem
from bench.rows import Row, Session
from bench.server import calling


def exact_transport(session: Session, n: int, dim: int, power: int) -> Row:
    """W_p^p with its interval and the gradient in the source points, and the value alone from POT's `ot.emd2`."""
    problem = Problem(n, dim, 0.0)
    row: Row = {"kind": "exact", "n": n, "dim": dim, "p": power, "agreement": {}, "absent": {}}
    with ExitStack() as stack:
        term = kantor.Transport(p=power)
        calls = {"kantor": stack.enter_context(calling(session.server.client, term, *problem.clouds()))}
        value, _ = calls["kantor"]()
        if session.peers:
            calls["emd2"] = peers.emd2(problem, power)
            peer_value, _ = calls["emd2"]()
            row["agreement"]["emd2"] = {"value": abs(value - peer_value) / abs(peer_value)}
        row["ms"] = {name: asdict(timing) for name, timing in interleaved(calls, session.budget).items()}
    return row
