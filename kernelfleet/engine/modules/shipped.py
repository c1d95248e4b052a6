"""Modules of a client that the path does not give: by the file it has, or by the file's content.

``ClientsModules`` is the last finder: what any other finds is found as ever. Where the client's
file is on this host too (an editable install, a file loaded by hand) it is loaded from there.
Where it is not, the client has sent it, with all of its package: submodules, data files and
resources are read from what was sent, and nothing is written to a disk.
"""

from __future__ import annotations

import base64
import importlib.abc
import importlib.util
import io
import linecache
import os
import sys
import zipfile
from collections.abc import Iterator, Mapping
from importlib.machinery import ModuleSpec
from importlib.resources.abc import Traversable, TraversableResources
from typing import IO, Any, ClassVar

from kernelfleet.wire.objects.loads import Loads, Version


class Files:
    """The files that a client has sent, by where the client has them."""

    def __init__(self, where: Mapping[str, str], archive: str) -> None:
        self._where = where
        data = base64.b64decode(archive)
        self._archive = zipfile.ZipFile(io.BytesIO(data)) if data else None

    def __contains__(self, path: str) -> bool:
        return path in self._where

    def read(self, path: str) -> bytes:
        """The content of one.

        Raises:
            OSError: there is none.
        """
        if self._archive is None or path not in self._where:
            raise FileNotFoundError(path)
        return self._archive.read(self._where[path])

    def below(self, folder: str) -> list[str]:
        """The names in a folder, of files and of folders."""
        start = folder + os.sep
        inside = (path[len(start) :] for path in self._where if path.startswith(start))
        return sorted({path.partition(os.sep)[0] for path in inside})


class ClientsModules:
    """The last finder: what the client has under a name that nothing else finds."""

    _modules: ClassVar[Mapping[str, Any]] = {}
    _packages: ClassVar[Mapping[str, str]] = {}
    _files = Files({}, "")

    @classmethod
    def serve(cls, modules: Mapping[str, Any], packages: Mapping[str, str], files: Files) -> None:
        """Find what this client has."""
        cls._modules, cls._packages, cls._files = modules, packages, files
        if cls not in sys.meta_path:
            sys.meta_path.append(cls)

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """A spec for a module, as ``importlib`` asks for it."""
        del target
        told = cls._modules.get(name)
        if told is not None:
            return cls._spec(name, told.file)
        for stem in cls._stems(name, path):
            for file in (os.path.join(stem, "__init__.py"), stem + ".py"):
                spec = cls._spec(name, file)
                if spec is not None:
                    return spec
        return cls._namespace(name)

    @classmethod
    def _stems(cls, name: str, path: Any) -> Iterator[str]:
        """Where a module that the client has not loaded may be, without a suffix."""
        if path is None:
            if name in cls._packages:
                yield os.path.splitext(cls._packages[name])[0]
            return
        for folder in path:
            yield os.path.join(folder, name.rpartition(".")[2])

    @classmethod
    def _spec(cls, name: str, file: str) -> ModuleSpec | None:
        is_package = os.path.basename(file) == "__init__.py"
        folders = [os.path.dirname(file)] if is_package else None
        if os.path.isfile(file):
            return importlib.util.spec_from_file_location(
                name, file, submodule_search_locations=folders
            )
        if file in cls._files:
            told = cls._modules.get(name)
            loader = ShippedLoader(name, file, cls._files, told[1] if told is not None else 0)
            return importlib.util.spec_from_file_location(
                name, file, loader=loader, submodule_search_locations=folders
            )
        return None

    @classmethod
    def _namespace(cls, name: str) -> ModuleSpec | None:
        """A package without a file of its own, if the client has something in it."""
        folders: dict[str, None] = {}
        for inside, told in cls._modules.items():
            if inside.startswith(name + "."):
                above = inside.count(".") - name.count(".")
                above += os.path.basename(told.file) == "__init__.py"
                folder = told.file
                for _ in range(above):
                    folder = os.path.dirname(folder)
                folders[folder] = None
        if not folders:
            return None
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = list(folders)
        return spec


class ShippedLoader(importlib.abc.SourceLoader):
    """Loads a module from what a client has sent."""

    def __init__(self, name: str, path: str, files: Files, mtime_ns: int) -> None:
        self.name, self.path, self.files, self._mtime_ns = name, path, files, mtime_ns

    def renew(self, files: Files, mtime_ns: int) -> None:
        """The client has sent newer files."""
        self.files, self._mtime_ns = files, mtime_ns

    def get_filename(self, fullname: str) -> str:
        """Where the client has it."""
        del fullname
        return self.path

    def get_data(self, path: str | bytes) -> bytes:
        """The content of the module's file, or of another one of its package."""
        return self.files.read(os.fsdecode(path))

    def exec_module(self, module: Any) -> None:
        """Execute it; its lines are there for tracebacks."""
        data = self.files.read(self.path)
        Loads.note(self.name, Version(self.path, self._mtime_ns, len(data)))
        show_lines(self.path, importlib.util.decode_source(data))
        super().exec_module(module)

    def get_resource_reader(self, fullname: str) -> TraversableResources:
        """For ``importlib.resources``."""
        del fullname
        return _Resources(self)


def show_lines(file: str, text: str) -> None:
    """Let tracebacks show the lines of a file that is not here."""
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)


class _Resources(TraversableResources):
    def __init__(self, loader: ShippedLoader) -> None:
        self._loader = loader

    def files(self) -> Traversable:
        return _Place(self._loader.files, os.path.dirname(self._loader.path))


class _Place(Traversable):
    """A file or folder among what was sent."""

    def __init__(self, files: Files, path: str) -> None:
        self._files, self._path = files, path

    @property
    def name(self) -> str:
        return os.path.basename(self._path)

    def iterdir(self) -> Iterator[Traversable]:
        for name in self._files.below(self._path):
            yield _Place(self._files, os.path.join(self._path, name))

    def is_dir(self) -> bool:
        return self._path not in self._files and bool(self._files.below(self._path))

    def is_file(self) -> bool:
        return self._path in self._files

    def joinpath(self, *descendants: Any) -> Traversable:
        return _Place(self._files, os.path.join(self._path, *map(str, descendants)))

    def __truediv__(self, child: Any) -> Traversable:
        return self.joinpath(child)

    def open(self, mode: str = "r", *args: Any, **kwargs: Any) -> IO[Any]:
        stream = io.BytesIO(self.read_bytes())
        return stream if "b" in mode else io.TextIOWrapper(stream, *args, **kwargs)

    def read_bytes(self) -> bytes:
        return self._files.read(self._path)

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")
