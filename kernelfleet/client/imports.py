"""What this process can import, as a text for engines, which are to be able to import the same.

The text has the folders of ``sys.path`` that are not this Python's own, packages that an editable
install finds, and for each local module that is loaded what its file was then. It is the same
object until something changes, so that a call need only name it: the controller keeps it for the
client, and an engine gets it once.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import sys
import zipfile
from dataclasses import dataclass
from typing import Any, ClassVar

from kernelfleet.client import autoreload
from kernelfleet.wire.objects import loads
from kernelfleet.wire.objects.loads import (
    OWN_FOLDERS,
    Loads,
    digest_of,
    local_file,
    version_of,
)

#: Files of a package that go to a host that lacks them; larger ones, and more, stay here.
MAX_FILE_BYTES = 1024 * 1024
MAX_ARCHIVE_BYTES = 16 * 1024 * 1024
_LEFT_OUT = ("__pycache__", "node_modules")


@dataclass(frozen=True, slots=True)
class Told:
    """A text, and the short name under which calls refer to it."""

    id: str
    text: str


class _Kept:
    """The last texts, without and with the files, and what they were made of."""

    state: ClassVar[tuple[Any, ...]] = ()
    path: ClassVar[list[Any]] = []
    told: ClassVar[dict[bool, Told]] = {}


def told(*, with_files: bool = False) -> Told:
    """What engines are to know now.

    Args:
        with_files: Add the files of local modules, for engines on a host that lacks them.
    """
    autoreload.watch()
    state = (Loads.counter, len(sys.modules), _folder())
    if state != _Kept.state or sys.path != _Kept.path:
        _Kept.state, _Kept.path, _Kept.told = state, list(sys.path), {}
    kept = _Kept.told.get(with_files)
    if kept is None:
        text = json.dumps(_describe(state[2], with_files), separators=(",", ":"))
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        kept = _Kept.told[with_files] = Told(name, text)
    return kept


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return ""


def _describe(folder: str, with_files: bool) -> dict[str, Any]:
    before, after = _path(folder)
    modules = _modules()
    described = {
        "python": list(sys.version_info[:2]),
        "before": before,
        "after": after,
        "packages": _editable(),
        "modules": modules,
    }
    if with_files:
        described["files"], described["archive"] = _archive(
            [(name, entry[0]) for name, entry in modules.items()]
        )
    return described


def _path(folder: str) -> tuple[list[str], list[str]]:
    """The folders of ``sys.path`` before and after this Python's own."""
    before: list[str] = []
    after: list[str] = []
    among = before
    entries: list[Any] = list(sys.path)
    for entry in entries:
        if not isinstance(entry, str):
            continue
        full = os.path.join(folder, entry)
        if not os.path.isabs(full):
            continue  # of a folder that was deleted
        if os.path.realpath(full) in OWN_FOLDERS:
            among = after
        else:
            among.append(full)
    return before, after


def _modules() -> dict[str, list[Any]]:
    """By name: file, mtime_ns, size and digest of each local module as it was loaded."""
    loads.withdraw_failed()
    modules: dict[str, list[Any]] = {}
    for name, module in list(sys.modules.items()):
        file = local_file(name, module)
        version = version_of(name, file) if file is not None else None
        if version is not None:
            modules[name] = [file, *version[1:], digest_of(version)]
    return modules


def _editable() -> dict[str, str]:
    """What the finders of editable installs (setuptools 64 and later) know: name and place."""
    packages: dict[str, str] = {}
    for finder in sys.meta_path:
        owner = str(getattr(finder, "__module__", ""))
        mapping = getattr(sys.modules.get(owner), "MAPPING", None)
        if owner.startswith("__editable__") and isinstance(mapping, dict):
            packages.update({str(name): str(place) for name, place in mapping.items()})
    return packages


def _archive(modules: list[tuple[str, str]]) -> tuple[dict[str, str], str]:
    """The files of local modules, and of all of the packages they are in; where, and a zip."""
    wanted = dict.fromkeys(file for _, file in modules)
    for folder in dict.fromkeys(_top_folder(name, file) for name, file in modules):
        wanted.update(dict.fromkeys(_files_below(folder) if folder else ()))
    stream = io.BytesIO()
    where: dict[str, str] = {}
    total = 0
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in wanted:
            try:
                if os.path.getsize(file) > MAX_FILE_BYTES:
                    continue
                with open(file, "rb") as source:
                    data = source.read()
            except OSError:
                continue
            total += len(data)
            if total > MAX_ARCHIVE_BYTES:
                break
            where[file] = str(len(where))
            archive.writestr(zipfile.ZipInfo(where[file]), data, zipfile.ZIP_DEFLATED)
    return where, base64.b64encode(stream.getvalue()).decode()


def _top_folder(name: str, file: str) -> str | None:
    """The folder of the outermost package that a module is in; None for one in no package."""
    depth = name.count(".") + (os.path.basename(file).startswith("__init__."))
    return None if not depth else _up(file, depth)


def _up(file: str, levels: int) -> str:
    for _ in range(levels):
        file = os.path.dirname(file)
    return file


def _files_below(folder: str) -> list[str]:
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if f not in _LEFT_OUT and not f.startswith("."))
        found += [os.path.join(root, file) for file in sorted(files) if not file.startswith(".")]
        if len(found) > MAX_ARCHIVE_BYTES // 1024:
            break
    return found
