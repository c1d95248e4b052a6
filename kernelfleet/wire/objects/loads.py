"""The version of each module's file at the time when it was loaded, and which modules are local.

A client sends the versions of its local modules, and an engine finds out whether its own are older.
Both need the version that was *loaded*, not that of the file now. Therefore each load of a source
file is noted, once this module has been imported. ``SourceFileLoader`` asks for a file's status
once per load, before it reads the source.
"""

from __future__ import annotations

import hashlib
import linecache
import os
import site
import sys
import sysconfig
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from typing import Any, ClassVar, NamedTuple

_OWN_PACKAGE = __name__.partition(".")[0]
#: The names of folders with installed packages, in any environment.
INSTALLED = ("site-packages", "dist-packages")
_SOURCES = (".py", ".pyw")


class Version(NamedTuple):
    """The version of a file: path, modification time and size."""

    file: str
    mtime_ns: int
    size: int


class Loads:
    """The loads of source files in this process."""

    #: The number of loads, by which others find out whether there were any since.
    counter = 0
    seen: ClassVar[dict[str, Version]] = {}
    #: The previous versions of modules that are being loaded again, until it is known that their
    #: new source compiles: the status is asked for before that.
    unproven: ClassVar[dict[str, Version]] = {}
    #: Called with each load.
    listener: ClassVar[Callable[[str, Version], None] | None] = None

    @classmethod
    def note(cls, name: str, version: Version) -> None:
        """Note that a module was loaded, or reloaded in place, from a file."""
        cls.counter += 1
        if name in cls.seen and name in sys.modules:
            cls.unproven.setdefault(name, cls.seen[name])
        cls.seen[name] = version
        linecache.checkcache(version.file)  # or tracebacks would show the old lines
        if cls.listener is not None:
            cls.listener(name, version)


def withdraw_failed() -> None:
    """Withdraw the notes of modules whose new source does not compile: their reload has failed."""
    while Loads.unproven:
        name, before = Loads.unproven.popitem()
        now = Loads.seen.get(name)
        data = read(now) if now is not None else None
        try:
            compile(data or b"", "<reloaded>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            Loads.seen[name] = before


def status(file: str) -> Version | None:
    """Return the version of a file now; None if it does not exist."""
    try:
        found = os.stat(file)
    except (OSError, TypeError, ValueError):
        return None
    return Version(file, found.st_mtime_ns, found.st_size)


def _path_stats(self: Any, path: str) -> dict[str, Any]:
    """Take the place of ``SourceFileLoader.path_stats``, with the same result."""
    found = os.stat(path)
    # Only a call by exec_module is a load: runpy, inspect and pkgutil ask for the code alone.
    caller = sys._getframe(1).f_back
    if caller is not None and caller.f_code.co_name == "exec_module":
        Loads.note(self.name, Version(path, found.st_mtime_ns, found.st_size))
    return {"mtime": found.st_mtime, "size": found.st_size}


def watch() -> None:
    """Note loads from now on."""
    if SourceFileLoader.path_stats is not _path_stats:
        SourceFileLoader.path_stats = _path_stats  # type: ignore[method-assign]


watch()


# -- local modules ------------------------------------------------------------------------------


def _own_folders() -> frozenset[str]:
    """Return the folders of this Python's standard library and of packages installed for it."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [sysconfig.get_path(name) for name in names]
    folders += getattr(site, "getsitepackages", list)()
    folders.append(site.getusersitepackages() if hasattr(site, "getusersitepackages") else "")
    folders.append(os.path.join(sysconfig.get_path("stdlib"), "lib-dynload"))
    version = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    folders += [entry for entry in sys.path if os.path.basename(entry) == version]
    return frozenset(os.path.realpath(folder) for folder in folders if folder)


OWN_FOLDERS = _own_folders()
_PREFIXES = tuple(folder + os.sep for folder in OWN_FOLDERS)
#: By module name: the spec that was examined, and the result.
_local: dict[str, tuple[Any, str | None]] = {}


def local_file(name: str, module: Any) -> str | None:
    """Return a module's source file; None if it is installed or of the standard library."""
    spec = getattr(module, "__spec__", None)
    known = _local.get(name)
    if known is None or known[0] is not spec:
        known = _local[name] = spec, _find_local(name, getattr(spec, "origin", None))
    return known[1]


def _find_local(name: str, file: Any) -> str | None:
    top = name.partition(".")[0]
    if top == _OWN_PACKAGE or top in sys.stdlib_module_names or not isinstance(file, str):
        return None
    return os.path.abspath(file) if file.endswith(_SOURCES) and is_local(file) else None


def is_local(file: str) -> bool:
    """Tell whether a file is neither in an environment nor in the standard library."""
    path = os.path.realpath(file)
    return not path.startswith(_PREFIXES) and not any(
        part in INSTALLED for part in path.split(os.sep)
    )


def version_of(name: str, file: str) -> Version | None:
    """Return the version that was loaded; for a load that was not noted, the version now."""
    seen = Loads.seen.get(name)
    if seen is None or os.path.abspath(seen.file) != file:
        seen = status(file)
        if seen is not None:
            Loads.seen[name] = seen
    return seen


_digests: dict[Version, str] = {}


def digest_of(version: Version) -> str:
    """Return the digest of a file's content; empty if the file has changed since."""
    known = _digests.get(version)
    if known is None:
        data = read(version)
        known = _digests[version] = digest(data) if data is not None else ""
    return known


def read(version: Version) -> bytes | None:
    """Return the content of a file; None if the file has changed since."""
    try:
        with open(version.file, "rb") as stream:
            found = os.fstat(stream.fileno())
            if (found.st_mtime_ns, found.st_size) != version[1:]:
                return None
            return stream.read()
    except OSError:
        return None


def digest(data: bytes) -> str:
    """Return a short digest of the content."""
    return hashlib.sha256(data).hexdigest()[:16]
