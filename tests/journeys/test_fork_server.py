"""A fleet's fork server dies or is stopped: engines go on, restart and scale have one in time."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import psutil
import pytest

from kernelfleet import Fleet, MultiEngineClient
from kernelfleet.errors import CompositeError, EngineDied
from tests.fleets import eventually

pytestmark = pytest.mark.slow


def parent_of(mec: MultiEngineClient, engine_id: int) -> int:
    """What has forked an engine."""
    (engine,) = (each for each in mec.engines() if each.id == engine_id)
    return psutil.Process(engine.pid).ppid()


@pytest.fixture
def mec(start_fleet: Callable[..., MultiEngineClient]) -> Iterator[MultiEngineClient]:
    mec = start_fleet(2)
    mec.execute("x = engine_id")
    zygote = psutil.Process(parent_of(mec, 0))
    assert "kernelfleet.provisioners.zygote" in zygote.cmdline()
    os.kill(zygote.pid, signal.SIGKILL)
    eventually(lambda: parent_of(mec, 0) != zygote.pid)
    yield mec
    # The fleet that tests share has lost its fork server, too. Its successor is brought up now,
    # not while some other test compares what there is before and after.
    with Fleet(1):
        pass


def test_engines_go_on(mec: MultiEngineClient) -> None:
    assert mec.pull("x") == [0, 1]
    assert [each.value for each in mec.execute("x + 1")] == [1, 2]


def test_a_restart_brings_up_a_new_one(mec: MultiEngineClient) -> None:
    mec.restart(1, timeout=60)
    new = psutil.Process(parent_of(mec, 1))
    assert "kernelfleet.provisioners.zygote" in new.cmdline()
    assert mec.pull("engine_id") == [0, 1]
    assert mec.pull("x", targets=0) == [0]


def test_scale_does_so_too(mec: MultiEngineClient) -> None:
    assert mec.scale(4, timeout=60) == [0, 1, 2, 3]
    assert parent_of(mec, 2) == parent_of(mec, 3) != parent_of(mec, 0)


def test_how_an_engine_ended_that_nobody_was_told_of_is_unknown(mec: MultiEngineClient) -> None:
    with pytest.raises(CompositeError) as caught:
        mec.execute("import os; os._exit(3)", targets=1, timeout=30)
    (died,) = caught.value.exceptions
    assert isinstance(died, EngineDied)
    assert died.exit_code is None
    assert died.signal is None


def test_one_that_is_stopped_delays_neither_a_restart_nor_the_end(
    start_fleet: Callable[..., MultiEngineClient],
) -> None:
    mec = start_fleet(2)
    zygote = parent_of(mec, 0)
    for _ in range(2):
        os.kill(zygote, signal.SIGSTOP)
        mec.restart(0, timeout=10)
    assert parent_of(mec, 0) == zygote
    os.kill(zygote, signal.SIGSTOP)
    with pytest.raises(CompositeError) as caught:
        mec.execute("import os; os._exit(3)", targets=1, timeout=10)
    (died,) = caught.value.exceptions
    assert isinstance(died, EngineDied)
    assert died.exit_code == 3
