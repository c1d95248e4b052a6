"""Nobody else can look into what is ours, replace it, or lead us away from it."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelfleet.wire.files import private_files

#: Somebody who is not us.
STRANGER = 65533

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=["umask 000", "umask 022", "umask 077"])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.usefixtures("umask")
def test_directories_are_private_with_all_that_had_to_be_made_above_them(tmp_path: Path) -> None:
    private_files.private_dir(tmp_path / "a" / "b" / "c")
    assert [mode(tmp_path / each) for each in ("a", "a/b", "a/b/c")] == [0o700] * 3


def test_a_directory_above_that_was_there_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o755)
    private_files.private_dir(tmp_path / "a" / "b")
    assert mode(tmp_path / "a") == 0o755


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("variable", ["JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"])
@pytest.mark.parametrize("home", ["/proc/nowhere", "a-file"])
def test_a_directory_that_cannot_be_made_is_told_with_the_variable_that_moves_it(
    variable: str, home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a-file").touch()
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    path = tmp_path / home / "kernelfleet"
    if variable == "JUPYTER_DATA_DIR":
        monkeypatch.setenv(variable, str(path.parent))
    told = rf"cannot make {path} .*: set {variable} to a dir"
    with pytest.raises(OSError, match=told) as caught, private_files.telling_what_to_set(path):
        private_files.private_dir(path)
    assert "\n" not in str(caught.value)


def test_any_other_error_of_a_directory_is_left_as_it_is(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with (
        pytest.raises(OSError, match="No space") as caught,
        private_files.telling_what_to_set(tmp_path),
    ):
        raise full
    assert caught.value.errno == errno.ENOSPC


def test_files_are_private_new_or_old(tmp_path: Path) -> None:
    private_files.write_private(tmp_path / "new", "text")
    (tmp_path / "old").write_text("much longer than what replaces it")
    private_files.write_private(tmp_path / "old", "text")
    for name in ("new", "old"):
        assert mode(tmp_path / name) == 0o600
        assert private_files.read_own(tmp_path / name) == "text"


def test_a_link_is_neither_read_nor_written(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("theirs")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"):
        private_files.read_own(tmp_path / "link")
    with pytest.raises(OSError, match="symbolic links"):
        private_files.write_private(tmp_path / "link", "ours")
    assert (tmp_path / "target").read_text() == "theirs"


def test_a_file_that_others_may_write_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "file").chmod(0o646)
    with pytest.raises(PermissionError, match="could have"):
        private_files.read_own(tmp_path / "file")


@needs_root
def test_what_belongs_to_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for name in ("file", "folder"):
        os.chown(tmp_path / name, STRANGER, STRANGER)
    with pytest.raises(PermissionError, match="another user"):
        private_files.read_own(tmp_path / "file")
    with pytest.raises(PermissionError, match="another user"):
        private_files.write_private(tmp_path / "file", "ours")
    with pytest.raises(PermissionError, match="another user"):
        private_files.private_dir(tmp_path / "folder")
    with pytest.raises(PermissionError, match=r"uid 65533.*JUPYTER_RUNTIME_DIR"):
        private_files.refuse_shared(tmp_path / "folder")


@pytest.mark.parametrize(
    ("bits", "refused"), [(0o700, False), (0o755, False), (0o775, True), (0o707, True)]
)
def test_a_directory_in_which_others_may_write_is_refused(
    tmp_path: Path, bits: int, refused: bool
) -> None:
    tmp_path.chmod(bits)
    if refused:
        with pytest.raises(PermissionError, match="chmod go-w"):
            private_files.refuse_shared(tmp_path)
    else:
        private_files.refuse_shared(tmp_path)


def test_a_directory_in_which_everybody_keeps_his_own_will_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    private_files.refuse_shared(tmp_path)
    private_files.refuse_shared(tmp_path / "not there yet")


def test_a_socket_is_closed_to_others_and_one_that_is_gone_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "socket").touch(mode=0o777)
    private_files.close_to_others(tmp_path / "socket")
    private_files.close_to_others(tmp_path / "gone")
    assert mode(tmp_path / "socket") == 0o600


def test_a_lock_is_one_process_s_and_ends_with_it(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from kernelfleet.wire.files.private_files import try_lock\n"
        "print(try_lock(os.open(sys.argv[1], os.O_RDWR)), flush=True)\n"
        "sys.stdin.read()\n"
    )
    path = tmp_path / "lock"
    path.touch()
    fd = os.open(path, os.O_RDWR)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"True\n"
        assert not private_files.try_lock(fd)
        holder.kill()
        holder.wait()
        assert private_files.try_lock(fd)
    os.close(fd)


# -- what is no file, and where links lead ------------------------------------------------------


@pytest.fixture
def alarm() -> Iterator[None]:
    """A test that waits for the other end of a fifo fails instead."""

    def too_long(*_: object) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, 10)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("read_by", [False, True], ids=["alone", "with a reader"])
@pytest.mark.parametrize(
    "flags",
    [os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, os.O_WRONLY | os.O_APPEND, os.O_RDWR],
)
def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path, flags: int, read_by: bool) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o644)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK) if read_by else None
    try:
        with pytest.raises(PermissionError, match="is no file; remove it"):
            private_files.open_private(fifo, flags)
        for read in (private_files.read_own, private_files.open_any):
            with pytest.raises(PermissionError, match="is no file"):
                read(fifo)
    finally:
        if reader is not None:
            os.close(reader)
    assert mode(fifo) == 0o644


def test_a_directory_and_a_socket_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "socket"))
        for name in ("folder", "socket"):
            for read in (private_files.read_own, private_files.open_any):
                with pytest.raises(OSError, match=r"is no file|[Nn]o such device"):
                    read(tmp_path / name)


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("flags", [os.O_RDWR, os.O_RDWR | os.O_CREAT | os.O_TRUNC])
def test_a_link_above_is_not_followed_and_the_file_it_leads_to_stays_as_it_is(
    tmp_path: Path, level: int, flags: int
) -> None:
    """Once, looking whether a fleet runs took permissions from a file that others' links led to."""
    home = tmp_path / "home"
    (home / "one").mkdir(parents=True)
    (home / "one" / "lock").write_text("precious")
    (home / "one" / "lock").chmod(0o644)
    (tmp_path / "fleets").mkdir()
    if level:
        (tmp_path / "fleets" / "one").symlink_to(home / "one")
        path = tmp_path / "fleets" / "one" / "lock"
    else:
        (tmp_path / "linked").symlink_to(home)
        path = tmp_path / "linked" / "one" / "lock"
    with pytest.raises(PermissionError, match="is a link or belongs to another user"):
        private_files.open_private(path, flags, above=2)
    assert mode(home / "one" / "lock") == 0o644
    assert (home / "one" / "lock").read_text() == "precious"


def test_a_directory_that_others_may_write_to_is_no_place_for_what_is_ours(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "lock").touch()
    (tmp_path / "one").chmod(0o777)
    with pytest.raises(PermissionError, match="not ours alone: others may write to it"):
        private_files.open_private(tmp_path / "one" / "lock", os.O_RDWR)


@needs_root
@pytest.mark.parametrize("whose", ["folder", "file"])
def test_what_is_somebody_elses_is_neither_changed_nor_cut(tmp_path: Path, whose: str) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "file").write_text("theirs")
    (folder / "file").chmod(0o644)
    os.chown(folder if whose == "folder" else folder / "file", STRANGER, STRANGER)
    with pytest.raises(PermissionError, match="another user"):
        private_files.write_private(folder / "file", "ours")
    assert (folder / "file").read_text() == "theirs"
    assert mode(folder / "file") == 0o644


def test_a_look_at_a_file_takes_no_permissions(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "file").chmod(0o644)
    os.close(private_files.open_private(tmp_path / "file", os.O_RDWR))
    assert mode(tmp_path / "file") == 0o644
    os.close(private_files.open_private(tmp_path / "file", os.O_RDWR | os.O_CREAT))
    assert mode(tmp_path / "file") == 0o600


def test_what_is_opened_blocks_as_files_do(tmp_path: Path) -> None:
    fd = private_files.open_private(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    assert os.get_blocking(fd)
    os.close(fd)


@pytest.mark.parametrize("above", [0, 1, 2])
def test_what_is_not_there_is_told_by_its_path(tmp_path: Path, above: int) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        private_files.read_own(tmp_path / "gone", above)
    assert raised.value.filename == str(tmp_path / "gone")


def test_systems_without_descriptors_of_directories_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "supports_dir_fd", set())
    private_files.write_private(tmp_path / "file", "text")
    assert private_files.read_own(tmp_path / "file") == "text"
