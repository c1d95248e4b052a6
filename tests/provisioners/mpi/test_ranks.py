"""ranks.py: what is wrong with a rank that reports. Its classes are held by world and part."""

from __future__ import annotations

import pytest

from kernelfleet.provisioners.mpi.ranks import problem_of_rank


@pytest.mark.parametrize(
    ("rank", "size", "is_new", "problem"),
    [
        (0, 2, True, ""),
        (1, None, True, ""),
        (0, 1, True, "has started 1 ranks, not 2"),
        (2, None, True, "has started more ranks, not 2"),
        (1, 2, False, "rank 1 more than once: the ranks do not know of each other"),
    ],
)
def test_a_rank_that_cannot_be_of_this_world_is_told(
    rank: int, size: int | None, is_new: bool, problem: str
) -> None:
    told = problem_of_rank(rank, size, 2, is_new=is_new)
    assert problem in told
    assert bool(told) == bool(problem)
