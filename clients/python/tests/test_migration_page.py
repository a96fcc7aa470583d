"""What docs/migration.md says of the factors between libraries holds, live."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import kantor
from conftest import ROOT

PAGE = (ROOT / "docs" / "migration.md").read_text()
PREAMBLE, *BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.needs("geomloss", "ot", "torch")
@pytest.mark.filterwarnings("ignore::kantor.torch.AccuracyWarning")
def test_theirs_are_ours(client: kantor.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KANTOR_ADDRESS", client.address)
    names: dict[str, Any] = {}
    exec(compile(PREAMBLE, "docs/migration.md", "exec"), names)
    compared = 0
    for block in BLOCKS:  # a later one may go on with what an earlier one has imported
        names.pop("theirs", None)
        exec(compile(block, "docs/migration.md", "exec"), names)
        # GeomLoss's at a scaling of .999 is off by the square of what its schedule lags, a few times .001; the others
        # are right to their tolerances squared, and to rounding.
        tolerance = 1e-4 if "scaling=0.999" in block else 1e-9
        np.testing.assert_allclose(names["ours"], names["theirs"], rtol=tolerance, atol=1e-12, err_msg=block)
        compared += 1
    names["client"].close()
    assert compared == PAGE.count("\nours = ") > 6
