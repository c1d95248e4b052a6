"""Making importable on this engine what the client of a call can import, in the same version.

A client describes what it can import in a text that has a name (``client/imports.py``). Calls carry
the name only; the engine asks for a text that it does not have. Before a call that carries another
name than the last call, or after modules were loaded here, the engine adjusts ``sys.path`` and
reloads modules that are older than the client's.
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

#: How many texts of clients are kept.
MAX_TEXTS = 16


@dataclass
class Client:
    """What the text of a client says."""

    before: list[str]
    after: list[str]
    packages: dict[str, str]
    modules: dict[str, current.ClientModule]
    files: shipped.Files = field(repr=False)
    #: The number of loads on this engine when the client's modules were last found current.
    counter: int = -1


class _Known:
    """The texts that this engine has, and the client that it is adjusted to."""

    texts: ClassVar[OrderedDict[str, Client]] = OrderedDict()
    #: The client of the call that is running or was the last.
    name = ""
    client: Client | None = None
    #: The folders that were put on ``sys.path`` for this client.
    added: ClassVar[list[str]] = []


def learn(name: str, text: str | None) -> bool:
    """Keep the text of a client. Return False if this engine has none, and it must be sent."""
    if text is not None and name not in _Known.texts:
        _Known.texts[name] = _parse(json.loads(text))
        while len(_Known.texts) > MAX_TEXTS:
            _Known.texts.popitem(last=False)
    return name in _Known.texts


def _parse(said: dict[str, Any]) -> Client:
    before, after = said["before"], said["after"]
    if said["python"] != list(sys.version_info[:2]):  # packages are for one version
        before = [entry for entry in before if not _is_installed(entry)]
        after = [entry for entry in after if not _is_installed(entry)]
    return Client(
        before,
        after,
        said["packages"],
        {name: current.ClientModule(*entry) for name, entry in said["modules"].items()},
        shipped.Files(said.get("files", {}), said.get("archive", "")),
    )


def _is_installed(entry: str) -> bool:
    return os.path.basename(entry) in loads.INSTALLED


def is_current(name: str) -> bool:
    """Tell whether nothing needs to be adjusted before a call that carries this name."""
    return (
        name == _Known.name and _Known.client is not None and _Known.client.counter == Loads.counter
    )


def make_current(name: str) -> None:
    """Make importable what the client can import, and bring up to date what is older here.

    Raises:
        Exception: What a module raises that is executed again. It is raised once per version.
    """
    client = _Known.texts[name]
    _Known.texts.move_to_end(name)
    if name != _Known.name:
        _Known.name, _Known.client = name, client
        _set_path(client.before, client.after)
        shipped.ClientsModules.serve(client.modules, client.packages, client.files)
        references.Shared.can_import = can_import
    if client.counter != Loads.counter:
        loads.withdraw_failed()
        current.reload_what_is_older(client.modules, client.files)
        client.counter = Loads.counter


def are_ready(content: dict[str, Any]) -> bool:
    """Prepare imports for a request. Return False if the client must send its text first.

    Raises:
        Exception: As ``make_current``.
    """
    name = content.get("imports")
    if name is None or is_current(name):
        return True
    if not learn(name, content.get("imports_text")):
        return False
    run_interruptible(lambda: make_current(name))
    return True


def _set_path(before: list[str], after: list[str]) -> None:
    """Put the client's folders on ``sys.path``, and remove those of the client before."""
    for entry in _Known.added:
        if entry in sys.path:
            sys.path.remove(entry)
    entries: list[Any] = list(sys.path)
    have = {os.path.realpath(entry) for entry in entries if isinstance(entry, str)}
    fresh = [entry for entry in before if _is_new(entry, have)]
    later = [entry for entry in after if _is_new(entry, have)]
    sys.path[_first_own() : _first_own()] = fresh
    sys.path.extend(later)
    if fresh + later != _Known.added:
        importlib.invalidate_caches()
    _Known.added = fresh + later


def _is_new(entry: str, have: set[str]) -> bool:
    return os.path.realpath(entry) not in have and os.path.exists(entry)


def _first_own() -> int:
    """Return the index on ``sys.path`` at which this Python's own folders begin."""
    entries: list[Any] = list(sys.path)
    for index, entry in enumerate(entries):
        if isinstance(entry, str) and os.path.realpath(entry) in loads.OWN_FOLDERS:
            return index
    return len(sys.path)


def can_import(name: str, module: types.ModuleType) -> bool:
    """Tell whether the client of the current call can import a module that is loaded here."""
    client = _Known.client
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
