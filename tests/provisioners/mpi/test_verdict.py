"""verdict.py: who has ended a world."""

from __future__ import annotations

import pytest

from kernelfleet.provisioners.mpi.verdict import Ending, Verdict, judge

OPEN_MPI = """
--------------------------------------------------------------------------
MPI_ABORT was invoked on rank 2 in communicator MPI_COMM_WORLD
with errorcode 7.

NOTE: invoking MPI_ABORT causes Open MPI to kill all MPI processes.
"""
MPICH = "Abort(7) on node 2 (rank 2 in comm 0): application called MPI_Abort(MPI_COMM_WORLD, 7)"
#: Open MPI's words about a rank that has ended without MPI_Finalize.
IMPROPER = """
3. this process called "MPI_Abort" or "orte_abort" and the mca parameter
orte_create_session_dirs is set to false. In this case, the run-time cannot
"""
KILLED = Ending(-9, told=True)


@pytest.mark.parametrize("words", [OPEN_MPI, MPICH])
def test_whoever_has_called_abort_is_named_though_another_ended_first(words: str) -> None:
    assert judge({0: KILLED, 2: Ending(7, told=False)}, words, 7, launcher_lost=True) == Verdict(
        2, "it called MPI_Abort(7)"
    )


def test_who_ended_first_and_was_not_told_to_is_named_with_his_exit_code() -> None:
    endings = {1: KILLED, 3: Ending(-11, told=False), 0: Ending(1, told=False)}
    assert judge(endings, IMPROPER, None, launcher_lost=False) == Verdict(3, code=-11)


@pytest.mark.parametrize(
    ("code", "lost", "text"),
    [
        (-9, True, "the MPI launcher was killed by signal 9 (SIGKILL)"),
        (-999, True, "the MPI launcher was killed by signal 999"),
        (None, True, "the MPI launcher has ended"),
        (7, False, "a rank called MPI_Abort or was killed; the MPI launcher ended with 7"),
        (None, False, "all ranks have ended at once"),
    ],
)
def test_where_no_rank_is_at_fault_nobody_is_accused(
    code: int | None, lost: bool, text: str
) -> None:
    assert judge({0: KILLED, 1: KILLED}, "", code, launcher_lost=lost) == Verdict(None, text)
