"""Which processes of this machine are ranks of one job, by what launchers put into their environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from kantor._errors import InvalidArgumentError

OFF = "0"
_AUTOMATIC = "1"


def job(share: bool | str | None = None, environment: Mapping[str, str] = os.environ) -> str:
    """Returns the name that whoever shares a server has in common; empty: this process has one to itself.

    Args:
        share: True: shares with the other ranks of its job; False: does not; a name: shares with all of that name.
            None: $KANTOR_SHARE, which is 1, 0 or a name, and 1 where it is not set.
        environment: of the process.

    Raises:
        InvalidArgumentError: the name is empty.
    """
    if share is None:
        share = environment.get("KANTOR_SHARE") or _AUTOMATIC
        share = {OFF: False, _AUTOMATIC: True}.get(share, share)
    if share == "":
        raise InvalidArgumentError("share", "got '', want True, False or a name")
    if isinstance(share, str):
        return f"the name {share}"
    if not share:
        return ""
    # A launcher may run under another: torchrun with eight ranks as the one task of SLURM's, or with one in each task.
    return next((name for name, ranks in _launchers(environment) if ranks != 1), "")


def _launchers(environment: Mapping[str, str]) -> Iterator[tuple[str, int | None]]:
    """The jobs that this process is in, innermost first, and how many ranks of each are here; None: it is not told."""
    get = environment.get
    if get("LOCAL_RANK") and get("MASTER_PORT"):
        # Jobs without an id of their own are all `none`; no two at once have the same port of the same master.
        run = f"torchrun {get('TORCHELASTIC_RUN_ID', 'none')} of {get('MASTER_ADDR', '')}:{get('MASTER_PORT')}"
        yield run, _most(get("LOCAL_WORLD_SIZE") or get("WORLD_SIZE"))
    if get("OMPI_COMM_WORLD_LOCAL_RANK"):
        # Without either, the daemon that started the ranks of this machine.
        space = get("PMIX_NAMESPACE") or get("OMPI_MCA_ess_base_jobid") or f"of process {os.getppid()}"
        yield f"Open MPI {space}", _most(get("OMPI_COMM_WORLD_LOCAL_SIZE"))
    if get("SLURM_JOB_ID") and get("SLURM_LOCALID"):
        counts = ("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE", "SLURM_NTASKS_PER_NODE")
        ranks = next((get(name) for name in counts if get(name)), None)
        yield f"SLURM {get('SLURM_JOB_ID')}.{get('SLURM_STEP_ID', 'batch')}", _most(ranks)


def _most(counts: str | None) -> int | None:
    """The largest of the counts of nodes, `8` or `2(x3),1`: which of them is this node's is not told."""
    numbers = re.findall(r"(?:^|,)(\d+)", counts or "")
    return max(map(int, numbers), default=None)
