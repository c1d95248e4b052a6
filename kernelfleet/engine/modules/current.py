"""Which modules of this engine are older than the client's, and in which order to reload them.

A module is older if its source differs from the client's and was written earlier, or if the file on
the engine now has the client's source. So two clients with different versions do not make an engine
reload back and forth: the newer version stays.

A module that imports *from* a reloaded module still has the old values of those names. So it is
reloaded, too, although its own source is unchanged.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from kernelfleet.engine.modules.in_place import reload_in_place
from kernelfleet.engine.modules.shipped import (
    Files,
    ShippedLoader,
    show_lines,
)
from kernelfleet.wire.objects import loads
from kernelfleet.wire.objects.loads import Loads, Version, digest


class ClientModule(NamedTuple):
    """The file of a module as the client has loaded it."""

    file: str
    mtime_ns: int
    size: int
    digest: str


class Text(NamedTuple):
    """The source of a module as this engine has loaded it."""

    version: Version
    data: bytes
    digest: str


class _Kept:
    """What this engine remembers about local modules."""

    texts: ClassVar[dict[str, Text]] = {}
    #: Versions that raised when they were executed. The error was raised once and is not repeated.
    failed: ClassVar[dict[str, ClientModule]] = {}


def keep_text(name: str, version: Version) -> None:
    """Keep the source of a local module when it is loaded, to compare it with edits."""
    if not loads.is_local(version.file):
        return
    data = loads.read(version)
    if data is not None:
        _Kept.texts[name] = Text(version, data, digest(data))


Loads.listener = keep_text


class _Stale(NamedTuple):
    """A module to reload, with its new source and the version of that."""

    data: bytes
    version: Version
    #: The files that the client has sent, if the source is from them.
    files: Files | None = None


def reload_what_is_older(modules: Mapping[str, ClientModule], files: Files) -> None:
    """Reload in place what is older than the client's, imported modules before their importers."""
    stale = {}
    for name, told in modules.items():
        found = _newer(name, told, files)
        if found is not None:
            stale[name] = found
    if not stale:
        return
    stale |= _dependents(stale, modules)
    done: set[str] = set()

    def visit(name: str) -> None:
        if name in done:
            return
        done.add(name)
        for other in _imports_from(name, stale[name].data, stale):
            visit(other)
        _renew(name, stale[name], modules[name])

    for name in list(stale):
        visit(name)


def _newer(name: str, told: ClientModule, files: Files) -> _Stale | None:
    """Return the source that a module is to have; None if it is not older than the client's."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    if module is None or spec is None or getattr(spec, "_initializing", False):
        return None
    file = loads.local_file(name, module)
    seen = loads.version_of(name, file) if file is not None else None
    if isinstance(spec.loader, ShippedLoader):
        seen = Loads.seen.get(name)
    if seen is None or seen[1:] == told[1:3] or _Kept.failed.get(name) == told:
        return None
    text = _text(name, seen)
    if told.digest and text is not None and text.digest == told.digest:
        return None
    if told.file in files:
        data = files.read(told.file)
        if told.digest in ("", digest(data)):
            return _Stale(data, Version(seen.file, told.mtime_ns, told.size), files)
    now = loads.status(seen.file)
    data_now = loads.read(now) if now is not None else None
    if now is None or data_now is None:
        return None
    if seen.mtime_ns < told.mtime_ns or digest(data_now) == told.digest:
        return _Stale(data_now, now)
    return None


def _text(name: str, seen: Version) -> Text | None:
    """Return the source as it was loaded; None if it is no longer known."""
    kept = _Kept.texts.get(name)
    if kept is None or kept.version != seen:
        loader = getattr(sys.modules[name].__spec__, "loader", None)
        if isinstance(loader, ShippedLoader):
            data = loader.files.read(loader.path)
            return Text(seen, data, digest(data))
        keep_text(name, seen)
        kept = _Kept.texts.get(name)
    return kept if kept is not None and kept.version == seen else None


def _renew(name: str, stale: _Stale, told: ClientModule) -> None:
    module = sys.modules[name]
    seen = Loads.seen[name]
    text = _text(name, seen)
    loader = getattr(module.__spec__, "loader", None)
    try:
        if stale.files is not None:
            show_lines(stale.version.file, stale.data.decode("utf-8", "replace"))
        reload_in_place(module, stale.data, text.data if text is not None else None)
    except BaseException as error:
        _Kept.failed[name] = told
        if isinstance(error, Exception):
            error.add_note(
                f"raised while this engine brought its module {name!r} up to date with the "
                f"client's; until it changes again, calls see the older one"
            )
        raise
    if isinstance(loader, ShippedLoader) and stale.files is not None:
        loader.renew(stale.files, stale.version.mtime_ns)
    Loads.note(name, stale.version)
    _Kept.texts[name] = Text(stale.version, stale.data, digest(stale.data))


# -- who imports whom ---------------------------------------------------------------------------


def _dependents(
    stale: Mapping[str, _Stale], modules: Mapping[str, ClientModule]
) -> dict[str, _Stale]:
    """Return the loaded local modules that import from stale ones, directly or not."""
    found: dict[str, _Stale] = {}
    texts = {
        name: _Kept.texts[name]
        for name in modules
        if name in sys.modules and name not in stale and name in _Kept.texts
    }
    grown = True
    while grown:
        grown = False
        for name, text in list(texts.items()):
            if Loads.seen.get(name) == text.version and _imports_from(
                name, text.data, {**stale, **found}
            ):
                found[name] = _Stale(text.data, text.version)
                del texts[name]
                grown = True
    return found


def _imports_from(name: str, data: bytes, among: Mapping[str, object]) -> list[str]:
    """Return which of the modules are imported anywhere in a module's source."""
    if not any(other.rpartition(".")[2].encode() in data for other in among):
        return []
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError):
        return []
    module = sys.modules[name]
    package = (getattr(module, "__package__", "") or "").split(".")
    imported: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.update((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            imported[base] = None
            imported.update((f"{base}.{alias.name}", None) for alias in node.names)
    return [other for other in imported if other in among and other != name]
