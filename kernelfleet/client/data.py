"""The verbs that move data and call functions: push, pull, scatter, gather, apply and kin."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kernelfleet.client.base import BaseClient
from kernelfleet.client.controller_proxy import OnOutput
from kernelfleet.client.mapping.partition import split
from kernelfleet.client.results.pending import PendingResult
from kernelfleet.client.targets import Targets, check_block
from kernelfleet.errors.tree import FleetError, SerializationError
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.objects.culprits import pieces_of_call
from kernelfleet.wire.objects.serialize import (
    Frame,
    pack,
    pack_namespace,
)

#: How long somebody who types ``mec['`` and Tab may be kept waiting.
NAMES_SECONDS = 2.0


class DataVerbs(BaseClient):
    """Push, pull and the rest; see ``MultiEngineClient``.

    All of them take ``targets`` and ``block`` (None: the client's own) and, when they wait,
    ``timeout`` in seconds (None: no limit). None of them uses up a command number.
    """

    def push(
        self,
        namespace: Mapping[str, Any],
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Set variables on engines, all or none of them.

        A dotted name sets an attribute of an object that is there: ``{'model.alpha': 0.1}``.

        With ``block=False`` large arrays are copied first, so that changing them afterwards
        changes nothing that is under way.

        Returns:
            ``[None] * n``.

        Raises:
            TypeError: not a dict of names.
            SerializationError: names the variable that cannot be pickled; nothing was sent.
        """
        if not isinstance(namespace, Mapping):
            raise TypeError(
                f"push takes a dict of names and values, not {type(namespace).__name__}"
            )
        return self._push("push", namespace, targets, block, timeout)

    def push_function(
        self,
        functions: Mapping[str, Callable[..., Any]],
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Set functions (any callables) on engines. Their globals are the engine's namespace.

        Raises:
            TypeError: a value is not callable.
        """
        if not isinstance(functions, Mapping):
            raise TypeError(
                f"push_function takes a dict of names and functions, not {type(functions).__name__}"
            )
        for name, function in functions.items():
            if not callable(function):
                raise TypeError(
                    f"{name!r} is not callable: push_function takes functions, push values"
                )
        return self._push("push_function", functions, targets, block, timeout)

    def _push(
        self,
        method: str,
        namespace: Mapping[str, Any],
        targets: Targets | None,
        block: bool | None,
        timeout: float | None,
    ) -> Any:
        names = [_checked_name(name) for name in namespace]
        ids, blocks = self._resolve(targets), self._blocks(block, timeout)
        shared = self._connection.shares_memory
        others = self._connection.roster.others(ids)
        frames = pack_namespace(namespace, snapshot=not blocks, shared=shared, other_pythons=others)
        header = {"operation": "push", "payloads": [len(frames)], "label": _label(method, names)}
        return self._run(
            header, frames, {"kind": "none", "method": method},
            targets=ids, blocks=blocks, timeout=timeout,
        )  # fmt: skip

    def pull(
        self,
        names: str | Sequence[str],
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Get variables from engines, all or none of them.

        A dotted name reaches into an object: ``'model.coef_'``.

        Returns:
            One value per engine for one name; for several names a list of them per engine.

        Raises:
            CompositeError: of ``NameError``, where a name is missing, or of ``AttributeError``.
        """
        return self._pull("pull", names, targets, block, timeout)

    def pull_function(
        self,
        names: str | Sequence[str],
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Get functions from engines, callable here. Returns as ``pull``."""
        return self._pull("pull_function", names, targets, block, timeout)

    def zip_pull(
        self,
        names: str | Sequence[str],
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Like ``pull``, by name instead of by engine: ``[(a0, a1, ...), (b0, b1, ...)]``.

        From a single engine just ``[a, b]``.
        """
        return self._pull("zip_pull", names, targets, block, timeout)

    def gather(
        self,
        key: str,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Join a scattered sequence, in target order.

        Arrays are concatenated, lists and tuples become one list; anything else comes as the
        list of the engines' values.
        """
        return self._pull("gather", _checked_name(key), targets, block, timeout)

    def _pull(
        self,
        method: str,
        names: str | Sequence[str],
        targets: Targets | None,
        block: bool | None,
        timeout: float | None,
    ) -> Any:
        wanted = self._names(names)
        kind = "pull" if method == "pull_function" else method
        header = {
            "operation": "pull",
            "content": {"names": wanted},
            "label": _label(method, wanted),
        }
        return self._run(
            header, [], {"kind": kind, "names": wanted, "method": method},
            targets=self._resolve(targets), blocks=self._blocks(block, timeout), timeout=timeout,
        )  # fmt: skip

    @staticmethod
    def _names(names: str | Sequence[str]) -> list[str]:
        """The names of a pull: a string, or a tuple or list of strings."""
        if isinstance(names, str):
            return [names]
        if not isinstance(names, tuple | list):
            raise TypeError(f"a name or a tuple of names is pulled, not {type(names).__name__}")
        return [_checked_name(name) for name in names]

    def scatter(
        self,
        key: str,
        seq: Any,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        flatten: bool = False,
        timeout: float | None = None,
    ) -> Any:
        """Cut a sequence into contiguous blocks and push one to each engine.

        Args:
            key: The variable's name on the engines.
            seq: A list, tuple, string, range or array (cut along axis 0).
            targets: Which engines; None takes the client's.
            block: Wait, or return a PendingResult; None takes the client's.
            flatten: Push the item itself where a block has exactly one.
            timeout: Seconds to wait; None means no limit.

        Returns:
            ``[None] * n``.
        """
        name = _checked_name(key)
        ids, blocks = self._resolve(targets), self._blocks(block, timeout)
        shared = self._connection.shares_memory
        parts = split(seq, len(ids), flatten=flatten) if ids else []
        payloads: list[list[Frame]] = []
        for each, part in zip(ids, parts, strict=True):
            others = self._connection.roster.others([each])
            try:
                payloads.append(
                    pack({name: part}, snapshot=not blocks, shared=shared, other_pythons=others)
                )
            except SerializationError as error:
                raise SerializationError(f"{name!r}: {error}", name=name) from error.__cause__
        header = {
            "operation": "push",
            "payloads": [len(frames) for frames in payloads],
            "assign": list(range(len(ids))),
            "label": _label("scatter", [name]),
        }
        frames = [frame for payload in payloads for frame in payload]
        return self._run(
            header, frames, {"kind": "none", "method": "scatter"},
            targets=ids, blocks=blocks, timeout=timeout,
        )  # fmt: skip

    def apply(
        self,
        function: Callable[..., Any],
        /,
        *args: Any,
        targets: Targets | None = None,
        block: bool | None = None,
        timeout: float | None = None,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Call ``function(*args, **kwargs)`` on each engine; an ``async def`` is awaited there.

        In IPython what it prints and displays is shown, by engine, while it comes.

        A function that itself has a parameter called ``targets``, ``block``, ``timeout`` or
        ``return_exceptions`` goes through ``functools.partial``.

        Returns:
            One return value per target; with ``return_exceptions`` the exception of one that
            failed, and then nothing is raised for it.

        Raises:
            CompositeError: it raised on one or more engines.
        """
        if not callable(function):
            raise TypeError(f"apply calls a function, not {type(function).__name__}")
        ids, blocks = self._resolve(targets), self._blocks(block, timeout)
        shared = self._connection.shares_memory
        others = self._connection.roster.others(ids)
        call = (function, args, kwargs)
        frames = pack(
            call, snapshot=not blocks, shared=shared, other_pythons=others,
            pieces=lambda: pieces_of_call(function, args, kwargs),
        )  # fmt: skip
        name = getattr(function, "__qualname__", type(function).__name__)
        decode: JsonDict = {"kind": "apply", "method": "apply"}
        if check_block(return_exceptions, "return_exceptions"):
            decode["return_exceptions"] = True
        header = {"operation": "apply", "payloads": [len(frames)], "label": f"apply({name})"}

        def begin(on_output: OnOutput | None) -> PendingResult:
            pending: PendingResult = self._run(
                header, frames, decode,
                targets=ids, blocks=False, timeout=None, on_output=on_output,
            )  # fmt: skip
            return pending

        if not blocks:
            return begin(None)
        self._refuse_to_wait_for_itself(ids, "apply")
        return self._wait_showing(begin, timeout, None)

    def keys(
        self,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """The names of the user's variables on each engine."""
        return self._simple("keys", targets, block, timeout, kind="keys")

    def reset(
        self,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Clear namespace, history, properties and queue of engines; numbering starts again.

        The queue is cleared at once, the rest when what runs has ended.
        """
        return self._simple("reset", targets, block, timeout, kind="none")

    def _simple(
        self,
        verb: str,
        targets: Targets | None,
        block: bool | None,
        timeout: float | None,
        *,
        kind: str,
    ) -> Any:
        return self._run(
            {"operation": verb, "label": f"{verb}()"}, [], {"kind": kind, "method": verb},
            targets=self._resolve(targets), blocks=self._blocks(block, timeout), timeout=timeout,
        )  # fmt: skip

    # -- the dictionary interface ---------------------------------------------------------------

    def __setitem__(self, key: str, value: Any) -> None:
        """Push one variable; always waits, so that an error is not lost."""
        self._check_key(key)
        self.push({key: value}, block=True)

    def __getitem__(self, key: str) -> Any:
        """Pull one variable; always waits, because an item is a value."""
        self._check_key(key)
        return self.pull(key, block=True)

    def _check_key(self, key: object) -> None:
        if not isinstance(key, str):
            raise TypeError(
                f"mec[{key!r}]: the key is a variable's name; "
                f"for engine {key!r} use mec.view({key!r})"
            )

    def __iter__(self) -> Any:
        """Not iterable: the interface is a dict's in part only."""
        raise TypeError("a MultiEngineClient is not iterable; its engines are in get_ids()")

    def __contains__(self, key: object) -> bool:
        """Whether every engine has the variable."""
        return all(key in names for names in self.keys(block=True))

    def _ipython_key_completions_(self) -> list[str]:
        """Names for completion after ``mec['``: those of all engines that answer.

        Asked beside the queue: whoever types is not kept waiting behind what runs.
        """
        try:
            asked = self._connection.call("names", NAMES_SECONDS, targets=self._resolve(None))
        except (TimeoutError, FleetError):
            return []
        return sorted({str(name) for names in asked.header["value"] for name in names})


def _checked_name(name: object) -> str:
    """A variable's name, or a path to an attribute: ``'model.coef_'``."""
    if not isinstance(name, str):
        raise TypeError(f"variables have names that are strings, not {name!r}")
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        raise ValueError(f"{name!r} cannot name a variable")
    for part in parts:
        if keyword.iskeyword(part):
            raise ValueError(f"{name!r} cannot name a variable: {part!r} is a keyword of Python")
    return name


def _label(method: str, names: Sequence[str]) -> str:
    """What ``queue_status`` shows: ``push('a', 'b')``."""
    shown = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
    return f"{method}({shown})"
