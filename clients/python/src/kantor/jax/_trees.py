"""A call's arguments as a pytree of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kantor import _codec
from kantor._errors import InvalidArgumentError
from kantor._inputs import (
    Bernoulli,
    Categorical,
    ConeCriticState,
    Gaussian,
    GaussianMixture,
    Input,
    Measure,
    StandardNormal,
    UniformCube,
    UniformSphere,
    VonMisesFisher,
)

# The attributes that are arrays. The others are numbers that a compiled function is compiled for.
_ARRAYS: dict[Any, tuple[str, ...]] = {
    Measure: ("points", "weights", "sizes"),
    Gaussian: ("mean", "log_variance", "covariance"),
    Categorical: ("logits", "probabilities"),
    Bernoulli: ("logits", "probabilities"),
    VonMisesFisher: ("mean", "concentration"),
    StandardNormal: (),
    UniformCube: (),
    UniformSphere: (),
    GaussianMixture: ("means", "log_variance", "weights"),
    ConeCriticState: tuple(field.name for field in fields(ConeCriticState)),
}

_INTEGERS = ("sizes", "step")
_FLOATS = ("float16", "bfloat16", "float32", "float64")

for _kind, _arrays in _ARRAYS.items():
    _others = [field.name for field in fields(_kind) if field.name not in _arrays]
    jax.tree_util.register_dataclass(_kind, data_fields=list(_arrays), meta_fields=_others)


def arguments(inputs: Mapping[str, Input]) -> dict[str, Input]:
    """Returns the inputs with jax arrays in them, points alone as a Measure.

    Raises:
        InvalidArgumentError: one of them cannot be sent, and which.
    """
    out = {}
    for name, given in inputs.items():
        value = given if type(given) in _ARRAYS else Measure(given)
        attributes = {field: getattr(value, field) for field in _ARRAYS[type(value)]}
        arrays = {
            field: _array(part, f'inputs["{name}"].{field}') for field, part in attributes.items() if part is not None
        }
        out[name] = replace(value, **arrays)
    return out


def _array(value: Any, path: str) -> jax.Array:
    array = _any_array(value, path)
    if path.rpartition(".")[2] in _INTEGERS:
        if not jnp.issubdtype(array.dtype, jnp.integer):
            raise InvalidArgumentError(path, f"is {array.dtype}, want integers")
    elif array.dtype.name not in _FLOATS:
        reason = f"is {array.dtype}, want one of {', '.join(_FLOATS)}: convert it, as with .astype(jnp.float32)"
        raise InvalidArgumentError(path, reason)
    return array


def _any_array(value: Any, path: str) -> jax.Array:
    try:
        return jnp.asarray(value)
    except Exception as error:  # whatever jax, or what it is given, raises
        raise InvalidArgumentError(path, f"is no array: {error}") from error


def seed(value: Any) -> Any:
    """Returns a seed as an array: an integer, or two words of 32 bits, which are the same without 64-bit numbers.

    Raises:
        InvalidArgumentError: it is neither an integer in range nor a key.
    """
    if isinstance(value, int | np.integer):
        whole = _codec.seed(int(value))
        return np.array([whole & 0xFFFFFFFF, whole >> 32], np.uint32)
    array = _any_array(value, "seed")
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key) or (array.dtype == np.uint32 and array.shape == (2,)):
        return jax.random.bits(array, (2,), "uint32")
    if not jnp.issubdtype(array.dtype, jnp.integer) or array.shape:
        reason = f"is {array.dtype} of shape {array.shape}, want an integer or a key of jax.random"
        raise InvalidArgumentError("seed", reason)
    return array


def read_seed(array: Any) -> int:
    """Returns the seed in what `seed` returned."""
    return _codec.seed(int(array) if array.ndim == 0 else int(array[0]) | int(array[1]) << 32)


def override(value: Any, path: str) -> Any:
    """Returns a number of an override as an array: a number of Python's as the words of its 64 bits.

    So it arrives as it is where jax has 32 bits, and another number is no other function to compile.

    Raises:
        InvalidArgumentError: it is no number.
    """
    if isinstance(value, int | float | np.integer | np.floating):
        return np.array([value], np.float64).view(np.uint32)
    array = _any_array(value, path)
    if array.shape or not jnp.issubdtype(array.dtype, jnp.number) or jnp.iscomplexobj(array):
        raise InvalidArgumentError(path, f"is {array.dtype} of shape {array.shape}, want a number")
    return array


def read_override(array: Any) -> float:
    """Returns the number in what `override` returned."""
    return float(array) if array.ndim == 0 else float(array.view(np.float64)[0])
