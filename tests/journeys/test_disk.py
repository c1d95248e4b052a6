"""Full and read-only disks, folders that vanish, limits of the system: told, or survived."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from kernelfleet import Fleet, MultiEngineClient
from kernelfleet.errors import FleetNotFound, StartError
from kernelfleet.wire.files import connection_file, fleet_paths
from tests.fleets import eventually
from tests.journeys.daemons import MARK, OwnFleet, marked
from tests.journeys.leftovers import assert_nothing_left, take_stock

pytestmark = pytest.mark.slow

#: A fleet finds out within two seconds that its directory is gone.
PROMISED_AGAIN = 6.0

Mount = Callable[[str], Path]


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Mount file systems as small as wanted."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        # short, or sockets would be put elsewhere
        path = Path(tempfile.mkdtemp(prefix="kf-d-", dir="/tmp"))
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
        made = os.geteuid() == 0 and not subprocess.run(command, check=False).returncode
        if not made:
            pytest.skip("only root may mount a small disk")
        mounted.append(path)
        return path

    yield mount
    for path in mounted:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
        path.rmdir()


@pytest.fixture(autouse=True)
def mark(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What all processes carry that the test starts."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    yield mark
    for process in marked(mark):
        if process.pid != os.getpid():
            with contextlib.suppress(psutil.Error):
                process.kill()


def fill(disk: Path) -> None:
    """Leave no block free."""
    with (disk / "filling").open("wb", 0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1024))


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``kernelfleet start`` as a daemon."""
    return subprocess.run(
        [sys.executable, "-m", "kernelfleet.cli", "start", "-n", "2", "--daemonize", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )


# -- while starting -----------------------------------------------------------------------------


def test_a_runtime_directory_on_a_full_disk_is_an_error_that_names_both(
    mount: Mount, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = mount("size=4k")
    command = start("--name", "full", JUPYTER_RUNTIME_DIR=str(disk))
    assert command.returncode == 1
    assert "No space left on device" in command.stderr
    assert str(disk) in command.stderr
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(disk))
    before = take_stock()
    with pytest.raises((StartError, OSError), match="No space left on device"):
        Fleet(2).start()
    assert_nothing_left(before)
    eventually(lambda: not marked(mark))
    assert not any(path.is_file() for path in disk.rglob("*"))


@pytest.mark.parametrize("options", ["size=1m", "nr_inodes=1"])
def test_a_runtime_directory_that_cannot_be_made_is_named(mount: Mount, options: str) -> None:
    disk = mount(options)
    if options == "size=1m":
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    command = start(JUPYTER_RUNTIME_DIR=str(disk / "run"))
    assert command.returncode == 1
    assert "Read-only file system" in command.stderr or "No space" in command.stderr
    assert str(disk / "run") in command.stderr
    assert len(command.stderr.splitlines()) == 1


def test_a_fleet_starts_and_works_though_its_logs_have_no_room(mount: Mount, mark: str) -> None:
    disk = mount("size=16k")
    fill(disk)
    command = start("--name", "no-logs", JUPYTER_DATA_DIR=str(disk))
    assert command.returncode == 0, command.stderr
    with MultiEngineClient("no-logs") as mec:
        code = "import os; print('hello'); os.system('ls nowhere >&2'); 5"
        assert [each["stdout"] for each in mec.execute(code, timeout=20)] == ["hello\n"] * 2
        mec.restart(timeout=30)
        assert mec.apply(os.getpid, timeout=20)
        mec.stop_fleet()
    eventually(lambda: not marked(mark))


def test_an_embedded_fleet_does_without_a_data_directory(
    mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = mount("size=1m")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(disk / "data"))
    with Fleet(2) as mec:
        assert mec.execute("print(1)", timeout=20)[0]["stdout"] == "1\n"
    command = start("--name", "blind", JUPYTER_DATA_DIR=str(disk / "data"))
    assert command.returncode == 1, "a daemon has nowhere else to say anything"
    assert str(disk / "data") in command.stderr


# -- while running ------------------------------------------------------------------------------


def test_a_fleet_works_on_when_the_disks_are_full(
    mount: Mount, monkeypatch: pytest.MonkeyPatch, own_fleet: Callable[..., OwnFleet]
) -> None:
    runtime, data = mount("size=1m"), mount("size=1m")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(data))
    fleet = own_fleet(2, transport="unix")
    mec = fleet.client()
    fill(runtime)
    fill(data)
    assert mec.execute("import os; os.system('yes | header -c 1000000 >&2')", timeout=20)
    mec.push({"x": bytes(5_000_000)}, timeout=20)
    assert mec.apply(lambda: len(x), timeout=20) == [5_000_000] * 2  # type: ignore[name-defined] # noqa: F821
    assert mec.map(str, range(100), timeout=20) == [str(i) for i in range(100)]
    with pytest.raises(StartError, match=f"No space left on device.*{runtime}"):
        mec.scale(9)
    assert mec.get_ids() == [0, 1]
    assert fleet.client().execute("1", timeout=20)[0]["id"] == 0
    (runtime / "filling").unlink()
    mec.scale(3)
    assert mec.apply(lambda: 1, timeout=20) == [1, 1, 1]
    fleet.stop()
    assert not fleet.directory.exists()


@pytest.mark.parametrize("transport", ["unix", "tcp", "embedded"])
@pytest.mark.parametrize("what", ["its own", "all"])
def test_a_runtime_directory_that_is_deleted_comes_again_and_nobody_is_disturbed(
    own_fleet: Callable[..., OwnFleet],
    transport: str,
    what: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory(prefix="kf-r-", dir="/tmp") as apart:
        # The other fleets of this run would make their directories again while all are deleted.
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", apart)
        deleted_and_made_again(own_fleet(2, transport=transport), what, tmp_path)


def deleted_and_made_again(fleet: OwnFleet, what: str, tmp_path: Path) -> None:
    mec = fleet.client()
    if fleet.fleet is None:
        copy = shutil.copy(fleet.directory / "fleet.json", tmp_path / "fleet.json")
    name = mec._connection.fleet["name"]
    shutil.rmtree(fleet_paths.fleet_dir(name) if what == "its own" else fleet_paths.fleets_dir())
    assert mec.execute("print(1)", timeout=20)[0]["stdout"] == "1\n"
    mec.push({"x": bytes(5_000_000)}, timeout=20)
    if fleet.fleet is None:
        with MultiEngineClient(copy) as by_copy:  # over TCP: the socket is not there
            assert by_copy.execute("1", timeout=20)[0]["number"] == 2
    mec.restart(0, timeout=30)
    assert mec.apply(lambda: 1, timeout=20) == [1, 1]
    if fleet.fleet is None:
        eventually(lambda: name in [each.name for each in connection_file.find_fleets()])
        for address in (name, ("127.0.0.1", fleet.port)):
            with MultiEngineClient(address) as late:
                assert late.get_ids() == [0, 1]
    shutil.rmtree(fleet_paths.fleet_dir(name))
    eventually(lambda: fleet_paths.is_running(name), PROMISED_AGAIN)
    fleet.stop()
    assert not fleet_paths.fleet_dir(name).exists()


def test_a_fleet_whose_directory_and_name_another_has_taken_leaves_them_alone(
    own_fleet: Callable[..., OwnFleet],
) -> None:
    first = own_fleet(1, transport="unix")
    mec = first.client()
    first.process.send_signal(signal.SIGSTOP)  # type: ignore[union-attr]
    shutil.rmtree(first.directory)
    second = OwnFleet.__new__(OwnFleet)
    second.__dict__.update({**first.__dict__, "clients": []})
    second._start_daemon({"n": 2, "name": first.name})
    first.process.send_signal(signal.SIGCONT)  # type: ignore[union-attr]
    try:
        assert mec.apply(lambda: 1, timeout=20) == [1]
        with MultiEngineClient(first.name) as other:
            assert other.get_ids() == [0, 1]
            first.stop()
            assert other.apply(lambda: 1, timeout=20) == [1, 1]
        with MultiEngineClient(first.name) as other:
            assert other.get_ids() == [0, 1]
    finally:
        second.process.terminate()  # type: ignore[union-attr]
        second.process.wait(20)  # type: ignore[union-attr]
        second.process.stdout.close()  # type: ignore[union-attr]
    with pytest.raises(FleetNotFound):
        MultiEngineClient(first.name)


# -- folders and limits -------------------------------------------------------------------------

TWO = "from kernelfleet import Fleet\nwith Fleet(2) as mec: print(mec.apply(lambda: 1), end='')"


def python(
    code: str, *, limit: str = "", cwd: Path | None = None, **environment: str | None
) -> subprocess.CompletedProcess[str]:
    """Run a script in an odd environment; None takes a variable away."""
    env = {**os.environ, **environment}
    return subprocess.run(
        ["sh", "-c", f'{limit}\nexec "$0" -P "$@"', sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env={name: value for name, value in env.items() if value is not None},
        check=False,
    )


def test_a_folder_that_was_deleted_cannot_be_worked_in_which_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    code = f"import os, sys; sys.path.insert(0, {os.getcwd()!r})\nos.rmdir(os.getcwd())\n"
    finished = python(code + TWO, cwd=folder)
    assert finished.returncode == 1
    assert "the folder that this process works in was deleted" in finished.stderr.splitlines()[-1]
    folder.mkdir()
    finished = python(code + TWO.replace("Fleet(2)", "Fleet(2, cwd='/')"), cwd=folder)
    assert finished.stdout == "[1, 1]", finished.stderr


def test_neither_home_nor_a_folder_for_temporary_files_is_needed(tmp_path: Path) -> None:
    finished = python(TWO, HOME=None, TMPDIR=str(tmp_path / "no such folder"))
    assert finished.stdout == "[1, 1]", finished.stderr
    finished = python(TWO, JUPYTER_RUNTIME_DIR=None, JUPYTER_DATA_DIR=None, HOME="/proc/no home")
    assert finished.returncode == 1
    assert "/proc/no home" in finished.stderr.splitlines()[-1]


@pytest.mark.parametrize("where", ["client", "engines"])
def test_large_data_travel_as_messages_where_there_is_no_shared_memory_left(where: str) -> None:
    limit = "ulimit -f 1024" if where == "client" else ""
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))"
    options = {} if where == "client" else {"on_start": code}
    script = (
        "from kernelfleet import Fleet\n"
        f"with Fleet(2, **{options!r}) as mec:\n"
        "    mec.push({'x': bytes(5_000_000)})\n"
        "    print([len(each) for each in mec.pull('x')], end='')\n"
    )
    finished = python(script, limit=limit)
    assert finished.stdout == "[5000000, 5000000]", finished.stderr


def test_too_few_open_files_are_a_start_error_with_a_remedy(mark: str) -> None:
    finished = python(TWO, limit="ulimit -n 64")
    assert "open files" in finished.stderr.splitlines()[-1]
    assert "LimitNOFILE" in finished.stderr.splitlines()[-1]
    eventually(lambda: not marked(mark))


def test_a_client_without_open_files_left_is_told_and_disturbs_nobody(
    own_fleet: Callable[..., OwnFleet],
) -> None:
    fleet = own_fleet(2, transport="unix")
    mec = fleet.client()
    script = f"""
import os, resource
from kernelfleet import MultiEngineClient
import kernelfleet.client.client
with MultiEngineClient({fleet.name!r}) as mec: mec.get_ids()
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
taken = []
try:
    while True: taken.append(os.open('/dev/null', os.O_RDONLY))
except OSError:
    pass
try:
    MultiEngineClient({fleet.name!r})
except Exception as error:
    print(error, end='')
for fd in taken: os.close(fd)
with MultiEngineClient({fleet.name!r}) as mec: assert mec.apply(lambda: 1) == [1, 1]
"""
    finished = python(script)
    assert finished.returncode == 0, finished.stderr
    assert "Too many open files" in finished.stdout
    assert mec.apply(lambda: 1, timeout=20) == [1, 1]


@pytest.mark.parametrize("fork", ["--fork", "--no-fork"])
def test_a_limit_of_processes_is_a_start_error_that_says_so(
    fork: str, mark: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    command = [sys.executable, "-m", "kernelfleet.cli", "start", "-n", "6"]
    command += [] if fork == "--fork" else [fork]
    if os.geteuid() != 0 or None in map(shutil.which, ["setpriv", "prlimit"]):
        pytest.skip("only root can be somebody who has no other processes")
    os.chown(home, 65534, 65534)
    for folder in home.parents:
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    readable = "+dac_read_search"  # of the interpreter and this package, wherever they are
    user = ["setpriv", "--reuid=65534", "--clear-groups"]
    user += [f"--inh-caps={readable}", f"--ambient-caps={readable}"]
    finished = subprocess.run(
        ["prlimit", "--nproc=30", *user, *command],
        capture_output=True,
        text=True,
        timeout=90,
        env={
            **os.environ,
            "HOME": str(home),
            "JUPYTER_RUNTIME_DIR": str(home / "run"),
            "JUPYTER_DATA_DIR": str(home / "data"),
        },
        check=False,
    )
    assert finished.returncode == 1, finished.stderr
    assert "did not" in finished.stderr or "could not be started" in finished.stderr
    assert "limit of processes" in finished.stderr
    eventually(lambda: not marked(mark))
    assert not list((home / "run" / "kernelfleet").iterdir())
