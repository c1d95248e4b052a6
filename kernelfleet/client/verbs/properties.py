"""The verbs that label engines: properties, JSON values by name, kept by the controller.

Reading and setting them never waits behind work, and code on the engines does not see them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

from kernelfleet.client.base import BaseClient
from kernelfleet.client.results.pending import PendingResult
from kernelfleet.client.targets import Targets
from kernelfleet.errors.tree import InvalidProperty


class PropertyVerbs(BaseClient):
    """Set, get and remove properties; see ``MultiEngineClient``."""

    # fmt: off
    @overload
    def set_properties(self, properties: Mapping[str, Any], targets: Targets | None = ...,
        block: None = ..., *, timeout: float | None = ...) -> list[None] | Any: ...
    @overload
    def set_properties(self, properties: Mapping[str, Any], targets: Targets | None = ...,
        block: Literal[True] = ..., *, timeout: float | None = ...) -> list[None]: ...
    @overload
    def set_properties(self, properties: Mapping[str, Any], targets: Targets | None = ...,
        block: Literal[False] = ...) -> PendingResult[list[None]]: ...
    @overload
    def set_properties(self, properties: Mapping[str, Any], targets: Targets | None = ...,
        block: bool | None = ..., *, timeout: float | None = ...) -> list[None] | Any: ...
    # fmt: on
    def set_properties(
        self,
        properties: Mapping[str, Any],
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Label engines; properties they have already are replaced, others stay.

        Args:
            properties: Names and values, which must be JSON.
            targets: Which engines; None takes the client's.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit.

        Returns:
            ``[None] * n``: one None per target.

        Raises:
            TypeError: not a dict.
            InvalidProperty: a name is no string, or a value would not come back from JSON as it
                is; nothing was set.
            CallTimeout: ``timeout`` expired.

        Example:
            >>> mec.set_properties({"gpu": True}, targets=[0, 1])
            [None, None]
        """
        values = checked_properties(properties)
        return self._ask("set_properties", targets, block, timeout, values=values)

    # fmt: off
    @overload
    def get_properties(self, keys: str | Sequence[str] | None = ..., targets: Targets | None = ...,
        block: None = ..., *, timeout: float | None = ...) -> list[dict[str, Any]] | Any: ...
    @overload
    def get_properties(self, keys: str | Sequence[str] | None = ..., targets: Targets | None = ...,
        block: Literal[True] = ..., *, timeout: float | None = ...) -> list[dict[str, Any]]: ...
    @overload
    def get_properties(self, keys: str | Sequence[str] | None = ..., targets: Targets | None = ...,
        block: Literal[False] = ...) -> PendingResult[list[dict[str, Any]]]: ...
    @overload
    def get_properties(self, keys: str | Sequence[str] | None = ..., targets: Targets | None = ...,
        block: bool | None = ..., *, timeout: float | None = ...) -> list[dict[str, Any]] | Any: ...
    # fmt: on
    def get_properties(
        self,
        keys: str | Sequence[str] | None = None,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """The properties of each engine: those of these names, or all of them.

        Args:
            keys: A name, or a tuple or list of names; None is all that an engine has.
            targets: Which engines; None takes the client's.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit.

        Returns:
            One dict of names and values per target, in target order.

        Raises:
            CompositeError: of ``KeyError``, where an engine lacks one.
            CallTimeout: ``timeout`` expired.

        Example:
            >>> _ = mec.set_properties({"gpu": True}, targets=0)
            >>> mec.get_properties(targets=[0, 1])
            [{'gpu': True}, {}]
        """
        wanted = None if keys is None else checked_keys(keys)
        return self._ask("get_properties", targets, block, timeout, keys=wanted)

    # fmt: off
    @overload
    def has_properties(self, keys: str | Sequence[str], targets: Targets | None = ...,
        block: None = ..., *, timeout: float | None = ...) -> list[list[bool]] | Any: ...
    @overload
    def has_properties(self, keys: str | Sequence[str], targets: Targets | None = ...,
        block: Literal[True] = ..., *, timeout: float | None = ...) -> list[list[bool]]: ...
    @overload
    def has_properties(self, keys: str | Sequence[str], targets: Targets | None = ...,
        block: Literal[False] = ...) -> PendingResult[list[list[bool]]]: ...
    @overload
    def has_properties(self, keys: str | Sequence[str], targets: Targets | None = ...,
        block: bool | None = ..., *, timeout: float | None = ...) -> list[list[bool]] | Any: ...
    # fmt: on
    def has_properties(
        self,
        keys: str | Sequence[str],
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Whether each engine has properties of these names.

        Args:
            keys: A name, or a tuple or list of names.
            targets: Which engines; None takes the client's.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit.

        Returns:
            One list per target, in target order, with a bool for each name.

        Raises:
            CallTimeout: ``timeout`` expired.

        Example:
            >>> _ = mec.set_properties({"gpu": True}, targets=0)
            >>> mec.has_properties(["gpu", "fast"], targets=[0, 1])
            [[True, False], [False, False]]
        """
        return self._ask("has_properties", targets, block, timeout, keys=checked_keys(keys))

    # fmt: off
    @overload
    def del_properties(self, keys: str | Sequence[str], targets: Targets | None = ...,
        block: None = ..., *, timeout: float | None = ...) -> list[None] | Any: ...
    @overload
    def del_properties(self, keys: str | Sequence[str], targets: Targets | None = ...,
        block: Literal[True] = ..., *, timeout: float | None = ...) -> list[None]: ...
    @overload
    def del_properties(self, keys: str | Sequence[str], targets: Targets | None = ...,
        block: Literal[False] = ...) -> PendingResult[list[None]]: ...
    @overload
    def del_properties(self, keys: str | Sequence[str], targets: Targets | None = ...,
        block: bool | None = ..., *, timeout: float | None = ...) -> list[None] | Any: ...
    # fmt: on
    def del_properties(
        self,
        keys: str | Sequence[str],
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Remove properties.

        Args:
            keys: A name, or a tuple or list of names.
            targets: Which engines; None takes the client's.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit.

        Returns:
            ``[None] * n``: one None per target.

        Raises:
            CompositeError: of ``KeyError``, where an engine lacks one; nothing is removed there.
            CallTimeout: ``timeout`` expired.

        Example:
            >>> _ = mec.set_properties({"gpu": True}, targets=0)
            >>> mec.del_properties("gpu", targets=0)
            [None]
        """
        return self._ask("del_properties", targets, block, timeout, keys=checked_keys(keys))

    # fmt: off
    @overload
    def clear_properties(self, targets: Targets | None = ..., block: None = ..., *,
        timeout: float | None = ...) -> list[None] | Any: ...
    @overload
    def clear_properties(self, targets: Targets | None = ..., block: Literal[True] = ..., *,
        timeout: float | None = ...) -> list[None]: ...
    @overload
    def clear_properties(self, targets: Targets | None = ...,
        block: Literal[False] = ...) -> PendingResult[list[None]]: ...
    @overload
    def clear_properties(self, targets: Targets | None = ..., block: bool | None = ..., *,
        timeout: float | None = ...) -> list[None] | Any: ...
    # fmt: on
    def clear_properties(
        self,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Remove all properties.

        Args:
            targets: Which engines; None takes the client's.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit.

        Returns:
            ``[None] * n``: one None per target.

        Raises:
            CallTimeout: ``timeout`` expired.

        Example:
            >>> mec.clear_properties()
            [None, None, None, None]
        """
        return self._ask("clear_properties", targets, block, timeout)

    def _ask(
        self,
        verb: str,
        targets: Targets | None,
        block: bool | None,
        timeout: float | None,
        **fields: Any,
    ) -> Any:
        returns_values = verb in ("get_properties", "has_properties")
        return self._run(
            {"operation": verb, **fields}, [],
            {"kind": "value" if returns_values else "none", "method": verb},
            targets=self._resolve(targets), blocks=self._blocks(block, timeout), timeout=timeout,
        )  # fmt: skip


def checked_properties(properties: object) -> dict[str, Any]:
    """A copy of the properties, if JSON gives every one of them back as it is.

    Raises:
        TypeError: not a dict.
        InvalidProperty: names the one that is not JSON.
    """
    if not isinstance(properties, Mapping):
        raise TypeError(f"properties are a dict, not {type(properties).__name__}")
    checked = {}
    for name, value in properties.items():
        if not isinstance(name, str):
            raise InvalidProperty(f"properties have names that are strings, not {name!r}")
        try:
            checked[name] = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidProperty(f"property {name!r} is not JSON: {error}") from None
        if checked[name] != value:  # a tuple, or a dict with keys that are no strings
            raise InvalidProperty(
                f"property {name!r} is not JSON: it would become {checked[name]!r}"
            )
    return checked


def checked_keys(keys: object) -> list[str]:
    """The names of properties: a string, or a list or tuple of strings.

    Raises:
        TypeError: anything else.
    """
    names = [keys] if isinstance(keys, str) else keys
    if not isinstance(names, list | tuple) or not all(isinstance(each, str) for each in names):
        raise TypeError(f"a name or a list of names of properties is needed, not {keys!r}")
    return list(names)
