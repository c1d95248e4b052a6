"""The runtime directory of a fleet: one owner per name, private, and removed afterwards."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelfleet.errors import FleetExists, FleetNotFound
from kernelfleet.wire.files import connection_file, fleet_directory, fleet_paths
from kernelfleet.wire.files.fleet_directory import FleetDirectory
from tests.wire.files.fleets import info, mode

pytestmark = pytest.mark.usefixtures("runtime")


# -- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../x", "-a", "_a", ".a", "a b", "ü", "a\n", "x" * 65, "a\0"]
)
def test_a_name_that_could_leave_the_directory_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a fleet"):
        FleetDirectory(name)


# -- one owner per name -----------------------------------------------------------------------


def test_a_name_is_taken_once_and_free_again_afterwards(
    take: Callable[[str], FleetDirectory],
) -> None:
    first = take("one")
    first.write(info("one"))
    with pytest.raises(FleetExists, match=rf"'one' is already running \(pid {os.getpid()}\)"):
        take("one")
    assert fleet_paths.is_running("one")
    first.remove()
    assert not fleet_paths.is_running("one")
    take("one")


def test_removing_twice_leaves_a_successor_alone(take: Callable[[str], FleetDirectory]) -> None:
    first = take("one")
    first.remove()
    second = take("one")
    second.write(info("one"))
    first.remove()
    assert (second.path / "fleet.json").exists()


RACER = """
import sys
from kernelfleet.wire.files.fleet_directory import FleetDirectory
from kernelfleet.errors import FleetExists
sys.stdin.readline()
try:
    directory = FleetDirectory("race")
except FleetExists:
    print("refused", flush=True)
else:
    print("taken", flush=True)
    sys.stdin.readline()
    directory.remove()
"""


def start_racers(count: int) -> list[subprocess.Popen[str]]:
    return [
        subprocess.Popen(
            [sys.executable, "-c", RACER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(count)
    ]


def tell(racer: subprocess.Popen[str]) -> None:
    assert racer.stdin is not None
    racer.stdin.write("\n")
    racer.stdin.flush()


def test_of_several_processes_that_want_a_name_exactly_one_gets_it(runtime: Path) -> None:
    stale = runtime / "kernelfleet" / "race"
    for leave_a_crashed_fleet in (False, True, True):
        if leave_a_crashed_fleet:
            stale.mkdir(parents=True)
            (stale / "lock").touch()
            (stale / "fleet.json").write_text("old")
        racers = start_racers(4)
        try:
            for racer in racers:
                tell(racer)
            answers = [racer.stdout.readline().strip() for racer in racers if racer.stdout]
            assert sorted(answers) == ["refused", "refused", "refused", "taken"]
            tell(racers[answers.index("taken")])
            assert [racer.wait(20) for racer in racers] == [0] * 4
        finally:
            for racer in racers:
                racer.kill()
                racer.communicate()
        assert not stale.exists()


# -- what a crash leaves ----------------------------------------------------------------------


def crash(name: str, *, short_dir: bool = False) -> Path | None:
    """Leave what a killed fleet leaves; gives back its short socket directory."""
    code = (
        "import os, sys\n"
        "from kernelfleet.wire.files.connection_file import FleetFile\n"
        "from kernelfleet.wire.files.fleet_directory import FleetDirectory\n"
        "directory = FleetDirectory(sys.argv[1])\n"
        "directory.write(FleetFile(sys.argv[1], os.getpid(), 'here', 1.0, 'key'))\n"
        "(directory.sockets / 'client.sock').touch()\n"
        "print(directory.sockets, flush=True)\n"
        "os._exit(1)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, name], capture_output=True, text=True, timeout=60, check=False
    )
    sockets = Path(run.stdout.strip())
    assert (sockets != fleet_paths.fleet_dir(name)) == short_dir, run.stderr
    return sockets


def test_the_next_fleet_of_the_name_finds_an_empty_directory(
    take: Callable[[str], FleetDirectory],
) -> None:
    crash("one")
    assert (fleet_paths.fleet_dir("one") / "fleet.json").exists()
    directory = take("one")
    assert [path.name for path in directory.path.iterdir()] == ["lock"]


def test_a_crashed_fleet_is_not_running_and_not_found(
    take: Callable[[str], FleetDirectory],
) -> None:
    crash("gone")
    take("alive").write(info("alive"))
    assert not fleet_paths.is_running("gone")
    assert [fleet.name for fleet in connection_file.find_fleets()] == ["alive"]


def test_what_crashed_fleets_left_is_removed_and_running_ones_are_not(
    take: Callable[[str], FleetDirectory],
) -> None:
    crash("gone")
    alive = take("alive")
    alive.write(info("alive"))
    assert fleet_directory.remove_stale() == [("gone", False)]
    assert not fleet_paths.fleet_dir("gone").exists()
    assert (alive.path / "fleet.json").exists()
    assert fleet_directory.remove_stale() == []


def test_a_stray_link_in_a_crashed_directory_is_removed_but_not_followed(
    take: Callable[[str], FleetDirectory], tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    crash("one")
    (fleet_paths.fleet_dir("one") / "link").symlink_to(precious)
    take("one").remove()
    assert (precious / "file").exists()


# -- privacy ----------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777 & ~0o700])
def test_directories_are_0700_and_files_0600_whatever_the_umask(
    take: Callable[[str], FleetDirectory], umask: int
) -> None:
    before = os.umask(umask)
    try:
        directory = take("one")
        file = directory.write(info("one"))
    finally:
        os.umask(before)
    assert mode(directory.path) == 0o700
    assert mode(fleet_paths.fleets_dir()) == 0o700
    assert mode(file) == 0o600
    assert mode(directory.path / "lock") == 0o600


def test_a_directory_that_is_open_to_others_is_closed(
    runtime: Path, take: Callable[[str], FleetDirectory]
) -> None:
    (runtime / "kernelfleet" / "one").mkdir(parents=True)
    (runtime / "kernelfleet" / "one").chmod(0o777)
    (runtime / "kernelfleet").chmod(0o755)
    take("one")
    assert mode(runtime / "kernelfleet" / "one") == mode(runtime / "kernelfleet") == 0o700


def test_links_are_refused(runtime: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (runtime / "kernelfleet").mkdir(parents=True)
    (runtime / "kernelfleet" / "linked").symlink_to(elsewhere)
    with pytest.raises(PermissionError, match="is a link"):
        FleetDirectory("linked")
    (runtime / "kernelfleet" / "locked").mkdir()
    (runtime / "kernelfleet" / "locked" / "lock").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic links"):
        FleetDirectory("locked")
    assert not (tmp_path / "other").exists()
    assert list(elsewhere.iterdir()) == []


def test_a_link_in_the_place_of_all_fleets_is_refused(runtime: Path, tmp_path: Path) -> None:
    runtime.mkdir()
    (runtime / "kernelfleet").symlink_to(tmp_path)
    with pytest.raises(PermissionError, match="is a link"):
        FleetDirectory("one")


def test_fleets_are_not_looked_for_where_a_link_leads(runtime: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "one").mkdir(parents=True)
    for name in ("lock", "fleet.json"):
        (home / "one" / name).write_text("{}")
        (home / "one" / name).chmod(0o644)
    runtime.mkdir()
    (runtime / "kernelfleet").symlink_to(home)
    assert not fleet_paths.is_running("one")
    assert connection_file.find_fleets() == []
    assert fleet_directory.remove_stale() == []
    with pytest.raises(FleetNotFound, match="is a link"):
        connection_file.read("one")
    for name in ("lock", "fleet.json"):
        assert (home / "one" / name).read_text() == "{}"
        assert (home / "one" / name).stat().st_mode & 0o777 == 0o644


def test_a_link_cannot_redirect_the_connection_file(
    take: Callable[[str], FleetDirectory], tmp_path: Path
) -> None:
    directory = take("one")
    (directory.path / ".fleet.json").symlink_to(tmp_path / "stolen")
    with pytest.raises(OSError, match="exist"):
        directory.write(info("one"))
    assert not (tmp_path / "stolen").exists()


# -- long paths -------------------------------------------------------------------------------


@pytest.fixture
def long_runtime(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    long = runtime / ("d" * 90)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(long))
    return long


@pytest.mark.usefixtures("long_runtime")
def test_a_long_path_falls_back_to_a_short_private_directory(
    take: Callable[[str], FleetDirectory],
) -> None:
    directory = take("one")
    short = directory.sockets
    assert short != directory.path
    longest = len(os.fsencode(short)) + fleet_directory.SOCKET_NAME_BYTES
    assert longest <= fleet_directory.MAX_SOCKET_PATH_BYTES
    assert mode(short) == 0o700
    assert directory.sockets == short
    directory.remove()
    assert not short.exists()
    assert not directory.path.exists()


@pytest.mark.usefixtures("long_runtime")
@pytest.mark.parametrize("by", ["the next of its name", "anybody's start"])
def test_the_short_directory_of_a_crashed_fleet_goes_too(
    take: Callable[[str], FleetDirectory], by: str
) -> None:
    short = crash("one", short_dir=True)
    assert short is not None
    assert short.exists()
    if by == "anybody's start":
        assert fleet_directory.remove_stale() == [("one", False)]
    else:
        take("one")
    assert not short.exists()


@pytest.mark.usefixtures("long_runtime")
def test_a_note_that_names_somebody_elses_directory_removes_nothing(
    take: Callable[[str], FleetDirectory], tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    directory = take("one")
    (directory.path / "sockets_dir").write_text(str(precious))
    directory.remove()
    assert precious.exists()


def test_a_short_path_needs_no_other_directory(take: Callable[[str], FleetDirectory]) -> None:
    directory = take("one")
    assert directory.sockets == directory.path


# -- what others have prepared for us -----------------------------------------------------------


def test_a_runtime_directory_that_others_may_write_to_is_refused_with_what_to_do(
    runtime: Path,
) -> None:
    runtime.mkdir()
    runtime.chmod(0o777)
    with pytest.raises(PermissionError, match=r"chmod go-w .*runtime, or set JUPYTER_RUNTIME_DIR"):
        FleetDirectory("one")
    assert list(runtime.iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("place", ["runtime", "all fleets", "the fleet", "the lock"])
def test_what_belongs_to_another_user_is_refused(runtime: Path, place: str) -> None:
    fleet = runtime / "kernelfleet" / "one"
    fleet.mkdir(parents=True)
    (fleet / "lock").touch()
    theirs = {"runtime": runtime, "all fleets": fleet.parent, "the fleet": fleet}
    os.chown(theirs.get(place, fleet / "lock"), 65533, 65533)
    with pytest.raises(PermissionError, match="another user"):
        FleetDirectory("one")


def test_a_link_in_the_place_of_the_note_of_sockets_is_not_followed(
    take: Callable[[str], FleetDirectory], tmp_path: Path
) -> None:
    precious = tmp_path / "kf-precious"
    precious.mkdir()
    (tmp_path / "note").write_text(str(precious))
    directory = take("one")
    (directory.path / "sockets_dir").symlink_to(tmp_path / "note")
    directory.remove()
    assert precious.exists()


@pytest.mark.parametrize("what", ["everything", "the directory", "the connection file"])
def test_what_somebody_has_deleted_is_made_again_once(
    take: Callable[[str], FleetDirectory], what: str
) -> None:
    directory = take("one")
    path = directory.write(info("one"))
    told: list[bool] = []
    directory.when_restored.append(lambda: told.append(path.exists()))
    assert not directory.restore()
    if what == "the connection file":
        path.unlink()
    else:
        shutil.rmtree(fleet_paths.fleets_dir() if what == "everything" else directory.path)
    assert directory.restore()
    assert not directory.restore()
    assert told == [True]
    assert connection_file.read("one") == info("one")
    assert fleet_paths.is_running("one")
    directory.remove()
    assert not directory.path.exists()
    assert not directory.restore()


def test_a_name_that_another_took_meanwhile_is_not_taken_back_nor_its_directory_removed(
    take: Callable[[str], FleetDirectory],
) -> None:
    first = take("one")
    first.write(info("one"))
    shutil.rmtree(first.path)
    second = take("one")
    second.write(info("one", pid=1))
    with pytest.raises(FleetExists):
        first.restore()
    first.remove()
    assert connection_file.read("one").pid == 1
    assert fleet_paths.is_running("one")


@pytest.mark.usefixtures("long_runtime")
def test_a_short_directory_that_was_deleted_is_made_again_and_removed_in_the_end(
    take: Callable[[str], FleetDirectory],
) -> None:
    directory = take("one")
    short = directory.sockets
    shutil.rmtree(short)
    assert directory.restore()
    assert stat.S_IMODE(short.stat().st_mode) == 0o700
    shutil.rmtree(directory.path)
    directory.remove()
    assert not short.exists()
