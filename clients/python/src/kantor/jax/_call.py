"""A call as a function of jax whose derivative comes with its value."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kantor._errors import InvalidArgumentError, refusal_of_a_second_derivative
from kantor._inputs import DIFFERENTIABLE, WITH_GRADIENTS, Input
from kantor._objective import name_of
from kantor.jax import _trees
from kantor.jax._callback import call_back
from kantor.jax._report import Report
from kantor.jax._solve import Leaf, Solve


def evaluate(
    loss: Any, inputs: Mapping[str, Input], seed: Any, overrides: Mapping[str, Any], *, reports: bool
) -> tuple[Any, Report]:
    """Returns the value of a call of a Loss, and its report if that is wanted."""
    given = _trees.arguments(inputs)
    numbers = {name: _trees.override(value, f'overrides["{name}"]') for name, value in overrides.items()}
    paths, tree = jax.tree_util.tree_flatten_with_path((given, _trees.seed(seed), numbers))
    arrays = [array for _, array in paths]
    leaves = tuple(Leaf(*_names(given, path), array.shape, array.dtype) for path, array in paths)
    value, report, _ = _evaluate(Solve(loss, tree, leaves, _widest(leaves), reports), *arrays)
    return value, dict(zip(map(name_of, loss.terms), report, strict=True)) if reports else {}


def _names(inputs: Mapping[str, Input], path: Any) -> tuple[str, str]:
    """Returns where an array stands and the name of its gradient, from jax's path of it."""
    kind, *rest = path
    if not rest:
        return "seed", ""
    if kind.idx:
        return f'overrides["{rest[0].key}"]', ""
    name, field = rest[0].key, rest[1].name
    learns = isinstance(inputs[name], WITH_GRADIENTS) and field in DIFFERENTIABLE
    return f'inputs["{name}"].{field}', f"{name}.{field}" if learns else ""


def _widest(leaves: tuple[Leaf, ...]) -> Any:
    """Returns the number format of a value: float64 if an array is, or if there is none and jax has it."""
    formats = {leaf.dtype for leaf in leaves if leaf.gradient} or {jnp.result_type(float)}
    return np.dtype(np.float64 if np.dtype(np.float64) in formats else np.float32)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _evaluate(solve: Solve, *arrays: Any) -> Any:
    """Returns the value, the report, and the gradients that are wanted."""
    solve.loss._stream(solve.gradients)  # the objective is refused here, where jax leaves an error what it is
    if any(isinstance(array, jax.core.Tracer) for array in arrays):
        return call_back(solve, (), arrays)
    return jax.tree_util.tree_map(jnp.asarray, solve([np.asarray(array) for array in arrays]))


def _forward(solve: Solve, *primals: Any) -> Any:
    """Asks for what jax differentiates in, beside what is wanted already where it differentiates a gradient's call."""
    learnt = [i for i, primal in enumerate(primals) if primal.perturbed]
    for i in learnt:
        if not solve.leaves[i].gradient:
            reason = "has no gradient: want it without one, as after jax.lax.stop_gradient"
            raise InvalidArgumentError(solve.leaves[i].path, reason)
    asked = tuple(sorted({*solve.wanted, *learnt}))
    value, report, answered = _evaluate(replace(solve, wanted=asked), *(primal.value for primal in primals))
    gradients = dict(zip(asked, answered, strict=True))
    # jax wants as many residuals whatever it differentiates in (jax-ml/jax#16614): zeros where it does not.
    residuals = tuple(
        gradients[i] if i in learnt else jnp.zeros(leaf.shape, leaf.wire)
        for i, leaf in enumerate(solve.leaves)
        if leaf.gradient
    )
    return (value, report, tuple(gradients[i] for i in solve.wanted)), residuals


def _backward(solve: Solve, gradients: tuple[Any, ...], upstream: Any) -> tuple[Any, ...]:
    value, report, second = upstream
    if any(map(_flows, second)):
        raise refusal_of_a_second_derivative("; jax.lax.stop_gradient makes a constant of a gradient")
    if any(map(_flows, jax.tree_util.tree_leaves(report))):
        raise RuntimeError("a report has no gradient: want jax.lax.stop_gradient(report) where it goes into a value")
    if not _flows(value):
        return tuple(None for _ in solve.leaves)
    left = iter(gradients)
    return tuple(_scaled(next(left), value, leaf.dtype) if leaf.gradient else None for leaf in solve.leaves)


def _scaled(gradient: Any, upstream: Any, dtype: Any) -> Any:
    """Returns upstream times gradient: multiplied in the gradient's format, which is no half, and then cast once."""
    return (gradient * upstream.astype(gradient.dtype)).astype(dtype)


def _flows(cotangent: Any) -> bool:
    """Whether something is differentiated in what this is the cotangent of."""
    return not isinstance(cotangent, jax.custom_derivatives.SymbolicZero) and cotangent.dtype != jax.dtypes.float0


_evaluate.defvjp(_forward, _backward, symbolic_zeros=True)
