"""What the client can import, this engine can: its path, its local modules, and those current.

A client tells what it can import as a text with a name (``client/imports.py``). Calls carry the
name; a text that this engine has not had, or no longer has, is asked for. Before a call that
carries another name than the last one, or after modules were loaded here, what differs is put
right: folders on ``sys.path``, and modules older than the client's.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import types
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, ClassVar

from kernelfleet.engine.modules import current, shipped
from kernelfleet.engine.running.interrupts import run_interruptible
from kernelfleet.wire.objects import loads, references
from kernelfleet.wire.objects.loads import Loads

#: Texts of clients that are kept; each has some ten bytes for a module's name and file.
MAX_TEXTS = 16


@dataclass
class Client:
    """What one text says."""

    before: list[str]
    after: list[str]
    packages: dict[str, str]
    modules: dict[str, current.Told]
    files: shipped.Files = field(repr=False)
    #: How many loads there had been here when its modules were last found to be current.
    counter: int = -1


class _Here:
    """What this engine has been told."""

    texts: ClassVar[OrderedDict[str, Client]] = OrderedDict()
    #: The client whose call was last, or is now.
    name = ""
    client: Client | None = None
    #: The folders that were put on ``sys.path`` for it.
    added: ClassVar[list[str]] = []


def learn(name: str, text: str | None) -> bool:
    """Keep a client's text; False if there is none of that name, and it must be sent."""
    if text is not None and name not in _Here.texts:
        _Here.texts[name] = _parse(json.loads(text))
        while len(_Here.texts) > MAX_TEXTS:
            _Here.texts.popitem(last=False)
    return name in _Here.texts


def _parse(said: dict[str, Any]) -> Client:
    before, after = said["before"], said["after"]
    if said["python"] != list(sys.version_info[:2]):  # what is installed is for its Python
        before = [entry for entry in before if not _is_installed(entry)]
        after = [entry for entry in after if not _is_installed(entry)]
    return Client(
        before,
        after,
        said["packages"],
        {name: current.Told(*entry) for name, entry in said["modules"].items()},
        shipped.Files(said.get("files", {}), said.get("archive", "")),
    )


def _is_installed(entry: str) -> bool:
    return os.path.basename(entry) in loads.INSTALLED


def is_current(name: str) -> bool:
    """Whether there is nothing to do before a call of the client that says this."""
    return name == _Here.name and _Here.client is not None and _Here.client.counter == Loads.counter


def make_current(name: str) -> None:
    """Make importable what the client can import, and bring up to date what is older here.

    Raises:
        Exception: whatever a module raises that is executed again; told once for each version.
    """
    client = _Here.texts[name]
    _Here.texts.move_to_end(name)
    if name != _Here.name:
        _Here.name, _Here.client = name, client
        _set_path(client.before, client.after)
        shipped.ClientsModules.serve(client.modules, client.packages, client.files)
        references.Shared.can_import = can_import
    if client.counter != Loads.counter:
        loads.settle()
        current.reload_what_is_older(client.modules, client.files)
        client.counter = Loads.counter


def are_ready(content: dict[str, Any]) -> bool:
    """Be able to import what a request's client can; False if this engine was not told how.

    Raises:
        Exception: as ``make_current``.
    """
    name = content.get("imports")
    if name is None or is_current(name):
        return True
    if not learn(name, content.get("imports_text")):
        return False
    run_interruptible(lambda: make_current(name))
    return True


def _set_path(before: list[str], after: list[str]) -> None:
    """Put the client's folders where the client has them; take away those of the one before."""
    for entry in _Here.added:
        if entry in sys.path:
            sys.path.remove(entry)
    entries: list[Any] = list(sys.path)
    have = {os.path.realpath(entry) for entry in entries if isinstance(entry, str)}
    fresh = [entry for entry in before if _is_new(entry, have)]
    later = [entry for entry in after if _is_new(entry, have)]
    sys.path[_first_own() : _first_own()] = fresh
    sys.path.extend(later)
    if fresh + later != _Here.added:
        importlib.invalidate_caches()
    _Here.added = fresh + later


def _is_new(entry: str, have: set[str]) -> bool:
    return os.path.realpath(entry) not in have and os.path.exists(entry)


def _first_own() -> int:
    """Where on the path this Python's own folders begin."""
    entries: list[Any] = list(sys.path)
    for index, entry in enumerate(entries):
        if isinstance(entry, str) and os.path.realpath(entry) in loads.OWN_FOLDERS:
            return index
    return len(sys.path)


def can_import(name: str, module: types.ModuleType) -> bool:
    """Whether the client whose call this is can import a module that is loaded here."""
    client = _Here.client
    file = loads.local_file(name, module)
    if client is None or file is None or name in client.modules:
        return True
    if isinstance(getattr(module.__spec__, "loader", None), shipped.ShippedLoader):
        return True
    parts = name.split(".")
    stem = os.path.splitext(file)[0]
    if os.path.basename(stem) == "__init__":
        stem = os.path.dirname(stem)
    for folder in (*client.before, *client.after):
        if os.path.join(folder, *parts) == stem:
            return True
    top = client.packages.get(parts[0])
    return top is not None and os.path.join(os.path.splitext(top)[0], *parts[1:]) == stem
