"""Reads a recipe of Apptainer's and checks what it says.

python tools/deploy/recipe.py FILE
"""

from __future__ import annotations

import sys

from spython.main.parse.parsers import SingularityParser


def main() -> None:
    """Exits with 1 where a part is missing or is not read as it is meant."""
    recipe = SingularityParser(sys.argv[1]).parse()["spython-base"]
    wants = {
        "base": (recipe.fromHeader, "debian:bookworm-slim"),
        "files": (set(recipe.files), {"out/image/linux-amd64/kantor /usr/local/bin/kantor"}),
        "runscript": (recipe.cmd, 'exec /usr/local/bin/kantor "$@"'),
    }
    for part, (got, want) in wants.items():
        print(f"{part}: {got}")
        if got != want:
            sys.exit(f"{sys.argv[1]}: {part} is {got}, want {want}")


if __name__ == "__main__":
    main()
