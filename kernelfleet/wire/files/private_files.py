"""Directories and files that no other user can read, replace, or redirect by a link.

A directory has the mode 0700 and a file 0600, whatever the umask. A symbolic link in their place is
refused, and so are another owner, a fifo, which would block who opens it, and everything else that
is no regular file. A file is opened, then examined, and only then changed, so that the permissions
and the contents of a file that a link leads to stay as they are. On Windows the user's own folders
are private already.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jupyter_core.paths import jupyter_data_dir

#: Windows has no such flag; there the folders are private to the user.
_NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
#: Without it, opening a fifo waits until somebody opens its other end.
_NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)
_CLOEXEC: int = getattr(os, "O_CLOEXEC", 0)
#: On Linux, a directory can be passed through without the permission to read it.
_PASS: int = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | _CLOEXEC


def private_dir(path: Path) -> Path:
    """Make ``path`` a directory of this user that nobody else can read.

    Missing directories above it are made with the same mode.

    Raises:
        PermissionError: It is a symbolic link, or belongs to another user.
    """
    missing = [path]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
    info = path.lstat()
    if not stat.S_ISDIR(info.st_mode) or not is_ours(info):
        raise PermissionError(_refusal(path))
    if stat.S_IMODE(info.st_mode) & 0o077:
        if _NOFOLLOW:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _NOFOLLOW | _CLOEXEC)
            try:
                os.fchmod(fd, 0o700)
            finally:
                os.close(fd)
        else:
            path.chmod(0o700)
    return path


def _refusal(path: Path) -> str:
    return f"{path} is a link or belongs to another user; remove it"


@contextmanager
def telling_what_to_set(path: Path) -> Iterator[None]:
    """Say what to set if a directory of Jupyter's cannot be made, as when HOME is read-only.

    Args:
        path: The directory to be made.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR):
            raise
        # The runtime directory lies in the data directory, unless it was moved.
        inside = path.is_relative_to(jupyter_data_dir())
        variable = "JUPYTER_DATA_DIR" if inside else "JUPYTER_RUNTIME_DIR"
        raise type(error)(
            f"cannot make {path} ({error.strerror}: {error.filename}): set {variable} to a "
            "directory that you can write to"
        ) from None


def refuse_shared(path: Path) -> None:
    """Refuse a directory in which other users could replace this user's files.

    Raises:
        PermissionError: It belongs to another user, or others may write to it.
    """
    try:
        info = path.stat()
    except FileNotFoundError:
        return
    if not is_ours(info) and info.st_uid != 0:
        raise PermissionError(
            f"{path} belongs to another user (uid {info.st_uid}), who could replace what a fleet "
            "keeps there: set JUPYTER_RUNTIME_DIR to a directory of your own"
        )
    # With the sticky bit (/tmp), only its owner can replace a file.
    if os.name == "posix" and info.st_mode & 0o022 and not info.st_mode & stat.S_ISVTX:
        raise PermissionError(
            f"other users may write to {path} and so replace what a fleet keeps there: "
            f"chmod go-w {path}, or set JUPYTER_RUNTIME_DIR to a directory of your own"
        )


def open_private(path: Path | str, flags: int, above: int = 1) -> int:
    """Open a file of this user, and return the descriptor.

    Args:
        path: The file.
        flags: As for ``os.open``. With ``O_CREAT``, other users' permissions are removed.
        above: How many of the directories above it must also belong to this user alone.

    Raises:
        OSError: It is a link, a fifo or another special file, does not exist, or belongs to another
            user.
    """
    truncate = flags & os.O_TRUNC
    fd = _open(Path(path), (flags & ~truncate) | _NOFOLLOW, above)
    try:
        info = _look(fd, path)
        if not is_ours(info):
            raise PermissionError(f"{path} belongs to another user; remove it")
        if flags & os.O_CREAT and os.name == "posix" and stat.S_IMODE(info.st_mode) & 0o077:
            os.fchmod(fd, 0o600)
        if truncate:
            os.ftruncate(fd, 0)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _open(path: Path, flags: int, above: int) -> int:
    """Open a file below directories of this user, without waiting for a fifo's other end."""
    flags |= _NONBLOCK | _CLOEXEC
    if above == 0 or os.open not in os.supports_dir_fd:
        return os.open(path, flags, 0o600)
    path = path.absolute()
    directory = os.open(path.parents[above], _PASS)
    try:
        for level in range(above - 1, -1, -1):
            outer, directory = directory, _step(path.parents[level], directory)
            os.close(outer)
        return os.open(path.name, flags, 0o600, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a fifo that nobody reads
            raise PermissionError(f"{path} is no file; remove it") from None
        if error.errno is not None and error.filename == path.name:
            error.filename = str(path)
        raise
    finally:
        os.close(directory)


def _step(path: Path, outer: int) -> int:
    """Open a directory that must belong to this user and be writable for nobody else."""
    try:
        fd = os.open(path.name, _PASS | _NOFOLLOW, dir_fd=outer)
    except FileNotFoundError:
        raise
    except OSError:
        raise PermissionError(_refusal(path)) from None
    info = os.fstat(fd)
    if is_ours(info) and not info.st_mode & 0o022:
        return fd
    os.close(fd)
    why = "others may write to it" if is_ours(info) else "it belongs to another user"
    raise PermissionError(f"{path} is not ours alone: {why}")


def _look(fd: int, path: Path | str) -> os.stat_result:
    """Return the status of what has been opened; it must be a regular file."""
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        raise PermissionError(f"{path} is no file; remove it")
    if _NONBLOCK:
        os.set_blocking(fd, True)  # users of the descriptor expect that
    return info


def write_private(path: Path, text: str, above: int = 1) -> None:
    """Write a new file, or replace one of this user; ``above`` is as for ``open_private``."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(open_private(path, flags, above), "w") as file:
        file.write(text)


def read_own(path: Path, above: int = 1) -> str:
    """Read a file that only this user can have written; ``above`` is as for ``open_private``.

    Raises:
        OSError: It is a link or no regular file, does not exist, or another user has written it or
            could have.
    """
    with os.fdopen(open_private(path, os.O_RDONLY, above)) as file:
        if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o022:
            raise PermissionError("another user has written it, or could have")
        return file.read()


def open_any(path: Path) -> int:
    """Open a file that the user has named, for reading. Links are followed, fifos are refused.

    Raises:
        OSError: It does not exist, or is no regular file.
    """
    fd = _open(path, os.O_RDONLY, 0)
    try:
        _look(fd, path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_any(path: Path) -> str:
    """Read a file that the user has named; raises as ``open_any``."""
    with os.fdopen(open_any(path)) as file:
        return file.read()


def close_to_others(path: Path) -> None:
    """Remove other users' permissions on a socket: ZMQ makes sockets by the umask."""
    try:
        path.chmod(0o600)
    except FileNotFoundError:
        return


def is_ours(info: os.stat_result) -> bool:
    """Tell whether a file belongs to this user."""
    return not hasattr(os, "getuid") or info.st_uid == os.getuid()


def _make_try_lock() -> Callable[[int], bool]:
    """Choose the kind of lock that the system has. Either ends with the process that holds it."""
    try:
        import fcntl
    except ImportError:
        import msvcrt

        # (by getattr, because the type checker sees the names of one platform only)
        locking, mode = (getattr(msvcrt, name) for name in ("locking", "LK_NBLCK"))
        return lambda fd: _succeeds(lambda: locking(fd, mode, 1))
    return lambda fd: _succeeds(lambda: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB))


def _succeeds(call: Callable[[], object]) -> bool:
    try:
        call()
    except OSError:
        return False
    return True


#: Lock an open file unless another process has locked it. Closing the descriptor unlocks it.
try_lock = _make_try_lock()
