"""Variables of the engines: push, pull, peek, and the client as a dictionary of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

from kernelfleet.client.base import BaseClient
from kernelfleet.client.mapping.packing import packing
from kernelfleet.client.results.pending import PendingResult
from kernelfleet.client.targets import Targets
from kernelfleet.client.verbs.names import call_label, checked_name, checked_names
from kernelfleet.errors.tree import FleetError
from kernelfleet.wire.objects.serialize import pack_namespace

#: How long somebody who types ``mec['`` and Tab may be kept waiting.
NAMES_SECONDS = 2.0


class DataVerbs(BaseClient):
    """Push, pull and the rest; see ``MultiEngineClient``. None of them uses up a command number."""

    # fmt: off
    @overload
    def push(self, namespace: Mapping[str, Any], targets: Targets | None = ..., block: None = ...,
        *, timeout: float | None = ...) -> list[None] | Any: ...
    @overload
    def push(self, namespace: Mapping[str, Any], targets: Targets | None = ...,
        block: Literal[True] = ..., *, timeout: float | None = ...) -> list[None]: ...
    @overload
    def push(self, namespace: Mapping[str, Any], targets: Targets | None = ...,
        block: Literal[False] = ...) -> PendingResult[list[None]]: ...
    @overload
    def push(self, namespace: Mapping[str, Any], targets: Targets | None = ...,
        block: bool | None = ..., *, timeout: float | None = ...) -> list[None] | Any: ...
    # fmt: on
    def push(
        self,
        namespace: Mapping[str, Any],
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Set variables on engines: all of them or, if one cannot be pickled, none.

        With ``block=False`` large arrays are copied first, so that changing them afterwards
        changes nothing that is on its way. What is mapped from a file for reading
        (``np.load(path, mmap_mode="r")``, ``pyarrow.memory_map(path)``) is not copied at all where
        the engines are on this machine: they map the file as well, and read-only.

        Args:
            namespace: Names and values. A dotted name sets an attribute of an object that is there
                (``{'model.alpha': 0.1}``).
            targets: Which engines; None takes the client's.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit. The work goes on after it.

        Returns:
            ``[None] * n``: one None per target.

        Raises:
            TypeError: ``namespace`` is no dict, or a name is no string.
            ValueError: a name cannot name a variable.
            SerializationError: names the variable that cannot be pickled; nothing was sent.
            MessageTooLarge: it is more than the fleet takes in one call; nothing was sent.
            CallTimeout: ``timeout`` expired; the work goes on.

        Example:
            >>> mec.push({"a": 5, "b": [1, 2]})
            [None, None, None, None]
            >>> mec.pull("a", targets=0)
            [5]
        """
        if not isinstance(namespace, Mapping):
            raise TypeError(
                f"push takes a dict of names and values, not {type(namespace).__name__}"
            )
        return self._push("push", namespace, targets, block, timeout)

    def _push(
        self,
        method: str,
        namespace: Mapping[str, Any],
        targets: Targets | None,
        block: bool | None,
        timeout: float | None,
    ) -> Any:
        names = [checked_name(name) for name in namespace]
        ids, blocks = self._resolve(targets), self._blocks(block, timeout)
        how = packing(self._connection, ids)
        frames = pack_namespace(namespace, snapshot=not blocks, **how)
        header = {
            "operation": "push",
            "payloads": [len(frames)],
            "label": call_label(method, names),
        }
        return self._run(
            header, frames, {"kind": "none", "method": method},
            targets=ids, blocks=blocks, timeout=timeout,
        )  # fmt: skip

    # fmt: off
    @overload
    def pull(self, names: str | Sequence[str], targets: Targets | None = ..., block: None = ..., *,
        timeout: float | None = ...) -> list[Any] | Any: ...
    @overload
    def pull(self, names: str | Sequence[str], targets: Targets | None = ...,
        block: Literal[True] = ..., *, timeout: float | None = ...) -> list[Any]: ...
    @overload
    def pull(self, names: str | Sequence[str], targets: Targets | None = ...,
        block: Literal[False] = ...) -> PendingResult[list[Any]]: ...
    @overload
    def pull(self, names: str | Sequence[str], targets: Targets | None = ...,
        block: bool | None = ..., *, timeout: float | None = ...) -> list[Any] | Any: ...
    # fmt: on
    def pull(
        self,
        names: str | Sequence[str],
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Get variables from engines. If one is missing on one engine, the whole call fails.

        Args:
            names: One name, or a tuple or list of names. A dotted name reaches into an object
                (``'model.coef_'``).
            targets: Which engines; None takes the client's.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit. The work goes on after it.

        Returns:
            A list in target order: for one name (also in a sequence of one) its value on each
            engine, ``[v0, v1, ...]``; for several names a list of their values on each engine,
            ``[[a0, b0], [a1, b1], ...]``. A pulled array is yours to write to.

        Raises:
            CompositeError: of ``NameError`` where a name is missing, or of ``AttributeError``; of
                ``SerializationError`` where a value cannot be pickled.
            CallTimeout: ``timeout`` expired; the work goes on.

        Example:
            >>> _ = mec.execute("a = engine_id; b = a * a")
            >>> mec.pull("b")
            [0, 1, 4, 9]
            >>> mec.pull(("a", "b"), targets=[2, 3])
            [[2, 4], [3, 9]]
        """
        return self._pull("pull", names, targets, block, timeout)

    def _pull(
        self,
        method: str,
        names: str | Sequence[str],
        targets: Targets | None,
        block: bool | None,
        timeout: float | None,
        **decode: Any,
    ) -> Any:
        wanted = checked_names(names)
        kind = "pull" if method == "pull_function" else method
        header = {
            "operation": "pull",
            "content": {"names": wanted},
            "label": call_label(method, wanted),
        }
        return self._run(
            header, [], {"kind": kind, "names": wanted, "method": method, **decode},
            targets=self._resolve(targets), blocks=self._blocks(block, timeout), timeout=timeout,
        )  # fmt: skip

    # fmt: off
    @overload
    def peek(self, names: str | Sequence[str], targets: Targets | None = ..., block: None = ..., *,
        timeout: float | None = ...) -> list[Any] | Any: ...
    @overload
    def peek(self, names: str | Sequence[str], targets: Targets | None = ...,
        block: Literal[True] = ..., *, timeout: float | None = ...) -> list[Any]: ...
    @overload
    def peek(self, names: str | Sequence[str], targets: Targets | None = ...,
        block: Literal[False] = ...) -> PendingResult[list[Any]]: ...
    @overload
    def peek(self, names: str | Sequence[str], targets: Targets | None = ...,
        block: bool | None = ..., *, timeout: float | None = ...) -> list[Any] | Any: ...
    # fmt: on
    def peek(
        self,
        names: str | Sequence[str],
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Read variables at once, also from an engine that is busy.

        What it shows of an object that is just being changed is undefined. While C code holds the
        engine's GIL, the engine cannot answer.

        Args:
            names: As for ``pull``.
            targets: Which engines; None takes the client's.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit.

        Returns:
            A list in target order, of the shape that ``pull`` returns.

        Raises:
            CompositeError: as of ``pull``.
            CallTimeout: ``timeout`` expired.

        Example:
            >>> pending = mec.execute("while True: pass", targets=0, block=False)
            >>> mec.peek("engine_id", targets=0)
            [0]
            >>> pending.cancel(interrupt=True)
            True
        """
        wanted = checked_names(names)
        return self._run(
            {"operation": "peek", "names": wanted}, [],
            {"kind": "peek", "names": wanted, "method": "peek"},
            targets=self._resolve(targets), blocks=self._blocks(block, timeout), timeout=timeout,
        )  # fmt: skip

    # fmt: off
    @overload
    def keys(self, targets: Targets | None = ..., block: None = ..., *,
        timeout: float | None = ...) -> list[list[str]] | Any: ...
    @overload
    def keys(self, targets: Targets | None = ..., block: Literal[True] = ..., *,
        timeout: float | None = ...) -> list[list[str]]: ...
    @overload
    def keys(self, targets: Targets | None = ...,
        block: Literal[False] = ...) -> PendingResult[list[list[str]]]: ...
    @overload
    def keys(self, targets: Targets | None = ..., block: bool | None = ..., *,
        timeout: float | None = ...) -> list[list[str]] | Any: ...
    # fmt: on
    def keys(
        self,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """The names of the user's variables on each engine.

        What IPython and kernelfleet have put into the namespace is not among them.

        Args:
            targets: Which engines; None takes the client's.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit.

        Returns:
            One list of names per target, in target order.

        Raises:
            CallTimeout: ``timeout`` expired.

        Example:
            >>> _ = mec.push({"a": 5, "b": 6}, targets=[0, 1])
            >>> mec.keys(targets=[0, 2])
            [['a', 'b'], []]
        """
        return self._simple("keys", targets, block, timeout, kind="keys")

    # fmt: off
    @overload
    def reset(self, targets: Targets | None = ..., block: None = ..., *,
        timeout: float | None = ...) -> list[None] | Any: ...
    @overload
    def reset(self, targets: Targets | None = ..., block: Literal[True] = ..., *,
        timeout: float | None = ...) -> list[None]: ...
    @overload
    def reset(self, targets: Targets | None = ...,
        block: Literal[False] = ...) -> PendingResult[list[None]]: ...
    @overload
    def reset(self, targets: Targets | None = ..., block: bool | None = ..., *,
        timeout: float | None = ...) -> list[None] | Any: ...
    # fmt: on
    def reset(
        self,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Clear namespace, history, properties and queue of engines; numbering starts at 1 again.

        The queue is cleared at once, the rest when the running command has ended. ``engine_id``
        and ``n_engines`` are put back.

        Args:
            targets: Which engines; None takes the client's.
            block: Wait until it is done, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit. The work goes on after it.

        Returns:
            ``[None] * n``: one None per target.

        Raises:
            CallTimeout: ``timeout`` expired; the engines are reset when their turn comes.

        Example:
            >>> _ = mec.push({"a": 5})
            >>> mec.reset()
            [None, None, None, None]
            >>> "a" in mec
            False
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

        The controller is asked, and no request waits in an engine's queue: completion is at once,
        whatever the engines run.
        """
        try:
            asked = self._connection.call("names", NAMES_SECONDS, targets=self._resolve(None))
        except (TimeoutError, FleetError):
            return []
        return sorted({str(name) for names in asked.header["value"] for name in names})
