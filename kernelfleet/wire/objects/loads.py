"""What the file of a module was when the module was loaded; and which modules are local.

A client says what its local modules were, and an engine finds out whether its own are older. Both
must know what was *loaded*, not what the file is now. So each load of a source file is noted, from
the time this module is imported: ``SourceFileLoader`` asks for a file's status once for each load,
before it reads the source.
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
#: Folders of these names hold what is installed, in whichever environment.
INSTALLED = ("site-packages", "dist-packages")
_SOURCES = (".py", ".pyw")


class Version(NamedTuple):
    """A file as it was loaded."""

    file: str
    mtime_ns: int
    size: int


class Loads:
    """The loads of this process."""

    #: Grows with each, so that whoever compares it knows whether there were any.
    counter = 0
    seen: ClassVar[dict[str, Version]] = {}
    #: Of modules that were loaded again: what they were before, until it is known that they could
    #: be. (The status is asked for before the source is compiled.)
    unproven: ClassVar[dict[str, Version]] = {}
    #: Told of each.
    listener: ClassVar[Callable[[str, Version], None] | None] = None

    @classmethod
    def note(cls, name: str, version: Version) -> None:
        """A module has been loaded, or brought up to date, from a file."""
        cls.counter += 1
        if name in cls.seen and name in sys.modules:
            cls.unproven.setdefault(name, cls.seen[name])
        cls.seen[name] = version
        linecache.checkcache(version.file)  # else tracebacks show the lines of before
        if cls.listener is not None:
            cls.listener(name, version)


def settle() -> None:
    """Take back what was noted of modules whose new source does not compile: they are as before."""
    while Loads.unproven:
        name, before = Loads.unproven.popitem()
        now = Loads.seen.get(name)
        data = read(now) if now is not None else None
        try:
            compile(data or b"", "<reloaded>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            Loads.seen[name] = before


def status(file: str) -> Version | None:
    """What a file is now; None if it is not there."""
    try:
        found = os.stat(file)
    except (OSError, TypeError, ValueError):
        return None
    return Version(file, found.st_mtime_ns, found.st_size)


def _path_stats(self: Any, path: str) -> dict[str, Any]:
    """Stand in for ``SourceFileLoader.path_stats``, which gives the same."""
    found = os.stat(path)
    # get_code <- exec_module: runpy, inspect and pkgutil ask for the code and load nothing
    caller = sys._getframe(1).f_back
    if caller is not None and caller.f_code.co_name == "exec_module":
        Loads.note(self.name, Version(path, found.st_mtime_ns, found.st_size))
    return {"mtime": found.st_mtime, "size": found.st_size}


def watch() -> None:
    """Note the loads from now on."""
    if SourceFileLoader.path_stats is not _path_stats:
        SourceFileLoader.path_stats = _path_stats  # type: ignore[method-assign]


watch()


# -- local modules ------------------------------------------------------------------------------


def _own_folders() -> frozenset[str]:
    """Where this Python has its standard library, and what is installed for it."""
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
#: By module name: the spec that was looked at, and the file.
_local: dict[str, tuple[Any, str | None]] = {}


def local_file(name: str, module: Any) -> str | None:
    """The source file of a module outside of site-packages and the standard library; or None."""
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
    """Whether a file lies outside of what is installed."""
    path = os.path.realpath(file)
    return not path.startswith(_PREFIXES) and not any(
        part in INSTALLED for part in path.split(os.sep)
    )


def version_of(name: str, file: str) -> Version | None:
    """What the file was when the module was loaded; of one loaded before us, what it is now."""
    seen = Loads.seen.get(name)
    if seen is None or os.path.abspath(seen.file) != file:
        seen = status(file)
        if seen is not None:
            Loads.seen[name] = seen
    return seen


_digests: dict[Version, str] = {}


def digest_of(version: Version) -> str:
    """Names the content of a file, as long as it is what it was; else empty."""
    known = _digests.get(version)
    if known is None:
        data = read(version)
        known = _digests[version] = digest(data) if data is not None else ""
    return known


def read(version: Version) -> bytes | None:
    """The content of a file, if it still is what it was."""
    try:
        with open(version.file, "rb") as stream:
            found = os.fstat(stream.fileno())
            if (found.st_mtime_ns, found.st_size) != version[1:]:
                return None
            return stream.read()
    except OSError:
        return None


def digest(data: bytes) -> str:
    """Names a text."""
    return hashlib.sha256(data).hexdigest()[:16]
