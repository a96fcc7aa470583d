"""What can be imported, and what that costs."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import kantor


def test_every_public_name_is_there_and_documented() -> None:
    assert sorted(kantor.__all__) == dir(kantor)
    for name in kantor.__all__:
        assert getattr(kantor, name).__doc__, name


def test_public_classes_are_the_ones_without_underscore_in_the_private_modules() -> None:
    defined = {"explain"}  # the one function
    for private in (
        *("_errors", "_inputs", "_objective", "_terms", "_divergences", "_diagnostics", "_results", "_advice", "_tls"),
        *("_stream", "_client"),
    ):
        module = importlib.import_module(f"kantor.{private}")
        defined |= {
            name
            for name, value in vars(module).items()
            if isinstance(value, type) and value.__module__ == module.__name__ and not name.startswith("_")
        }
    assert defined == set(kantor.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sinkhornn'"):
        _ = kantor.Sinkhornn  # type: ignore[attr-defined]


def test_import_brings_no_other_package() -> None:
    code = (
        "import kantor, sys; kantor.Sinkhorn() + kantor.Mmd(); kantor.Measure; "
        "print(*{'google', 'grpc', 'jax', 'matplotlib', 'numpy', 'torch'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""


def test_the_client_for_asyncio_comes_with_its_name() -> None:
    code = (
        "import kantor, sys; before = 'asyncio' in sys.modules; kantor.aio.Client; "
        "print(before, 'kantor.aio' in sys.modules, *{'jax', 'torch'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "True"]


def test_the_public_names_of_the_client_for_asyncio_are_documented() -> None:
    for name in kantor.aio.__all__:
        kind = getattr(kantor.aio, name)
        assert kind.__doc__, name
        for method, function in vars(kind).items():
            assert method.startswith("_") or function.__doc__, f"{name}.{method}"


def test_a_client_brings_neither_torch_nor_jax() -> None:
    code = (
        "import kantor, sys; kantor.Client; kantor.explain; print(*{'jax', 'matplotlib', 'torch'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""
