"""Writes Kubernetes' JSON schemas as files that kubeconform reads without a network.

    python tools/deploy/schemas.py VERSION FOLDER

The package kubernetes-validate carries them, strict ones too, but as one file of definitions that the others refer to.
Here every kind is a file of its own with all definitions that it needs inside.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

# What references end with, before a definition's name; some have the definitions' file before that.
DEFINITIONS = "#/$defs/"


def main() -> None:
    """Writes FOLDER/KIND-GROUP-VERSION.json for every kind."""
    version, folder = sys.argv[1], Path(sys.argv[2])
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or spec.origin is None:
        sys.exit("the package kubernetes-validate is not installed")
    schemas = Path(spec.origin).parent / "kubernetes-json-schema" / f"v{version}-local-strict"
    if not schemas.is_dir():
        known = sorted(path.name for path in schemas.parent.glob("*-local-strict"))
        sys.exit(f"there are no schemas of Kubernetes {version}, want one of {known}")
    definitions = json.loads((schemas / "_definitions.json").read_text())["$defs"]
    folder.mkdir(parents=True, exist_ok=True)
    kinds = [path for path in schemas.glob("*-*.json") if "x-kubernetes-group-version-kind" in path.read_text()]
    for path in kinds:
        (folder / path.name).write_text(json.dumps(standalone(json.loads(path.read_text()), definitions)))
    print(f"{len(kinds)} schemas of Kubernetes {version}")


def standalone(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A schema with the definitions that it needs, directly or through others."""
    needed: dict[str, Any] = {}
    waiting = references(schema)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = inside(definitions[name])
            waiting |= references(definitions[name])
    return {**{key: value for key, value in inside(schema).items() if key != "$id"}, "$defs": needed}


def references(node: Any) -> set[str]:
    """The names of the definitions that a schema refers to."""
    if isinstance(node, list):
        return set().union(*map(references, node))
    if not isinstance(node, dict):
        return set()
    own = {node["$ref"].rpartition(DEFINITIONS)[2]} if isinstance(node.get("$ref"), str) else set()
    return own.union(*map(references, node.values()))


def inside(node: Any) -> Any:
    """A schema whose references point into the same file."""
    if isinstance(node, list):
        return [inside(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: DEFINITIONS + value.rpartition(DEFINITIONS)[2]
        if key == "$ref" and isinstance(value, str)
        else inside(value)
        for key, value in node.items()
    }


if __name__ == "__main__":
    main()
