"""What docs/mathematics.md shows of `kantor eval` is what it prints. Its other commands are the Go tests' matter."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from conftest import BINARY, ROOT

PAGE = (ROOT / "docs" / "mathematics.md").read_text()
BLOCKS = re.findall(r"^```console\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_commands_print_what_is_shown(tmp_path: Path) -> None:
    """One after the other in one folder: each line that does not begin with a dollar is a part of what is printed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), str(BINARY.parent), os.environ["PATH"]])
    compared = 0
    for line in "".join(BLOCKS).splitlines():
        if line.startswith("$ "):
            out = subprocess.run(
                ["bash", "-c", line[2:]],
                cwd=tmp_path,
                env={**os.environ, "PATH": path},
                capture_output=True,
                text=True,
                check=False,
            )
            assert out.returncode == 0, (line, out.stderr)
        else:
            check(json.loads(line, parse_float=Decimal), json.loads(out.stdout), line)
            compared += 1
    assert compared == PAGE.count("$ kantor eval") >= 5


def check(shown: Any, printed: Any, where: str) -> None:
    """Of objects the keys that are shown, of numbers the digits."""
    if isinstance(shown, dict):
        for key, value in shown.items():
            check(value, printed[key], where)
    elif isinstance(shown, list):
        assert len(shown) == len(printed), where
        for one, other in zip(shown, printed, strict=True):
            check(one, other, where)
    elif isinstance(shown, Decimal):
        digits = -int(shown.as_tuple().exponent)
        assert abs(printed - float(shown)) <= 0.5000001 * 10**-digits, (where, printed)
    else:
        assert shown == printed, where
