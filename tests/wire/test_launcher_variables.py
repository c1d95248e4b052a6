"""launcher_variables.py: which variables say what rank a process is."""

from __future__ import annotations

import pytest

from kernelfleet.wire.launcher_variables import rank_of, without_rank


@pytest.mark.parametrize(
    ("environment", "rank"),
    [
        ({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4", "PMIX_RANK": "2"}, (2, 4)),
        ({"PMI_RANK": "0", "PMI_SIZE": "3"}, (0, 3)),
        ({"PMIX_RANK": "1", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"}, (1, None)),
        ({"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8"}, (5, 8)),
        ({"PMI_RANK": "no number", "SLURM_PROCID": "1"}, (1, None)),
        ({"HOME": "/root"}, None),
    ],
)
def test_a_launcher_says_which_rank_a_process_is(
    environment: dict[str, str], rank: tuple[int, int | None] | None
) -> None:
    assert rank_of(environment) == rank


@pytest.mark.parametrize(
    "name",
    [
        *("OMPI_COMM_WORLD_RANK", "OMPI_UNIVERSE_SIZE", "OMPI_MCA_orte_ess_jobid"),
        *("OMPI_MCA_ess_base_vpid", "OMPI_MCA_initial_wdir", "PMIX_NAMESPACE", "PMIX_SERVER_URI2"),
        *("PMI_RANK", "PMI_FD", "PMI2_KVS", "PMI", "HYDI_CONTROL_FD", "HYD_X", "MPI_LOCALRANKID"),
        *("MPIR_PMI_X", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_ID", "SLURM_STEPID"),
        *("SLURM_GTIDS", "SLURM_SRUN_COMM_PORT", "PRTE_LAUNCHED", "FLUX_TASK_RANK", "PALS_RANKID"),
    ],
)  # fmt: skip
def test_what_makes_a_process_a_rank_is_left_out(name: str) -> None:
    assert without_rank({name: "1", "HOME": "/root"}) == {"HOME": "/root"}


@pytest.mark.parametrize(
    "name",
    [
        *("OMPI_MCA_btl", "OMPI_MCA_mpi_yield_when_idle", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"),
        *("MPIR_CVAR_POLLS_BEFORE_YIELD", "MPICH_VERSION", "PMIX_MCA_gds", "PMIXER"),
        *("SLURM_JOB_ID", "SLURM_JOB_NODELIST", "SLURM_NTASKS", "SLURM_CPUS_ON_NODE"),
        *("SLURM_ARRAY_TASK_ID", "SLURM_MPI_TYPE", "PATH", "OMP_NUM_THREADS", "OMPI_CC"),
    ],
)  # fmt: skip
def test_the_users_settings_and_what_describes_the_job_stay(name: str) -> None:
    assert without_rank({name: "1"}) == {name: "1"}
