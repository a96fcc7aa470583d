"""A computation by the server as an operation of compiled functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from kantor.jax._solve import Solve

# jax copies what it calls back with by a thread of its own where it has 100 kB or more, and the function that is called
# back waits for that. Where it keeps the only thread, or all of them, it waits for ever (jax-ml/jax#24255, #25861).
# Smaller arrays are copied at once: so large ones come in pieces.
_PIECE_BYTES = 1 << 16


@dataclass(frozen=True)
class _Assembled:
    """A computation of arrays that come in pieces. Two that do the same are equal, so that jax compiles them once."""

    solve: Solve
    shapes: tuple[tuple[int, ...], ...]

    def __call__(self, *pieces: Any) -> Any:
        left = iter(pieces)
        arrays = []
        for shape, leaf in zip(self.shapes, self.solve.leaves, strict=True):
            parts = [np.asarray(next(left)) for _ in _cuts(math.prod(shape), leaf.dtype)]
            arrays.append(np.concatenate(parts).reshape(shape))
        return self.solve(arrays)


def _cuts(size: int, dtype: Any) -> list[slice]:
    """Returns where an array of that many elements is cut; one without elements is a piece too."""
    step = _PIECE_BYTES // dtype.itemsize
    return [slice(at, at + step) for at in range(0, max(1, size), step)]


def call_back(solve: Solve, lead: tuple[int, ...], arrays: Sequence[Any]) -> Any:
    """Puts a computation into what is being compiled.

    Args:
        solve: the computation.
        lead: lengths of the axes that vmap mapped, in front of all results.
        arrays: its arrays, with these axes in front, of length 1 where an array is not mapped.
    """

    @jax.custom_batching.custom_vmap
    def call(*arrays: Any) -> Any:
        pieces = [array.reshape(-1)[cut] for array in arrays for cut in _cuts(array.size, array.dtype)]
        results = jax.tree_util.tree_map(lambda one: jax.ShapeDtypeStruct(lead + one.shape, one.dtype), solve.results())
        return jax.pure_callback(_Assembled(solve, tuple(array.shape for array in arrays)), results, *pieces)

    @call.def_vmap
    def batched(size: int, mapped: Sequence[bool], *arrays: Any) -> Any:
        wider = [array if many else array[None] for array, many in zip(arrays, mapped, strict=True)]
        out = call_back(solve, (size, *lead), wider)
        return out, jax.tree_util.tree_map(lambda _: True, out)

    return call(*arrays)
