"""A running fleet is steered from a terminal: exec, top, interrupt, scale, attach, status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from kernelfleet import MultiEngineClient
from tests.fleets import NAME, SharedFleets, eventually
from tests.gate import Gate

COMMAND = [sys.executable, "-m", "kernelfleet.cli"]


@pytest.fixture
def transport() -> str:
    return "unix"


def cli(*argv: str, stdin: str = "", cwd: Path | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        [*COMMAND, *argv], input=stdin, capture_output=True, text=True, timeout=60, check=False,
        cwd=cwd,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def execute(*argv: str, **options: Any) -> tuple[int, str, str]:
    return cli("exec", "--name", NAME, *argv, **options)


def test_code_runs_among_the_variables_of_the_chosen_engines(mec: MultiEngineClient) -> None:
    mec.push({"x": 20})
    code, out, err = execute("-t", "1,3", "-c", "print('here')\nx + engine_id")
    assert (code, err) == (0, "")
    assert sorted(out.splitlines()) == ["[1] 21", "[1] here", "[3] 23", "[3] here"]


@pytest.mark.slow
def test_a_script_gets_its_arguments_and_a_failure_is_told_with_an_exit_code(
    mec: MultiEngineClient, tmp_path: Path
) -> None:
    del mec
    script = tmp_path / "job.py"
    script.write_text("import sys\nprint(sys.argv[1:])\nif engine_id == 2: raise OSError('full')\n")
    code, out, err = execute("job.py", "--rows", "5", cwd=tmp_path)
    assert code == 1
    assert out.count("['--rows', '5']\n") == 4
    assert "[2] " in err
    assert "OSError: full" in err
    assert err.endswith("kernelfleet exec: failed on engine 2\n")
    assert execute("-t", "0", "-", stdin="import sys; sys.exit(0)") == (0, "", "")


@pytest.mark.slow
def test_a_time_that_is_up_ends_the_waiting_and_not_the_work(
    mec: MultiEngineClient, gate: Gate
) -> None:
    code, _, err = execute("-t", "0", "--timeout", "0.1", "-c", gate.code)
    assert code == 124
    assert "still runs on engines 0 after 0.1 s, and goes on there" in err
    gate.open()
    eventually(lambda: mec.engines()[0].state == "idle")


def test_ctrl_c_interrupts_what_it_has_begun_and_nothing_else(
    mec: MultiEngineClient, gate: Gate
) -> None:
    mine = mec.execute(gate.code, targets=1, block=False)
    with subprocess.Popen(
        [*COMMAND, "exec", "--name", NAME, "-t", "0", "-c", "print('on', flush=True)\nwhile 1: 0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stdout.readline() == "[0] on\n"
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 130
    eventually(lambda: mec.engines()[0].state == "idle")
    assert not mine.done()
    gate.open()
    mine.r  # noqa: B018 (it ends well)


def test_engines_are_interrupted_and_a_page_tells_what_they_do(
    mec: MultiEngineClient, gate: Gate
) -> None:
    pending = mec.execute(gate.code, targets=[0, 2], block=False)
    eventually(pending.running)
    code, out, err = cli("top", NAME)
    assert (code, err) == (0, "")
    head, _, columns, *rows = out.splitlines()
    assert head.startswith(f"Fleet {NAME!r}, up ")
    assert "4 engines, 2 busy" in head
    assert "last 1 min" in columns
    assert [row.split()[1] for row in rows[:4]] == ["busy", "idle", "busy", "idle"]
    assert cli("interrupt", NAME, "0,1")[:2] == (0, f"Interrupted in fleet {NAME!r}: 0.\n")
    assert not pending.done()
    gate.open()
    assert pending.exception(10) is not None


@pytest.mark.slow
def test_status_as_json_is_a_line_for_each_look(fleets: SharedFleets) -> None:
    fleets.client("unix").close()
    with subprocess.Popen(
        [*COMMAND, "status", NAME, "--watch", "--json", "--interval", "0.1"],
        stdout=subprocess.PIPE, text=True,
    ) as watching:  # fmt: skip
        assert watching.stdout is not None
        for _ in range(2):
            assert len(json.loads(watching.stdout.readline())["engines"]) == 4
        watching.send_signal(signal.SIGINT)
        assert watching.wait(10) == 130


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[str]:
    name = f"steered-{os.getpid()}"
    assert cli("start", name, "-n", "1", "--daemonize", cwd=tmp_path)[0] == 0
    yield name
    assert cli("stop", name)[0] == 0


@pytest.mark.slow
def test_keys_of_top_a_console_on_an_engine_and_more_engines(daemon: str) -> None:
    assert cli("scale", daemon, "+1")[1] == f"Fleet {daemon!r} has 2 engines now: 0-1.\n"
    top = spawn("top", daemon, "--interval", "0.2")
    top.expect_exact("q quit")
    top.send("p")
    top.expect_exact("(paused)")
    top.send("q")
    top.expect(pexpect.EOF)
    top.close()
    assert top.exitstatus == 0
    console = spawn("attach", daemon, "1")
    console.expect(r"In .*\[")
    console.sendline("engine_id + 4242")
    console.expect_exact("4243")
    console.sendline("attached = True")
    console.expect(r"In .*\[")
    console.sendeof()
    console.expect(pexpect.EOF)
    console.close()
    with MultiEngineClient(daemon) as mec:
        assert mec.pull("attached", targets=1) == [True]
    assert cli("scale", daemon, "1")[0] == 0


def spawn(*argv: str) -> Any:
    return pexpect.spawn(
        COMMAND[0], [*COMMAND[1:], *argv], dimensions=(24, 110), encoding="utf-8", timeout=30
    )


@pytest.mark.slow
def test_a_fleet_that_ends_ends_its_page_and_says_so(tmp_path: Path) -> None:
    name = f"ended-{os.getpid()}"
    assert cli("start", name, "-n", "1", "--daemonize", cwd=tmp_path)[0] == 0
    top = spawn("top", name, "--interval", "0.1")
    top.expect_exact("q quit")
    assert cli("stop", name)[0] == 0
    top.expect_exact("is not there any more")
    top.expect(pexpect.EOF)
    top.close()
    assert top.exitstatus == 11
