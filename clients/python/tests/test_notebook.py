"""Notebooks: their cells in a real kernel, which is told, interrupted, started again and killed as by Jupyter."""

from __future__ import annotations

import asyncio
import os
import signal
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from jupyter_core.utils import run_sync

from conftest import BINARY
from test_server import wait_until_gone

CELLS = {
    "client": f"""
        import threading
        import numpy as np
        import kantor
        client = kantor.Client(binary={str(BINARY)!r}, timeout=60)
        print(client._server._process.pid)
    """,
    "evaluate": """
        x, y = np.random.default_rng(1).standard_normal((2, 2000, 8))
        client.evaluate(kantor.Sinkhorn("x", "y", blur=0.5), x=x[:300], y=y[:300], gradients=["x.points"])
    """,
    "train": """
        import torch
        import kantor.torch
        z = (3 * torch.randn(64, 2, generator=torch.Generator().manual_seed(0))).requires_grad_()
        criterion = kantor.torch.Loss(kantor.Sinkhorn("z", "prior", blur=0.5), client)
        optimizer = torch.optim.SGD([z], lr=20)
        losses = []
        for step in range(10):
            loss = criterion(z=z, prior=kantor.StandardNormal(), seed=0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(losses[-1] < losses[0] / 2)
    """,
    # Minutes of work.
    "slow": """
        threading.Timer(0.3, print, ["INTERRUPT"]).start()
        client.evaluate(kantor.Sinkhorn("x", "y", blur=0.001, tolerance=1e-12, max_iterations=100_000), x=x, y=y)
    """,
    "slow step": """
        slow = kantor.torch.Loss(kantor.Sinkhorn("x", "y", blur=0.001, tolerance=1e-12, max_iterations=100_000), client)
        threading.Timer(0.3, print, ["INTERRUPT"]).start()
        slow(x=torch.from_numpy(x), y=torch.from_numpy(y))
    """,
    "after": """
        print(client.evaluate(kantor.GaussianKl(), posterior=kantor.Gaussian(np.ones((2, 2)), np.zeros((2, 2)))).value)
        print(criterion(z=z, prior=kantor.StandardNormal(), seed=0).item() > 0)
    """,
}


v4: Any = nbformat.v4  # which has no types


class Notebook(nbclient.NotebookClient):
    """Runs cells, and interrupts the kernel when one prints INTERRUPT."""

    km: Any
    kc: Any

    def output(self, outs: Any, msg: Any, display_id: str | None, cell_index: int) -> Any:
        """Takes what a cell prints."""
        if "INTERRUPT" in msg["content"].get("text", ""):
            self.interrupting = asyncio.ensure_future(self.km.interrupt_kernel())
        return super().output(outs, msg, display_id, cell_index)

    def run(self, name: str) -> Any:
        """Runs a cell and returns the last thing that it left."""
        cell = v4.new_code_cell(textwrap.dedent(CELLS[name]))
        self.nb.cells.append(cell)
        return self.execute_cell(cell, len(self.nb.cells) - 1)["outputs"][-1]


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    made = Notebook(v4.new_notebook(), timeout=60, allow_errors=True, kernel_name="python3")
    with made.setup_kernel():
        yield made


def test_cells_evaluate_train_and_are_interrupted(notebook: Notebook) -> None:
    """And a kernel that is started again leaves no server behind."""
    server = int(notebook.run("client")["text"])
    shown = notebook.run("evaluate")["data"]["text/plain"].splitlines()
    assert shown[0].startswith("Evaluation(value=")
    assert shown[-1] == "  gradient x.points: float64[300, 8]"
    assert notebook.run("train")["text"] == "True\n"
    for interrupted in ("slow", "slow step"):
        assert notebook.run(interrupted)["ename"] == "KeyboardInterrupt"
        assert notebook.run("after")["text"] == "1.0\nTrue\n"
    run_sync(notebook.km.restart_kernel)()
    run_sync(notebook.kc.wait_for_ready)(timeout=60)
    wait_until_gone(server, 10)
    assert int(notebook.run("client")["text"]) != server


def test_a_kernel_that_is_killed_leaves_no_server(notebook: Notebook) -> None:
    server = int(notebook.run("client")["text"])
    os.kill(notebook.km.provisioner.pid, signal.SIGKILL)
    wait_until_gone(server, 10)
