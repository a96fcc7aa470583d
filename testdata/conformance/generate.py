"""Writes the conformance cases beside this file. Every expected number is computed from a closed form, never by kantor.

The cases are the functions of the modules cases_*.py, which are called one after the other.
"""

import importlib
import inspect
import pathlib

for path in sorted(pathlib.Path(__file__).parent.glob("cases_*.py")):
    module = importlib.import_module(path.stem)
    for name, function in inspect.getmembers(module, inspect.isfunction):
        if name.endswith("_cases") and function.__module__ == module.__name__:
            function()
