from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from kernelfleet.errors.tree import FleetNotFound, SeveralFleets
from kernelfleet.mcp.fleets import MAX_ENGINES, Fleets, Found
from tests.fleets import NAME, SharedFleets


@pytest.fixture
def own() -> Iterator[Fleets]:
    with contextlib.closing(Fleets()) as own:
        yield own


def test_a_fleet_of_ones_own_is_chosen_and_ends_with_the_process(own: Fleets) -> None:
    name = own.start(1, None)
    mec = own.client(None)
    assert own.client(name) is mec
    assert own.found()[0] == Found(name, is_own=True)
    own.close()
    assert own.found() == [each for each in own.found() if not each.is_own]
    with pytest.raises(Exception, match=r"closed|ended"):
        mec.get_ids()


def test_several_of_ones_own_are_named_in_the_error(own: Fleets) -> None:
    names = [own.start(1, None) for _ in range(2)]
    with pytest.raises(SeveralFleets, match=", ".join(names)):
        own.client(None)
    own.stop(names[0])
    assert own.client(None).get_ids() == [0]


@pytest.mark.parametrize("n", [0, -1, MAX_ENGINES + 1])
def test_a_slip_of_a_number_is_refused_before_anything_is_started(own: Fleets, n: int) -> None:
    with pytest.raises(ValueError, match=f"1 to {MAX_ENGINES} engines, not {n}"):
        own.start(n, None)
    assert not [each for each in own.found() if each.is_own]


def test_a_fleet_of_somebody_else_is_used_and_stays(own: Fleets, fleets: SharedFleets) -> None:
    with fleets.client("unix"):  # it runs
        pass
    (other,) = [each for each in own.found() if each.name == NAME]
    assert not other.is_own
    assert own.client(other.name).get_ids() == [0, 1, 2, 3]
    own.close()
    assert other in own.found()


def test_what_is_not_there_is_an_error_with_the_remedy(own: Fleets) -> None:
    with pytest.raises(FleetNotFound, match="nowhere"):
        own.client("nowhere")
    with pytest.raises(FleetNotFound, match="nowhere"):
        own.stop("nowhere")


def test_a_fleet_that_was_started_again_is_connected_to_again(
    own: Fleets, start_fleet: Callable[..., object]
) -> None:
    name = own.start(1, None)
    first = own.client(name)
    first.close()
    own.stop(name)
    with pytest.raises(FleetNotFound):
        own.client(name)
