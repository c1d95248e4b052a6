"""Engines whose code does what it is not to do: each is told or has no effect, and others go on.

What such code leaves running is in test_engine_families.py; how fleets of such engines stop, in
test_stop.py.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable

import psutil
import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.errors import CallTimeout, CompositeError, EngineDied
from tests.fleets import eventually
from tests.journeys.daemons import OwnFleet
from tests.journeys.manners import IN_EVERY_MANNER

Start = Callable[..., OwnFleet]

#: A fleet whose engines misbehave stops in so many seconds.
PROMISED_STOP_SECONDS = 2.0
#: For a test that measures, on a machine that does other things as well.
BUSY_MACHINE = 3

#: What has no effect on the engine's answers.
HARMLESS = {
    "closes its stdin": "import os; os.close(0)",
    "closes its stdout and stderr": "import os; os.close(1); os.close(2)",
    "forks, and both go on": "import os; child = os.fork()",
    "forks a child that ends by an exception": (
        "import os\nif os.fork() == 0:\n    raise SystemExit(3)"
    ),
    "starts threads that never end": (
        "import threading, time\n"
        "for _ in range(20): threading.Thread(target=time.sleep, args=[1000]).start()"
    ),
    "ignores signals": (
        "import signal\n"
        "for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):\n"
        "    signal.signal(each, signal.SIG_IGN)"
    ),
    "replaces functions everybody uses": (
        "import json, os, signal, sys\n"
        "for module, name in [(json, 'dumps'), (json, 'loads'), (os, '_exit'), (os, 'kill'),\n"
        "                     (os, 'killpg'), (signal, 'signal'), (sys, 'exit')]:\n"
        "    setattr(module, name, lambda *args, **kwargs: None)"
    ),
    "removes its working directory": (
        "import os, tempfile\nfolder = tempfile.mkdtemp()\nos.chdir(folder)\nos.rmdir(folder)"
    ),
    "disables garbage collection": "import gc; gc.disable()",
    "empties its environment": "import os; os.environ.clear()",
    "has a hook of no use": "import sys; sys.excepthook = None",
    "forgets the modules of its engine": (
        "import sys\n"
        "for name in list(sys.modules):\n"
        "    if name.startswith('kernelfleet'): del sys.modules[name]"
    ),
}

#: What is told as an error of the command, and ends nothing.
RAISED = {
    "SystemExit": "raise SystemExit(3)",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "GeneratorExit": "raise GeneratorExit",
    "Odd": "class Odd(BaseException): pass\nraise Odd",
}

#: What takes its output away: the next command says so, and data moves as before.
MUTE = {
    "closes sys.stdout": "import sys; sys.stdout.close()",
    "has no sys.stdout": "import sys; del sys.stdout",
    "has None for sys.stdout": "import sys; sys.stdout = None",
    "has a sys.stdout that raises": (
        "import sys\n"
        "class Broken:\n"
        "    def write(self, text): raise RuntimeError('no')\n"
        "    def flush(self): raise RuntimeError('no')\n"
        "sys.stdout = Broken()"
    ),
}


def stop_in_time(fleet: OwnFleet) -> None:
    began = time.monotonic()
    fleet.stop()
    assert time.monotonic() - began < PROMISED_STOP_SECONDS
    assert not fleet.processes()


def check_works_on(mec: MultiEngineClient, *, prints: bool = True) -> None:
    """Every engine answers as if nothing had been."""
    if prints:
        assert [each.stdout for each in mec.execute("import sys; sys.stdout.write('ok'); None",
                                                    timeout=10)] == ["ok"] * len(mec)  # fmt: skip
    mec.push({"a": [1, 2]}, timeout=10)
    assert mec.pull("a", timeout=10) == [[1, 2]] * len(mec)
    assert mec.apply(lambda x: x + 1, 41, timeout=10) == [42] * len(mec)


@pytest.mark.slow
@pytest.mark.parametrize("fork", [True, False], ids=["forked", "ordinary"])
def test_most_things_have_no_effect(own_fleet: Start, fork: bool) -> None:
    fleet = own_fleet(len(HARMLESS), transport="unix", fork=fork)
    mec = fleet.client()
    for i, code in enumerate(HARMLESS.values()):
        mec.execute(code, targets=i, timeout=20)
    for _ in range(3):
        check_works_on(mec)
    assert {engine.state for engine in mec.engines()} == {"idle"}
    stop_in_time(fleet)


def test_functions_that_were_replaced_and_forks_that_go_on_change_no_answer(
    own_fleet: Start,
) -> None:
    fleet = own_fleet(2, transport="embedded")
    mec = fleet.client()
    mec.execute(HARMLESS["replaces functions everybody uses"], targets=0, timeout=20)
    mec.execute(HARMLESS["forks, and both go on"], targets=1, timeout=20)
    for _ in range(3):
        check_works_on(mec)
    stop_in_time(fleet)


@IN_EVERY_MANNER
def test_whatever_is_raised_is_an_error_of_the_command(
    own_fleet: Start, transport: str, fork: bool
) -> None:
    mec = own_fleet(2, transport=transport, fork=fork).client()
    for name, code in RAISED.items():
        with pytest.raises(CompositeError) as caught:
            mec.execute(code, targets=1, timeout=30)
        assert f"[1:execute]: {name}" in str(caught.value)
    check_works_on(mec)


@pytest.mark.slow
@pytest.mark.parametrize("what", MUTE)
@pytest.mark.parametrize("fork", [True, False], ids=["forked", "ordinary"])
def test_an_engine_that_has_lost_its_output_still_answers(
    own_fleet: Start, what: str, fork: bool
) -> None:
    fleet = own_fleet(2, transport="embedded", fork=fork)
    mec = fleet.client()
    with contextlib.suppress(CompositeError):  # IPython flushes what is no more
        mec.execute(MUTE[what], targets=1, timeout=20)
    with pytest.raises(CompositeError):
        mec.execute("print('heard?')\n'shown?'", targets=1, timeout=20)
    check_works_on(mec, prints=False)
    assert mec.execute("print('heard')", targets=0, timeout=20)[0].stdout == "heard\n"
    stop_in_time(fleet)


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "import os; os.closerange(3, 50)",
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0)); open('/dev/null')",
        "import signal; signal.setitimer(signal.ITIMER_REAL, 0.01); signal.pause()",
    ],
    ids=["closes descriptors", "may open nothing", "has an alarm set"],
)
@pytest.mark.parametrize("transport", ["embedded", "tcp"])
def test_what_an_engine_cannot_live_with_is_told_as_its_death_or_an_error(
    own_fleet: Start, transport: str, code: str
) -> None:
    fleet = own_fleet(2, transport=transport)
    mec = fleet.client()
    try:
        mec.execute(code, targets=1, timeout=20)
        mec.execute("1", targets=1, timeout=20)  # the reply may have been quicker than the end
    except CompositeError as error:
        if isinstance(error.exceptions[0], EngineDied):
            eventually(lambda: mec.get_ids() == [0])
            mec.restart(1, timeout=30)
    check_works_on(mec)  # (also an engine that could live with it)
    stop_in_time(fleet)


@pytest.mark.slow
def test_an_engine_that_has_broken_itself_is_waited_for_as_long_as_asked_and_restarted(
    own_fleet: Start,
) -> None:
    fleet = own_fleet(2, transport="embedded")
    mec = fleet.client()
    mec.execute("import sys; sys.modules.clear()", targets=1, timeout=20)
    with pytest.raises(CallTimeout):
        mec.execute("print(1)", targets=1, timeout=1)
    assert mec.execute("1", targets=0, timeout=10)[0]["number"] == 1
    mec.restart(1, timeout=30)
    check_works_on(mec)
    stop_in_time(fleet)


FLOODS = {
    "1 GB in lines": "for _ in range(2_000_000): print('x' * 499)",
    "a line of 200 MB": "print('x' * 200_000_000)",
    "a value of 200 MB": "'x' * 200_000_000",
    "300 displays of 4 MB": (
        "from IPython.display import display\nfor _ in range(300): display('x' * 4_000_000)"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("transport", ["embedded", "unix", "tcp"])
def test_a_flood_of_output_is_cut_and_disturbs_nobody(
    own_fleet: Start, transport: str, flood: str
) -> None:
    fleet = own_fleet(2, transport=transport)
    mec, other = fleet.client(), fleet.client()
    controller = psutil.Process(fleet.process.pid if fleet.process else os.getpid())

    def seconds() -> float:
        began = time.monotonic()
        other.execute("1", targets=1, timeout=30)
        return time.monotonic() - began

    before = controller.memory_info().rss
    quiet = [seconds() for _ in range(30)]
    pending = mec.execute(FLOODS[flood], targets=0, block=False)
    loud, most = [seconds()], before
    while not pending.done():
        loud.append(seconds())
        most = max(most, controller.memory_info().rss)
    result = pending.result(60)[0]
    assert "kernelfleet leaves out" in result.stdout + result.stderr
    assert len(result.stdout) + len(result.stderr) < 20e6
    assert statistics.median(loud) < BUSY_MACHINE * statistics.median(quiet) + 0.01
    assert max(loud) < 1.0
    assert most - before < 200e6
    assert mec.execute("print('next')", targets=0, timeout=20)[0].stdout == "next\n"
    stop_in_time(fleet)


@pytest.mark.parametrize(("limit", "printed"), [(1000, 1000), (None, 20_000_000)])
def test_how_much_a_command_may_print_is_a_limit_of_the_fleet(
    own_fleet: Start, limit: int | None, printed: int
) -> None:
    mec = own_fleet(1, transport="embedded", limits={"output_bytes": limit}).client()
    (result,) = mec.execute("print('x' * 20_000_000)", timeout=30)
    assert result.stdout.replace("kernelfleet", "").count("x") == printed


@pytest.mark.slow
def test_a_thread_that_prints_for_ever_disturbs_nobody_and_the_fleet_stops(
    own_fleet: Start,
) -> None:
    fleet = own_fleet(2, transport="unix")
    mec = fleet.client()
    code = (
        "import threading\n"
        "def print_for_ever():\n"
        "    while True: print('x' * 499)\n"
        "threading.Thread(target=print_for_ever).start()"
    )
    mec.execute(code, targets=0, timeout=20)
    for _ in range(50):
        assert mec.execute("6 * 7", targets=1, timeout=5)[0].value == 42
    assert mec.execute("6 * 7", targets=0, timeout=20)[0].value == 42
    stop_in_time(fleet)
