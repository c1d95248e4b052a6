"""``this_engine``: which engine this process is."""

from __future__ import annotations

import dataclasses

import pytest

import kernelfleet
from kernelfleet import here


def test_outside_of_a_fleet_there_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here._Here, "engine", None)
    assert kernelfleet.this_engine() is None


def test_an_engine_has_its_id_the_size_of_the_fleet_and_its_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(here._Here, "engine", None)
    variables = {"pushed": 5}
    here.tell(3, 8, variables)
    engine = kernelfleet.this_engine()
    assert engine is not None
    assert (engine.id, engine.n_engines) == (3, 8)
    assert engine.namespace is variables
    assert (engine.node, engine.local_rank, engine.local_size) == ("", 0, 1)
    assert repr(engine) == "ThisEngine(id=3, n_engines=8)"
    here.tell(3, 8, variables, node="far", local_rank=1, local_size=2)
    placed = kernelfleet.this_engine()
    assert placed is not None
    assert (placed.node, placed.local_rank, placed.local_size) == ("far", 1, 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        engine.id = 4  # type: ignore[misc]
