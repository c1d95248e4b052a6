"""Importing modules of a client that are not on this engine's path.

``ClientsModules`` is the last finder, so what another finder finds is not affected. If the client's
file exists on this host, too (an editable install, a file loaded by hand), it is loaded from there.
If not, the client has sent it with all of its package. Then submodules, data files and resources
are read from what was sent, and nothing is written to a disk.
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
    """The files that a client has sent, by their paths on the client."""

    def __init__(self, where: Mapping[str, str], archive: str) -> None:
        self._where = where
        data = base64.b64decode(archive)
        self._archive = zipfile.ZipFile(io.BytesIO(data)) if data else None

    def __contains__(self, path: str) -> bool:
        return path in self._where

    def read(self, path: str) -> bytes:
        """Return the content of a file.

        Raises:
            OSError: The client has not sent it.
        """
        if self._archive is None or path not in self._where:
            raise FileNotFoundError(path)
        return self._archive.read(self._where[path])

    def below(self, folder: str) -> list[str]:
        """Return the names of files and folders in a folder."""
        start = folder + os.sep
        inside = (path[len(start) :] for path in self._where if path.startswith(start))
        return sorted({path.partition(os.sep)[0] for path in inside})


class ClientsModules:
    """Finds modules of the client that no other finder finds."""

    _modules: ClassVar[Mapping[str, Any]] = {}
    _packages: ClassVar[Mapping[str, str]] = {}
    _files = Files({}, "")

    @classmethod
    def serve(cls, modules: Mapping[str, Any], packages: Mapping[str, str], files: Files) -> None:
        """From now on find the modules of this client."""
        cls._modules, cls._packages, cls._files = modules, packages, files
        if cls not in sys.meta_path:
            sys.meta_path.append(cls)

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Find a module, as ``importlib`` asks for it."""
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
        """Yield the paths, without suffix, where a module not loaded by the client may be."""
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
        """Return the spec of a namespace package in which the client has modules."""
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
        """Use newer files of the client."""
        self.files, self._mtime_ns = files, mtime_ns

    def get_filename(self, fullname: str) -> str:
        """Return the path on the client."""
        del fullname
        return self.path

    def get_data(self, path: str | bytes) -> bytes:
        """Return the content of the module's file, or of another file of its package."""
        return self.files.read(os.fsdecode(path))

    def exec_module(self, module: Any) -> None:
        """Execute the module, and keep its lines for tracebacks."""
        data = self.files.read(self.path)
        Loads.note(self.name, Version(self.path, self._mtime_ns, len(data)))
        show_lines(self.path, importlib.util.decode_source(data))
        super().exec_module(module)

    def get_resource_reader(self, fullname: str) -> TraversableResources:
        """Return the reader that ``importlib.resources`` asks for."""
        del fullname
        return _Resources(self)


def show_lines(file: str, text: str) -> None:
    """Let tracebacks show the lines of a file that is not on this host."""
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
