"""ipython1.py: what tests/conformance does not show of mappers and parallel functions."""

from __future__ import annotations

import pickle
from typing import Any, cast

import pytest

from kernelfleet.client.mapping.maps import MapVerbs
from kernelfleet.client.mapping.options import MapOptions
from kernelfleet.client.verbs.ipython1 import Mapper, ParallelFunction


class Recorder:
    """Stands for a client."""

    def map(self, *args: Any, **options: Any) -> tuple[Any, ...]:
        return args, options


def make(**options: Any) -> Mapper:
    return Mapper(cast(MapVerbs, Recorder()), "all", True, MapOptions(**options), progress=False)


def test_a_mapper_hands_its_options_on() -> None:
    args, options = make(chunksize=3).map(abs, [1], [2])
    assert args == (abs, [1], [2])
    assert options == {
        "targets": "all", "block": True, "schedule": "dynamic", "chunksize": 3, "retries": 1,
        "progress": False, "return_exceptions": False,
    }  # fmt: skip


def test_a_mapper_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        make().block = False  # type: ignore[misc]


def test_a_parallel_function_travels_as_the_plain_function() -> None:
    function = ParallelFunction(make(), len)
    assert pickle.loads(pickle.dumps(function)) is len
    assert function.__wrapped__ is len  # type: ignore[attr-defined]
