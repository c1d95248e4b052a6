"""``%fleet``: starting, finding, choosing, restarting, ending."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

import pytest
from IPython.core.error import UsageError

from kernelfleet import (
    CompositeError,
    ControllerUnreachable,
    FleetError,
    FleetNotFound,
    MultiEngineClient,
)
from kernelfleet.notebook import attach, fleet_magic
from kernelfleet.notebook.extension import state_of
from tests.fleets import NAME, SharedFleets, eventually
from tests.gate import Gate
from tests.notebook.conftest import Shell


@pytest.fixture
def loaded(bare: Shell) -> Shell:
    bare.run("%load_ext kernelfleet")
    return bare


def test_a_fleet_starts_serves_and_ends(loaded: Shell) -> None:
    out = loaded.run("%fleet start -n 2")
    assert out.startswith("2 engines ready after ")
    assert "It ends with this session" in out
    mec: MultiEngineClient = loaded["mec"]
    assert loaded.run("%%px\nengine_id") == "[0] Out[1]: 0\n[1] Out[1]: 1\n"
    assert "has a running fleet already" in loaded.run("%fleet start -n 2")
    pids = [engine.pid for engine in mec.engines()]
    assert loaded.run("%fleet restart 1") == "restarted: 1\n"
    after = [engine.pid for engine in mec.engines()]
    assert (after[0], after[1] == pids[1]) == (pids[0], False)
    assert loaded.run("%fleet stop") == "The fleet has ended.\n"
    with pytest.raises(FleetError):
        mec.get_ids()
    assert loaded.run("%fleet start -n 1").startswith("1 engine ready")
    loaded.run("%fleet stop")


def test_a_fleet_that_is_given_a_name_is_found_by_it(loaded: Shell) -> None:
    loaded.run("%fleet start -n 1 --name given")
    with MultiEngineClient("given") as other:
        assert other.get_ids() == [0]
    loaded.run("%fleet stop")
    with pytest.raises(FleetNotFound):
        MultiEngineClient("given")


def test_a_variable_of_the_users_own_is_not_overwritten(loaded: Shell) -> None:
    loaded.run("mec = 'mine'")
    assert "`mec` is a variable of yours" in loaded.run("%fleet start -n 1")
    assert loaded["mec"] == "mine"
    loaded.run("%fleet start -n 1 --as lab")
    assert loaded["lab"].get_ids() == [0]
    loaded.run("%fleet stop")
    assert "cannot name a variable" in loaded.run("%fleet start --as 1x")


def test_a_client_of_the_users_own_is_not_overwritten_and_can_be_activated(
    loaded: Shell, fleets: SharedFleets
) -> None:
    loaded.ip.push({"mec": fleets.client("unix")})
    out = loaded.run("%fleet start -n 1")
    assert "`mec` is a client of yours: `mec.activate()` has the magics use it" in out
    loaded.run("mec.activate()")
    assert "[0] Out[" in loaded.run("%%px --targets 0\n7")


def test_a_running_fleet_is_found_by_its_name(loaded: Shell, fleets: SharedFleets) -> None:
    fleets.client("unix").close()
    out = loaded.run(f"%fleet connect {NAME}")
    assert out == f"4 engines of fleet {NAME!r}, in `mec`.\n"
    loaded["mec"].close()
    loaded.run("%fleet connect nowhere")
    assert isinstance(loaded.error, FleetNotFound)


def test_a_daemon_outlives_the_session_until_it_is_stopped(loaded: Shell) -> None:
    out = loaded.run("%fleet start -n 1 --daemon --name lasting")
    assert "It outlives this session" in out
    with MultiEngineClient("lasting") as other:
        assert other.get_ids() == [0]
    loaded.run("%fleet start -n 1 --daemon --name lasting")
    assert "already running" in str(loaded.error)
    assert loaded.run("%fleet stop") == "The fleet has ended.\n"


def test_a_daemon_that_cannot_be_reached_after_its_start_is_not_forgotten(
    loaded: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(name: str) -> None:
        raise ControllerUnreachable(f"no controller of {name}")

    monkeypatch.setattr(fleet_magic, "_start_daemon", lambda *_: None)
    monkeypatch.setattr(fleet_magic, "MultiEngineClient", unreachable)
    loaded.run("%fleet start -n 1 --daemon --name lasting")
    assert isinstance(loaded.error, ControllerUnreachable)
    (note,) = loaded.error.__notes__
    assert "has been started and goes on" in note
    assert "`%fleet connect lasting`" in note
    assert "`kernelfleet stop lasting`" in note


def test_targets_are_chosen_for_magics_and_calls(shell: Shell, mec: MultiEngineClient) -> None:
    assert shell.run("%fleet use 0,2") == "targets: [0, 2]\n"
    assert mec.targets == [0, 2]
    assert shell.run("%fleet use -1:") == "targets: -1:\n"
    shell.run("%fleet use 9")
    assert "no engine 9" in str(shell.error)
    assert "targets are all" in shell.run("%fleet use everywhere")
    assert mec.targets == slice(-1, None)


def test_the_status_is_a_table(shell: Shell) -> None:
    out = shell.run("%fleet status")
    assert out.splitlines()[1].split()[:2] == ["engine", "state"]
    assert "<table" in shell.result.result._repr_html_()


@pytest.mark.parametrize("line", ["%fleet fly", "%fleet start -n many", "%fleet start -n 0"])
def test_nonsense_is_a_usage_error(loaded: Shell, line: str) -> None:
    assert "%fleet" in loaded.run(line)
    assert "mec" not in loaded.ip.user_ns


SLOW_START = """#!/bin/sh
trap 'echo cleaned up >> {note}; exit 130' INT
echo started > {note}
while :; do sleep 0.02; done
"""


def test_an_interrupt_ends_the_start_of_a_daemon_and_waits_until_it_has_cleaned_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note, program = tmp_path / "note", tmp_path / "kernelfleet"
    program.write_text(SLOW_START.format(note=note))
    program.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(program))
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        eventually(note.exists)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        fleet_magic._start_daemon(1, "slow")
    thread.join()
    assert note.read_text() == "started\ncleaned up\n"


def test_a_daemon_is_started_with_the_same_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "kernelfleet"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said\n')
    program.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(program))
    fleet_magic._start_daemon(2, "x", {"mpi": True, "mpiexec": "srun -n {n}"})
    said = (tmp_path / "said").read_text()
    assert said.endswith("--name x -n 2 --mpi --mpiexec=srun -n {n}\n")


def test_a_daemon_that_does_not_come_up_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note, program = tmp_path / "note", tmp_path / "kernelfleet"
    program.write_text(SLOW_START.format(note=note))
    program.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(program))
    monkeypatch.setattr(fleet_magic, "START_SECONDS", 0.3)
    with pytest.raises(FleetError, match=r"was not ready after 0\.3 s"):
        fleet_magic._start_daemon(1, "slow")
    assert note.read_text() == "started\ncleaned up\n"


def test_the_timeline_is_shown_of_all_or_of_the_last_seconds(loaded: Shell) -> None:
    loaded.run("%fleet start -n 1")
    loaded.run("%px 6 * 7")
    assert "a execute('6 * 7'): " in loaded.run("%fleet timeline")
    loaded.run("spans = %fleet timeline --last 1000")
    assert [span.engine for span in loaded["spans"]] == [0]
    assert "'x' is no number of seconds" in loaded.run("%fleet timeline --last x")
    loaded.run("%fleet stop")


def test_engines_are_scaled_interrupted_logged_and_attached_to(loaded: Shell, gate: Gate) -> None:
    loaded.run("%fleet start -n 1")
    mec: MultiEngineClient = loaded["mec"]
    assert loaded.run("%fleet scale 2") == "2 engines now.\n"
    assert "at least one engine" in loaded.run("%fleet scale 0")
    assert loaded.run("%fleet interrupt") == "nothing ran there\n"
    pending = mec.execute(gate.code, targets=1, block=False)
    eventually(pending.running)
    assert loaded.run("%fleet interrupt -1:") == "interrupted: 1\n"
    assert pending.exception(10) is not None
    gate.open()
    assert "--- engine 1 started " in loaded.run("%fleet logs --engine 1")
    assert "no engine-7.log" in loaded.run("%fleet logs -e 7")
    assert "engine 9 is not there" in loaded.run("%fleet attach 9")
    loaded.run("%fleet stop")


def test_where_no_terminal_is_the_command_for_a_console_is_told(
    mec: MultiEngineClient, capsys: pytest.CaptureFixture[str]
) -> None:
    attach.console(mec, 2, in_terminal=False)
    path = mec.engines()[2].connection_file
    assert f"jupyter console --existing {path}\n" in capsys.readouterr().out


def test_a_console_takes_the_terminal_until_it_is_ended(
    mec: MultiEngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []
    before = signal.getsignal(signal.SIGINT)

    def call(command: list[str]) -> int:
        assert signal.getsignal(signal.SIGINT) is not before
        called.append(command)
        return 0

    monkeypatch.setattr("subprocess.call", call)
    attach.console(mec, 1, in_terminal=True)
    assert str(mec.engines()[1].connection_file) in called[0]
    assert signal.getsignal(signal.SIGINT) is before
    monkeypatch.setattr(attach, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="pip install jupyter-console"):
        attach.console(mec, 1, in_terminal=True)


def test_every_cell_runs_on_engines_of_this_process_until_it_is_switched_off(
    loaded: Shell,
) -> None:
    assert "No active client" in loaded.run("%fleet cells")
    assert json.loads(loaded.run("%fleet cells --json")) == {
        "cells": "here", "fleet": None, "engines": [], "own": False,
    }  # fmt: skip
    assert loaded.run("%fleet cells -n 1 -q") == ""
    assert loaded.run("engine_id") == "[0] Out[1]: 0\n"
    pid = loaded["mec"].engines()[0].pid
    assert "Every cell runs on 2 engines" in loaded.run("%fleet cells -n 2")
    assert loaded["mec"].engines()[0].pid == pid
    told = json.loads(loaded.run("%fleet cells --json"))
    assert (told["engines"], told["own"]) == ([0, 1], True)
    loaded.run("1/0")
    assert isinstance(loaded.error, CompositeError)
    assert loaded.run("%fleet cells --off") == "Cells run here again.\n"
    assert loaded.run("%fleet cells --off -q") == ""
    loaded.run("here = 1")
    assert loaded["here"] == 1
    assert "at least one engine" in loaded.run("%fleet cells -n 0")
    assert "either the name" in loaded.run("%fleet cells x -n 1")
    loaded.run("%fleet cells -q")
    loaded.run("%fleet stop")
    loaded.run("here = 2")
    assert loaded["here"] == 2


def test_every_cell_runs_on_a_fleet_by_its_name_and_saying_it_again_changes_nothing(
    loaded: Shell, fleets: SharedFleets
) -> None:
    fleets.client("unix").close()
    loaded.run("mec = 'mine'")
    assert loaded.run(f"%fleet cells {NAME} -q") == ""
    assert loaded["mec"] == "mine"
    client = state_of(loaded.ip).clients[""]
    state = json.loads(loaded.run(f"%fleet cells {NAME} --json"))
    assert state == {"cells": "engines", "fleet": NAME, "engines": [0, 1, 2, 3], "own": False}
    assert state_of(loaded.ip).clients[""] is client
    loaded.run("%autopx")
    assert json.loads(loaded.run("%fleet cells --json"))["cells"] == "here"
    loaded.run("%autopx")
    loaded.run("%fleet cells -q")
    assert loaded.run("print('same')") == "[0-3] same\n"
    loaded.run("%fleet cells --off")
    client.close()
