"""Directories and files that nobody else can look into, replace, or lead us away from.

A directory of ours has 0700 and a file 0600 whatever the umask; a symbolic link in their place,
or another owner, is refused. So is a fifo, which would block whoever opens it, and all else that is
no file. What has been opened is looked at first, and only then changed: permissions and contents
of a file that we were led to stay as they are. On Windows a user's own folders are private by
themselves.
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
#: Without it, opening a fifo waits until somebody opens its other end.
_NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)
_CLOEXEC: int = getattr(os, "O_CLOEXEC", 0)
#: A directory that is only passed through need not be readable (Linux).
_PASS: int = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | _CLOEXEC


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


def open_private(path: Path | str, flags: int, above: int = 1) -> int:
    """Open a file of ours, made if ``flags`` say so; returns the descriptor.

    Args:
        path: The file.
        flags: As for ``os.open``. Only with ``O_CREAT`` are others' permissions taken away.
        above: How many of the directories above it must be ours alone as well.

    Raises:
        OSError: it is a link, a fifo or no file at all, is not there, or belongs to somebody else.
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
    """Open a file below directories that are ours, without waiting for a fifo's other end."""
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
    """Enter a directory that must be ours, and writable for nobody else."""
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
    """What has been opened; it must be a file."""
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        raise PermissionError(f"{path} is no file; remove it")
    if _NONBLOCK:
        os.set_blocking(fd, True)  # whoever inherits it expects that
    return info


def write_private(path: Path, text: str, above: int = 1) -> None:
    """Write a file that is new, or ours; ``above`` is as for ``open_private``."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(open_private(path, flags, above), "w") as file:
        file.write(text)


def read_own(path: Path, above: int = 1) -> str:
    """Read a file that we have written ourselves; ``above`` is as for ``open_private``.

    Raises:
        OSError: it is a link, no file, is not there, or somebody else has or could have written it.
    """
    with os.fdopen(open_private(path, os.O_RDONLY, above)) as file:
        if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o022:
            raise PermissionError("another user has written it, or could have")
        return file.read()


def open_any(path: Path) -> int:
    """Open a file that somebody has named, to read it; links are followed, fifos are refused.

    Raises:
        OSError: it is not there, or no file.
    """
    fd = _open(path, os.O_RDONLY, 0)
    try:
        _look(fd, path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_any(path: Path) -> str:
    """Read a file that somebody has named; raises as ``open_any``."""
    with os.fdopen(open_any(path)) as file:
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
