"""What a Python kernel that is not ours runs, to answer push, pull, apply, keys, reset and map.

The text of this file is sent to the kernel, once (``controller/engines/bootstrap.py``). The
kernel's environment is not ours either: kernelfleet may be missing there or be of another version,
cloudpickle may be missing, Python may be older. So the file is written for Python 3.8 on, imports
nothing but the standard library and IPython, and brings along what it needs: the sources of
kernelfleet's own modules and of cloudpickle, from which ``provided.py`` imports what the
environment lacks. Where even they do not run, what can be imported there still travels, by pickle
alone, and the rest is refused with the reason.
"""

from __future__ import annotations

import asyncio
import base64
import builtins
import importlib
import inspect
import io
import json
import os
import pickle
import platform
import socket
import sys
import time
import types
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Mapping, Sequence  # noqa: UP035

#: The MIME type under which answers travel.
MIME = "application/x-kernelfleet"


class Unsupported(Exception):
    """What this kernel's environment cannot do; the client raises it as UnsupportedOperation."""


# -- with and without kernelfleet's own modules -------------------------------------------------


class FullTools:
    """Objects travel by kernelfleet's own modules; everything works."""

    #: Why functions cannot travel by value; empty if they can.
    reason = ""

    def __init__(self, shell: Any) -> None:
        load: Callable[[str], Any] = importlib.import_module
        self._serialize = load("kernelfleet.wire.objects.serialize")
        self._pythons = load("kernelfleet.wire.objects.pythons")
        self._imports = load("kernelfleet.engine.modules.imports")
        load("kernelfleet.engine.running.batches")  # the first map would have to wait for it
        self.unpack: Callable[[Sequence[Any]], Any] = self._serialize.unpack
        self.render: Callable[[Any, BaseException], list[str]] = load(
            "kernelfleet.engine.running.tracebacks"
        ).render
        self.namespace = load("kernelfleet.engine.running.namespace").Namespace(shell)
        # functions see the shell's variables
        load("kernelfleet.wire.objects.arrivals").set_namespace_provider(self.namespace)
        self.values: Any = load("kernelfleet.engine.values").Values(shell)

    def import_as(self, name: str, text: str | None) -> None:
        """Be able to import what the client can, and have it as current."""
        self._imports.are_ready({"imports": name, "imports_text": text})

    def pack(self, value: Any, client: str | None) -> Sequence[Any]:
        """The frames of a value for a client that runs this Python."""
        return self._serialize.pack(value, other_pythons=self._pythons.asker(client))  # type: ignore[no-any-return]


class PlainTools:
    """Objects travel by pickle: values, and what can be imported on both sides."""

    def __init__(self, shell: Any, reason: str, values: Any = None) -> None:
        self.reason, self.values = reason, values
        self.namespace = PlainNamespace(shell)
        self._added: list[str] = []

    def import_as(self, name: str, text: str | None) -> None:
        """Be able to import what the client can, where the files are here."""
        if not text:
            return
        told, sys.path[:] = json.loads(text), [e for e in sys.path if e not in self._added]
        self._added = [e for e in told["before"] + told["after"] if e not in sys.path]
        sys.path.extend(entry for entry in self._added if os.path.exists(entry))

    def pack(self, value: Any, client: str | None) -> Sequence[Any]:
        """The pickle of a value."""
        del client
        stream = io.BytesIO()
        PlainPickler(stream, self.reason).dump(value)
        return [stream.getvalue()]

    def unpack(self, frames: Sequence[Any]) -> Any:
        """The value of a pickle that needs nothing of kernelfleet's."""
        try:
            return pickle.loads(frames[0], buffers=frames[1:])
        except ImportError as error:
            if (error.name or "").split(".")[0] in ("kernelfleet", "cloudpickle"):
                raise Unsupported(self.reason) from None
            raise

    def render(self, shell: Any, error: BaseException) -> list[str]:
        """The traceback, from the user's first frame on."""
        at = error.__traceback__
        while at is not None and at.tb_frame.f_globals is globals():
            at = at.tb_next
        lines = shell.InteractiveTB.structured_traceback(type(error), error, at)
        return [str(line) for line in lines]


class PlainPickler(pickle.Pickler):
    """Refuses what is of ``__main__``: by name it would be another one where it arrives."""

    def __init__(self, stream: Any, reason: str) -> None:
        super().__init__(stream, protocol=5)
        self._reason = reason

    def reducer_override(self, obj: Any) -> Any:
        """Look at functions and classes."""
        if isinstance(obj, (types.FunctionType, type)) and obj.__module__ == "__main__":
            raise Unsupported(f"{obj.__qualname__!r} cannot travel: {self._reason}")
        return NotImplemented


class PlainNamespace:
    """The user's variables; as ``engine/running/namespace.py``, for functions by name only."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._identity: dict[str, int] = {}
        self._empty = shell.reset
        shell.reset = self._empty_but_for_ours

    def set_identity(self, engine_id: int, n_engines: int) -> None:
        """Tell the user's code which engine this is."""
        self._identity = {"engine_id": engine_id, "n_engines": n_engines}
        self._shell.user_ns.update(self._identity)
        self._shell.user_ns_hidden.update(self._identity)

    def push(self, variables: Mapping[str, Any]) -> None:
        """Set variables, or attributes of what a dotted name leads to; all or none."""
        dotted = [name.rpartition(".") for name in variables if "." in name]
        owners = [self._look_up(path) for path, _, _ in dotted]
        for owner, (path, dot, name) in zip(owners, dotted):  # noqa: B905 (Python 3.10)
            setattr(owner, name, variables[path + dot + name])
        self._shell.user_ns.update({k: v for k, v in variables.items() if "." not in k})

    def pull(self, names: Sequence[str]) -> list[Any]:
        """Look the names up."""
        return [self._look_up(name) for name in names]

    def _look_up(self, name: str) -> Any:
        user_ns = self._shell.user_ns
        first, *attributes = [name] if name in user_ns else name.split(".")
        if first not in user_ns:
            raise NameError(f"name {first!r} is not defined")
        value = user_ns[first]
        for attribute in attributes:
            value = getattr(value, attribute)
        return value

    def keys(self) -> list[str]:
        """The names that the user put here."""
        hidden = self._shell.user_ns_hidden
        return [
            name
            for name, value in self._shell.user_ns.items()
            if not name.startswith("_") and value is not hidden.get(name, hidden)
        ]

    def reset(self) -> None:
        """Empty the namespace."""
        self._shell.reset(new_session=True)

    def _empty_but_for_ours(self, *args: Any, **options: Any) -> None:
        self._empty(*args, **options)
        self.set_identity(**self._identity)


def tools_of(shell: Any, version: str, sources: Any, provided: Any) -> Any:
    """The best there is in this environment."""
    try:
        provided.provide(version, sources)
        return FullTools(shell)
    except Exception as error:  # noqa: BLE001 (whatever an old environment does)
        provided.take_back()
        old = sys.version_info < (3, 11)
        why = "they are for Python 3.11 on" if old else f"{type(error).__name__}: {error}"
        return PlainTools(
            shell,
            "maps, and functions and classes of a notebook, need modules of kernelfleet that do "
            f"not run in this kernel (Python {platform.python_version()} at {sys.executable}): "
            f"{why}",
            _values_of(shell, sources),
        )


def _values_of(shell: Any, sources: Mapping[str, tuple[bool, str, str]]) -> Any:
    """Run the module that fetches the objects of results: it needs the standard library alone."""
    module = types.ModuleType("kernelfleet_values")
    exec(sources["kernelfleet.engine.values"][2], vars(module))
    return module.Values(shell)


# -- requests -----------------------------------------------------------------------------------


class Answer:
    """What a request evaluates to, in a form that a kernel sends as it is."""

    def __init__(self, answer: dict[str, Any], frames: Sequence[Any] = ()) -> None:
        coded = [base64.b64encode(frame).decode() for frame in frames]
        self._text = json.dumps({**answer, "frames": coded})

    def __repr__(self) -> str:
        return "<kernelfleet answer>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {MIME: self._text}


class Server:
    """Answers the requests of ``controller/engines/in_flight.py``."""

    def __init__(self, shell: Any, tools: Any) -> None:
        self._shell, self._tools = shell, tools

    def answer(self, request: str) -> Answer:
        """Answer a request, whatever happens: ``[operation, content, frames]`` as JSON."""
        operation, content, coded = json.loads(request)
        started = time.time()
        frames: Sequence[Any] = []
        try:
            extra, frames = self._run(
                operation, content, [base64.b64decode(each) for each in coded]
            )
            result: dict[str, Any] = {"ok": True, **extra}
        except Unsupported as error:
            result = _failed("UnsupportedOperation", error, kind="serialization")
        except BaseException as error:  # noqa: BLE001 (goes to the asker)
            result, frames = self._error(error)
        return Answer({**result, "started": started, "completed": time.time()}, frames)

    def _error(self, error: BaseException) -> tuple[dict[str, Any], Sequence[Any]]:
        name = type(error).__name__
        if name in ("SerializationError", "UnsupportedOperation") and self._is_ours(error):
            return _failed(name, error, kind="serialization"), []
        result = _failed(name, error)
        result["error"]["traceback"] = self._tools.render(self._shell, error)
        try:
            return result, self._tools.pack(error, None)
        except Exception:  # noqa: BLE001 (the user's class takes part)
            return result, []

    def _is_ours(self, error: BaseException) -> bool:
        return type(error).__module__ == "kernelfleet.errors"

    def _run(
        self, operation: str, content: dict[str, Any], frames: Sequence[Any]
    ) -> tuple[dict[str, Any], Sequence[Any]]:
        handler = HANDLERS.get(operation)
        if handler is None:
            raise Unsupported(f"this kernel was not told how to do {operation!r}")
        if "imports" in content:
            self._tools.import_as(content["imports"], content.get("imports_text"))
        answer: tuple[dict[str, Any], Sequence[Any]] = handler(self, content, frames)
        return answer

    def _identity(self, content: dict[str, Any], frames: Sequence[Any]) -> Any:
        self._tools.namespace.set_identity(content["engine_id"], content["n_engines"])
        return {}, []

    def _facts(self, content: dict[str, Any], frames: Sequence[Any]) -> Any:
        return facts(self._tools.reason), []

    def _made(self, content: dict[str, Any], frames: Sequence[Any]) -> Any:
        values = self._tools.values
        return {"made": values and values.token(values.last_number)}, []

    def _push(self, content: dict[str, Any], frames: Sequence[Any]) -> Any:
        self._tools.namespace.push(self._tools.unpack(frames))
        return {}, []

    def _pull(self, content: dict[str, Any], frames: Sequence[Any]) -> Any:
        tools = self._tools
        if "made" not in content:
            values = tools.namespace.pull(content["names"])
        else:
            values = [tools.values.get(content["number"], content["made"])]
        return {}, tools.pack(values, content.get("python"))

    def _apply(self, content: dict[str, Any], frames: Sequence[Any]) -> Any:
        function, args, kwargs = self._tools.unpack(frames)
        value = _awaited(function(*args, **kwargs))
        return {}, self._tools.pack(value, content.get("python"))

    def _keys(self, content: dict[str, Any], frames: Sequence[Any]) -> Any:
        return {"keys": self._tools.namespace.keys()}, []

    def _reset(self, content: dict[str, Any], frames: Sequence[Any]) -> Any:
        self._tools.namespace.reset()
        return {}, []


#: What answers each operation; a word that is not here does nothing.
HANDLERS: dict[str, Callable[[Server, dict[str, Any], Sequence[Any]], Any]] = {
    "identity": Server._identity,
    "facts": Server._facts,
    "made": Server._made,
    "push": Server._push,
    "pull": Server._pull,
    "apply": Server._apply,
    "keys": Server._keys,
    "reset": Server._reset,
}


def _failed(ename: str, error: BaseException, kind: str = "user") -> dict[str, Any]:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 (the user's class)
        text = f"<{ename} whose __str__ fails>"
    return {
        "ok": False,
        "error": {"ename": ename, "evalue": text, "kind": kind, "traceback": []},
    }


def facts(reason: str) -> dict[str, Any]:
    """What the controller tells of this engine."""
    name = platform.python_implementation()
    version = platform.python_version()
    return {
        "python": version if name == "CPython" else f"{name} {version}",
        "executable": sys.executable,
        "host": socket.gethostname(),
        "no_functions": reason,
    }


def _awaited(value: Any) -> Any:
    if not inspect.iscoroutine(value):
        return value
    with ThreadPoolExecutor(1) as pool:  # this thread's loop is running
        return pool.submit(asyncio.run, value).result()


def install(engine_id: int, n_engines: int, version: str, texts: dict[str, list[str]]) -> None:
    """Make this kernel answer.

    Args:
        engine_id: Which engine of the fleet it is.
        n_engines: Of how many.
        version: That of kernelfleet in the controller.
        texts: Sources of modules: full name -> ``[path within its package, text]``.
    """
    from IPython import get_ipython

    root = os.path.join(os.path.abspath(os.sep), f"<kernelfleet {version}>")
    sources = {
        name: (path.endswith("__init__.py"), os.path.join(root, *path.split("/")), text)
        for name, (path, text) in texts.items()
    }
    shell = get_ipython()
    provided = types.ModuleType("kernelfleet_provided")
    code = compile(texts["kernelfleet.engine.provided"][1], "<kernelfleet>", "exec")
    exec(code, vars(provided))
    tools = tools_of(shell, version, sources, provided)
    tools.namespace.set_identity(engine_id, n_engines)
    vars(builtins)["__kernelfleet__"] = Server(shell, tools).answer
