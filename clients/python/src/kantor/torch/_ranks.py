"""One problem of all ranks of torch.distributed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch.distributed

from kantor._errors import InvalidArgumentError
from kantor._inputs import WITH_GRADIENTS, Input, Measure
from kantor._results import Evaluation

# The attributes of one input.
_Attributes = dict[str, Any]


def several() -> bool:
    """Whether there are other ranks to compute with."""
    distributed = torch.distributed
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def evaluate(
    inputs: Mapping[str, Input],
    gradients: tuple[str, ...],
    gathered: Collection[str] | None,
    solve: Callable[[dict[str, Input]], Evaluation],
) -> tuple[Evaluation, dict[str, Any]]:
    """Solves the problem whose inputs are the ranks' rows, one rank's after the other's.

    Rank 0 solves, and every rank gets the whole answer, or the error.

    Args:
        inputs: this rank's, arrays for tensors. Those that are not gathered are rank 0's.
        gradients: that are wanted, the same on every rank.
        gathered: the names of the inputs that every rank has rows of; None: each that has rows.
        solve: computes the joint problem.

    Returns:
        The joint answer, and the gradients for this rank: of its own rows times the number of ranks, so that their mean
        over the ranks, which is what DistributedDataParallel takes, is the joint gradient; of an input that is not
        gathered the joint one as it is.
    """
    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    parts = _parts(inputs, gathered)
    everyone: list[Any] = [None] * world
    torch.distributed.all_gather_object(everyone, (parts, gradients))
    # From here on every rank knows the same, and fails alike: one that failed alone would leave the others waiting.
    _check_alike(everyone, gathered)
    ranks: list[dict[str, _Attributes]] = [given for given, _ in everyone]
    answer: list[Any] = [None]
    if rank == 0:
        try:
            answer[0] = solve({**inputs, **_joint(ranks)})
        except Exception as error:  # whatever it is, the other ranks wait for it
            answer[0] = error
    torch.distributed.broadcast_object_list(answer, src=0)
    if isinstance(answer[0], Exception):
        raise answer[0]
    report: Evaluation = answer[0]
    own = dict(report.gradients)
    for path in own:
        name, _, field = path.rpartition(".")
        if name in parts:
            before = sum(len(given[name][field]) for given in ranks[:rank])
            own[path] = own[path][before : before + len(parts[name][field])] * world
    return report, own


def _parts(inputs: Mapping[str, Input], gathered: Collection[str] | None) -> dict[str, _Attributes]:
    """Returns the attributes of the inputs that are gathered."""
    whole = {name: Measure(value) if hasattr(value, "__array__") else value for name, value in inputs.items()}
    return {
        name: {"": type(value)} | {field.name: _rows(getattr(value, field.name)) for field in fields(value)}
        for name, value in whole.items()
        if isinstance(value, WITH_GRADIENTS) and (gathered is None or name in gathered)
    }


def _rows(value: Any) -> Any:
    return None if value is None else np.asarray(value)


def _check_alike(
    everyone: list[tuple[dict[str, _Attributes], tuple[str, ...]]], gathered: Collection[str] | None
) -> None:
    """Raises an InvalidArgumentError, on every rank the same one, where the ranks' inputs make no joint problem."""
    first, wanted = everyone[0]
    for name in gathered or ():
        if name not in first:
            raise InvalidArgumentError("gather", f"has {name}, which is no input with tensors of rows")
    for rank, (given, gradients) in enumerate(everyone):
        if list(given) != list(first):
            raise InvalidArgumentError("inputs", f"of rank {rank} are {[*given]}, of rank 0 {[*first]}: want the same")
        if gradients != wanted:
            reason = f"on rank {rank} is wanted in {[*gradients]}, on rank 0 in {[*wanted]}: want the same"
            raise InvalidArgumentError("requires_grad", reason)
        for name, attributes in given.items():
            for field, value in attributes.items():
                path, other = f'inputs["{name}"].{field}', first[name][field]
                if (value is None) != (other is None) or (not field and value != other):
                    raise InvalidArgumentError(path, f"of rank {rank} is given as on no other: want all or none")
                _check_rows(value, other, field, path)


def _check_rows(value: Any, first: Any, field: str, path: str) -> None:
    if not isinstance(value, np.ndarray):
        return
    # Points and the rows of distributions have one axis more than weights and concentrations; covariances two.
    axes = {"weights": 1, "concentration": 1, "covariance": 3}.get(field, 2)
    if field == "sizes" or value.ndim != axes:
        raise InvalidArgumentError(path, f"has shape {value.shape}, want one problem, without an axis of batches")
    if value.shape[1:] != first.shape[1:] or value.dtype != first.dtype:
        reason = f"is {value.dtype} of shape {value.shape}, on rank 0 {first.dtype} of {first.shape}: want rows alike"
        raise InvalidArgumentError(path, reason)


def _joint(ranks: list[dict[str, _Attributes]]) -> dict[str, Input]:
    """Returns the inputs with the rows of all ranks."""
    out = {}
    for name, attributes in ranks[0].items():
        columns = {field: [given[name][field] for given in ranks] for field in attributes if field}
        out[name] = attributes[""](
            **{field: None if rows[0] is None else np.concatenate(rows) for field, rows in columns.items()}
        )
    return out
