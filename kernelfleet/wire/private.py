"""Directories and files that nobody else can look into, replace, or lead us away from.

A directory of ours has 0700 and a file 0600 whatever the umask; a symbolic link in their place,
or another owner, is refused. On Windows a user's own folders are private by themselves.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jupyter_core.paths import jupyter_data_dir

#: Where links are followed by the system itself (Windows), the folders are the user's own.
_NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)


def private_dir(path: Path) -> Path:
    """Make ``path`` a directory of ours that nobody else can look into.

    Directories above it that are missing are made as private.

    Raises:
        PermissionError: it is a symlink, or belongs to somebody else.
    """
    missing = [path]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
    info = path.lstat()
    if not stat.S_ISDIR(info.st_mode) or not is_ours(info):
        raise PermissionError(f"{path} is a link or belongs to another user; remove it")
    if stat.S_IMODE(info.st_mode) & 0o077:
        path.chmod(0o700)
    return path


@contextmanager
def telling_what_to_set(path: Path) -> Iterator[None]:
    """Say what to do where a directory of Jupyter's cannot be made: HOME may be read-only.

    Args:
        path: The directory that is to be made.
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
    """Refuse a directory in which others could put something in the place of what is ours.

    Raises:
        PermissionError: it belongs to another user, or others may write to it.
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
    # Where the sticky bit is set (/tmp), a file can be replaced by its owner alone.
    if os.name == "posix" and info.st_mode & 0o022 and not info.st_mode & stat.S_ISVTX:
        raise PermissionError(
            f"other users may write to {path} and so replace what a fleet keeps there: "
            f"chmod go-w {path}, or set JUPYTER_RUNTIME_DIR to a directory of your own"
        )


def open_private(path: Path | str, flags: int) -> int:
    """Open a file of ours, made if ``flags`` say so; returns the descriptor.

    Raises:
        OSError: it is a link, is not there, or belongs to somebody else.
    """
    fd = os.open(path, flags | _NOFOLLOW | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        info = os.fstat(fd)
        if not is_ours(info):
            raise PermissionError(f"{path} belongs to another user; remove it")
        if os.name == "posix" and stat.S_IMODE(info.st_mode) & 0o077:
            os.fchmod(fd, 0o600)
    except BaseException:
        os.close(fd)
        raise
    return fd


def write_private(path: Path, text: str) -> None:
    """Write a file that is new, or ours."""
    with os.fdopen(open_private(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "w") as file:
        file.write(text)


def read_own(path: Path) -> str:
    """Read a file that we have written ourselves.

    Raises:
        OSError: it is a link, is not there, or somebody else has or could have written it.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | _NOFOLLOW)) as file:
        info = os.fstat(file.fileno())
        if not is_ours(info) or (os.name == "posix" and info.st_mode & 0o022):
            raise PermissionError("another user has written it, or could have")
        return file.read()


def close_to_others(path: Path) -> None:
    """Take a socket's permissions from everybody else; ZMQ makes sockets by the umask."""
    try:
        path.chmod(0o600)
    except FileNotFoundError:
        return


def is_ours(info: os.stat_result) -> bool:
    """Whether a file belongs to this user."""
    return not hasattr(os, "getuid") or info.st_uid == os.getuid()


def _make_try_lock() -> Callable[[int], bool]:
    """Both kinds of lock end with the process that holds them, however it ends."""
    try:
        import fcntl
    except ImportError:
        import msvcrt

        # (the type checker looks at one platform at a time, and this is another one's)
        locking, mode = (getattr(msvcrt, name) for name in ("locking", "LK_NBLCK"))
        return lambda fd: _succeeds(lambda: locking(fd, mode, 1))
    return lambda fd: _succeeds(lambda: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB))


def _succeeds(call: Callable[[], object]) -> bool:
    try:
        call()
    except OSError:
        return False
    return True


#: Lock an open file unless another process has; it is let go with the descriptor.
try_lock = _make_try_lock()
