"""Which processes share a server, by the environments that launchers make."""

from __future__ import annotations

import os

import pytest

import kantor
from kantor._jobs import job

TORCHRUN = {
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "8",
    "TORCHELASTIC_RUN_ID": "none",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}
SLURM = {"SLURM_JOB_ID": "17", "SLURM_STEP_ID": "0", "SLURM_LOCALID": "3", "SLURM_TASKS_PER_NODE": "8(x2),1"}
OPEN_MPI = {"OMPI_COMM_WORLD_LOCAL_RANK": "0", "OMPI_COMM_WORLD_LOCAL_SIZE": "2", "PMIX_NAMESPACE": "prterun-host-5@1"}


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, ""),
        (TORCHRUN, "torchrun none of 127.0.0.1:29500"),
        (SLURM, "SLURM 17.0"),
        (OPEN_MPI, "Open MPI prterun-host-5@1"),
        ({**OPEN_MPI, "PMIX_NAMESPACE": "", "OMPI_MCA_ess_base_jobid": "9"}, "Open MPI 9"),
        ({**OPEN_MPI, "PMIX_NAMESPACE": ""}, f"Open MPI of process {os.getppid()}"),
        # Lightning's launcher tells no number and no id.
        ({"LOCAL_RANK": "0", "MASTER_PORT": "1", "WORLD_SIZE": "4"}, "torchrun none of :1"),
        ({"LOCAL_RANK": "0", "MASTER_PORT": "1"}, "torchrun none of :1"),
        ({"LOCAL_RANK": "0", "MASTER_PORT": "1", "WORLD_SIZE": "1"}, ""),
        # A variable of a cluster's that is set for a single process.
        ({"LOCAL_RANK": "0"}, ""),
        ({"SLURM_JOB_ID": "17"}, ""),
        ({**SLURM, "SLURM_STEP_ID": "", "SLURM_TASKS_PER_NODE": "1(x4)"}, ""),
        ({**SLURM, "SLURM_STEP_TASKS_PER_NODE": "1"}, ""),
        ({**SLURM, "SLURM_TASKS_PER_NODE": ""}, "SLURM 17.0"),
        ({**SLURM, "SLURM_TASKS_PER_NODE": "", "SLURM_NTASKS_PER_NODE": "1"}, ""),
        # The innermost launcher that has several ranks here.
        ({**SLURM, **TORCHRUN}, "torchrun none of 127.0.0.1:29500"),
        ({**SLURM, **TORCHRUN, "LOCAL_WORLD_SIZE": "1"}, "SLURM 17.0"),
        ({**TORCHRUN, "LOCAL_WORLD_SIZE": "1"}, ""),
    ],
)
def test_jobs(environment: dict[str, str], name: str) -> None:
    assert job(environment=environment) == name


@pytest.mark.parametrize("variable", ["MASTER_PORT", "MASTER_ADDR", "TORCHELASTIC_RUN_ID"])
def test_two_jobs_of_torchrun_differ(variable: str) -> None:
    assert job(environment=TORCHRUN) != job(environment={**TORCHRUN, variable: "7"})


@pytest.mark.parametrize("variable", ["SLURM_JOB_ID", "SLURM_STEP_ID"])
def test_two_steps_of_slurm_differ(variable: str) -> None:
    assert job(environment=SLURM) != job(environment={**SLURM, variable: "7"})


def test_who_says_whether_to_share() -> None:
    torchrun = job(environment=TORCHRUN)
    for setting, name in (("0", ""), ("1", torchrun), ("", torchrun), ("mine", "the name mine")):
        assert job(environment={**TORCHRUN, "KANTOR_SHARE": setting}) == name
    assert job(False, {**TORCHRUN, "KANTOR_SHARE": "1"}) == ""
    assert job(True, {**TORCHRUN, "KANTOR_SHARE": "0"}) == torchrun
    assert job("ours", {"KANTOR_SHARE": "0"}) == "the name ours"
    with pytest.raises(kantor.InvalidArgumentError, match=r"^share: got '', want True, False or a name$"):
        job("")
