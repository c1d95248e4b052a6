"""The command line as people use it: real processes and engines in directories of their own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import psutil
import pytest

from kernelfleet import CompositeError, MultiEngineClient

COMMAND = [sys.executable, "-m", "kernelfleet.cli"]
CLI = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Directories of our own; after the test no fleet may be left in them, nor its processes."""
    for variable in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"):
        monkeypatch.setenv(f"JUPYTER_{variable}", str(tmp_path / variable.lower()))
    monkeypatch.delenv("JUPYTER_PATH", raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    yield tmp_path
    left = list((tmp_path / "runtime_dir" / "kernelfleet").glob("*"))
    for each in left:  # only after a failure
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            psutil.Process(json.loads((each / "fleet.json").read_text())["pid"]).kill()
    assert not left


@pytest.fixture
def cli(home: Path) -> CLI:
    def run(*argv: str, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *argv],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=home,
        )
        assert done.returncode == 0 or not check, done.stderr
        assert "Traceback (most recent call last):\n  File" not in done.stderr
        return done

    return run


@contextlib.contextmanager
def foreground(*argv: str) -> Iterator[subprocess.Popen[str]]:
    """A command that is running; it gets a kill if the test forgets to end it."""
    with subprocess.Popen(
        [*COMMAND, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_until(process: subprocess.Popen[str], last: str) -> list[str]:
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if last in line:
            return lines
    raise AssertionError(f"{last!r} never came: {lines} {process.communicate()}")


def said(err: str) -> str:
    """What stands on stderr, but for what a start says that takes long on a busy machine."""
    return "".join(line for line in err.splitlines(True) if not line.startswith("starting: "))


def status(cli: CLI, *argv: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(cli("status", "--json", *argv).stdout)
    assert report["version"] == 1
    return report


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_fleet_in_the_foreground_tells_what_it_is_and_ends_on_a_signal(
    home: Path, cli: CLI, signum: signal.Signals
) -> None:
    with foreground("start", "-n", "1") as process:
        text = "".join(lines_until(process, "stop "))
        file = home / "runtime_dir" / "kernelfleet" / "default" / "fleet.json"
        assert "Fleet 'default' is ready: 1 engine" in text
        assert "MultiEngineClient()" in text
        assert str(file) in text
        assert file.stat().st_mode & 0o777 == 0o600
        engines = [psutil.Process(row["pid"]) for row in status(cli)["engines"]]
        process.send_signal(signum)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, said(err)) == (0, "", "")
    assert not psutil.wait_procs(engines, timeout=10)[1]
    log = cli("logs").stdout
    assert "started fleet 'default'" in log
    assert "stopped fleet 'default'" in log


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_start_that_is_interrupted_is_no_success_and_leaves_nothing(
    home: Path, signum: signal.Signals
) -> None:
    began = home / "began"
    os.mkfifo(began)
    code = f"open({str(began)!r}, 'w').close(); import time; time.sleep(60)"
    with foreground("start", "-n", "1", "--on-start", code) as process:
        began.read_text()
        process.send_signal(signum)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, said(err)) == (128 + signum, "", "")
    assert not list((home / "runtime_dir").rglob("*.json"))


def test_the_death_of_an_engine_is_told_at_once_and_logged(cli: CLI) -> None:
    with foreground("start", "-n", "2", "--no-tcp") as process:
        lines_until(process, "stop ")
        os.kill(status(cli)["engines"][1]["pid"], signal.SIGKILL)
        assert process.stderr
        assert "engine 1 (pid" in next(line for line in process.stderr if said(line))
        assert "SIGKILL" in cli("logs").stdout
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_daemon_answers_when_start_returns_and_leaves_nothing_when_stopped(
    home: Path, cli: CLI
) -> None:
    assert "2 engines" in cli("start", "-n2", "--name", "sweep", "--daemonize").stdout
    try:
        again = cli("start", "-n", "1", "--name", "sweep", check=False)
        assert again.returncode == 10
        assert "a fleet named 'sweep' is already running" in again.stderr
        assert again.stderr.count("\n") == 1
        assert cli("start", "sweep", "--daemonize", check=False).returncode == 10
        assert "started fleet" in cli("logs", "sweep").stdout

        assert [each["name"] for each in json.loads(cli("list", "--json").stdout)["fleets"]] == [
            "sweep"
        ]
        report = status(cli, "sweep")
        assert [each["state"] for each in report["engines"]] == ["idle", "idle"]
        assert all(each["memory_bytes"] > 0 for each in report["engines"])
        table = cli("status").stdout
        assert "Fleet 'sweep'" in table
        assert "MiB" in table
        processes = [psutil.Process(each["pid"]) for each in report["engines"]]
    finally:
        stopped = cli("stop", "sweep")
    assert stopped.stdout == "Fleet 'sweep' is stopped.\n"
    assert not psutil.wait_procs(processes, timeout=10)[1]
    assert cli("stop", "sweep", check=False).returncode == 11
    assert not list((home / "runtime_dir").rglob("*.json"))


CRASH = "import ctypes; print('before the crash', flush=True); ctypes.string_at(0)"


def test_the_logs_tell_what_was_done_printed_and_where_it_crashed(cli: CLI, home: Path) -> None:
    cli("start", "sweep", "-n1", "--daemonize", "--no-tcp")
    try:
        with MultiEngineClient("sweep") as mec:
            mec.execute("print('printed by', 'engine', engine_id)")
            mec.scale(2)
            mec.kill(1)
            with pytest.raises(CompositeError) as failed:
                mec.execute(CRASH)
        logs = home / "data_dir" / "kernelfleet" / "logs" / "sweep"
        assert f"SIGSEGV); the traceback of the crash is in its log in {logs}" in str(failed.value)
        assert cli("list", "sweep").stdout.splitlines()[-1].split()[1:4] == ["0", "(1", "dead)"]
        cli("restart", "0", "--name", "sweep")
        engine = cli("logs", "sweep", "--engine", "0").stdout
        printed, crash, restarted = (
            engine.index(text)
            for text in (
                "printed by engine 0\n",
                "before the crash\nFatal Python e",
                "\n--- engine",
            )
        )
        assert printed < crash < restarted
        assert "in string_at" in engine
    finally:
        cli("stop", "sweep")
    log = cli("logs", "sweep").stdout
    for each in (
        "started fleet 'sweep': 1 engine",
        "scaling from 1 to 2 engines requested by client",
        "the fleet has 2 engines now",
        "engines 1 are killed, as requested by client",
        "died: killed by signal 11 (SIGSEGV)",
        "restart of engines 0 requested by client",
        "engine 0 was restarted",
        "stopping fleet 'sweep': SIGTERM",
        "stopped fleet 'sweep'",
    ):
        assert each in log


@pytest.mark.slow
def test_the_log_of_a_kernel_of_others_shows_what_it_printed(cli: CLI) -> None:
    cli("start", "-n1", "--daemonize", "--no-tcp", "--kernel", "python3")
    try:
        with MultiEngineClient() as mec:
            mec.execute("print('printed', 'here')")
        assert cli("logs", "--engine", "0").stdout.endswith("printed here\n")
    finally:
        cli("stop")


def test_a_start_that_takes_long_says_how_far_it_is_and_ends_without_a_trace(home: Path) -> None:
    gate = home / "gate"
    os.mkfifo(gate)
    code = f"print('one of many words'); open({str(gate)!r}).close()"
    with foreground("start", "-n", "2", "--on-start", code) as process:
        assert process.stderr
        assert process.stderr.readline() == "starting: 0 of 2 engines answer\n"
        process.terminate()
        assert process.communicate(timeout=30)[0] == ""
    assert process.returncode == 128 + signal.SIGTERM
    assert not [path for path in home.rglob("*") if "log" in path.name and path.is_file()]


def test_a_detached_start_that_takes_long_says_so_too(home: Path, cli: CLI) -> None:
    gate = home / "gate"
    os.mkfifo(gate)
    code = f"open({str(gate)!r}).close()"
    with foreground("start", "-n", "1", "--on-start", code, "--daemonize") as process:
        assert process.stderr
        assert process.stderr.readline() == "starting: 0 of 1 engine answer\n"
        gate.write_text("")
        out, _ = process.communicate(timeout=30)
        assert "Fleet 'default' is ready: 1 engine" in out
        cli("stop")
    assert process.returncode == 0


def test_a_fleet_that_cannot_start_says_why(cli: CLI, home: Path) -> None:
    failed = cli("start", "-n", "1", "--kernel", "no-such-kernel", "--daemonize", check=False)
    assert failed.returncode == 1
    assert "no-such-kernel" in failed.stderr
    assert failed.stderr.count("\n") == 1
    assert not list((home / "data_dir").rglob("*.log"))


def test_a_script_runs_on_every_engine_and_its_lines_tell_where(cli: CLI, home: Path) -> None:
    (home / "script.py").write_text(
        "import sys\nprint(engine_id, n_engines, sys.argv[1:])\nprint('e', file=sys.stderr)\n"
    )
    done = cli("run", "-n", "3", "script.py", "--steps", "7")
    assert sorted(done.stdout.splitlines()) == [f"[{i}] {i} 3 ['--steps', '7']" for i in range(3)]
    assert sorted(done.stderr.splitlines()) == ["[0] e", "[1] e", "[2] e"]


def test_modules_standard_input_and_ipythons_language_run_as_well(cli: CLI, home: Path) -> None:
    (home / "tool.py").write_text("import sys\nprint(__name__, sys.argv[1:], loaded)\n")
    done = cli("run", "-n1", "--on-start", "loaded = 1", "--preload", "json", "-m", "tool", "x")
    assert done.stdout == "[0] __main__ ['x'] 1\n"
    assert cli("run", "-n1", "-", "x", stdin="import sys; print(sys.argv)").stdout == (
        "[0] ['-', 'x']\n"
    )
    (home / "tool.ipy").write_text("here = !echo $((1 + 1))\nprint(here)\n")
    assert cli("run", "-n1", "--kernel", "python3", "tool.ipy").stdout == "[0] ['2']\n"
    missing = cli("run", "-n1", "-m", "no_such_module", check=False)
    assert missing.returncode == 1
    assert missing.stderr.startswith("[0] there is no module named no_such_module\n")


def test_lines_come_while_the_script_runs(home: Path) -> None:
    gate = home / "gate"
    os.mkfifo(gate)
    with foreground(
        "run", "-n1", "-c", f"print('on'); print(open({str(gate)!r}).read())"
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "[0] on\n"
        gate.write_text("and on")
        assert process.communicate(timeout=30) == ("[0] and on\n", "")
    assert process.returncode == 0


def test_what_failed_alike_is_shown_once_and_the_exit_code_tells(cli: CLI, home: Path) -> None:
    (home / "script.py").write_text("def half(x):\n    return 1 / x\n\nif engine_id: half(0)\n")
    done = cli("run", "-n", "3", "script.py", check=False)
    assert done.returncode == 1
    assert done.stderr.count("ZeroDivisionError: division by zero") == 1
    assert "[1-2] ZeroDivisionError" in done.stderr
    assert "----> 2     return 1 / x" in done.stderr
    assert "exec(compile" not in done.stderr
    assert done.stderr.endswith("kernelfleet run: failed on engines 1-2\n")


def test_a_script_that_exits_or_dies_is_told_apart_from_one_that_ends_well(cli: CLI) -> None:
    assert cli("run", "-n", "1", "-c", "import time").stderr == ""
    assert cli("run", "-n", "1", "-c", "exit(0)").stderr == ""
    code = "import os, sys\nif engine_id: os._exit(3)\nsys.exit(5)"
    done = cli("run", "-n", "2", "-c", code, check=False)
    assert done.returncode == 1
    assert "exit status 5" in done.stderr
    assert "exit code 3" in done.stderr


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")  # pexpect
def test_ctrl_c_in_a_terminal_ends_a_run_without_a_word_and_without_a_trace(home: Path) -> None:
    code = "import time; print('on', flush=True); time.sleep(1000)"
    terminal = pexpect.spawn(
        COMMAND[0], [*COMMAND[1:], "run", "-n", "2", "-c", code], timeout=30, encoding="utf-8"
    )
    terminal.expect_exact("on\r\n")
    terminal.expect_exact("on\r\n")
    children = psutil.Process(terminal.pid).children(recursive=True)
    assert len(children) >= 2
    terminal.sendintr()
    terminal.sendintr()  # impatience must not leave anything behind
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130
    assert "Traceback" not in terminal.before
    assert not psutil.wait_procs(children, timeout=10)[1]


CLEANS_UP = """
import time
try:
    print('on', flush=True)
    time.sleep(1000)
finally:
    {until}
    print('saved', flush=True)
"""


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")  # pexpect
@pytest.mark.parametrize("patient", [True, False])
def test_after_ctrl_c_a_script_may_clean_up_until_the_next_one(home: Path, patient: bool) -> None:
    until = "print('saving', flush=True)" if patient else "print('saving'); time.sleep(1000)"
    script = home / "script.py"
    script.write_text(CLEANS_UP.format(until=until))
    terminal = pexpect.spawn(
        COMMAND[0], [*COMMAND[1:], "run", "-n1", str(script)], timeout=30, encoding="utf-8"
    )
    terminal.expect_exact("on\r\n")
    children = psutil.Process(terminal.pid).children(recursive=True)
    terminal.sendintr()
    terminal.expect_exact("saving\r\n")
    if patient:
        terminal.expect_exact("saved\r\n")
    else:
        terminal.sendintr()
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130
    assert "Traceback" not in terminal.before
    assert not psutil.wait_procs(children, timeout=10)[1]


def test_the_demo_shows_the_main_job_and_how_to_go_on(cli: CLI) -> None:
    out = cli("demo", "-n", "2", "--Demo.seconds=0.05").stdout
    assert "[1] Out[1]: engine 1 of 2 is process" in out
    assert "Out[8]: True" in out  # one engine has counted the same
    assert "Out[14]: True" in out  # and found the same eigenvalues
    assert out.count("# 2 engines: ") == 2
    assert "fleet.stop()" in out
    assert "MultiEngineClient()" in out


@pytest.mark.usefixtures("home")
def test_sigterm_ends_a_run_in_order() -> None:
    with foreground(
        "run", "-n", "1", "-c", "print('on'); import time; time.sleep(1000)"
    ) as process:
        lines_until(process, "on")
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 128 + signal.SIGTERM
    assert not psutil.wait_procs(children, timeout=10)[1]
