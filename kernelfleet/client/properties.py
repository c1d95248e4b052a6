"""The verbs that label engines: properties, JSON values by name, kept by the controller.

They never wait behind work, and code on the engines does not see them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from kernelfleet.client.base import BaseClient
from kernelfleet.client.targets import Targets
from kernelfleet.errors.tree import InvalidProperty


class PropertyVerbs(BaseClient):
    """Set, get and remove properties; see ``MultiEngineClient``."""

    def set_properties(
        self,
        properties: Mapping[str, Any],
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Label engines; properties they have already are replaced, others stay.

        Returns:
            ``[None] * n``.

        Raises:
            TypeError: not a dict.
            InvalidProperty: a name is no string, or a value would not come back from JSON as it
                is; nothing was set.
        """
        values = checked_properties(properties)
        return self._label("set_properties", targets, block, timeout, values=values)

    def get_properties(
        self,
        keys: str | Sequence[str] | None = None,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """A dict of each engine's properties: of these names, or all of them.

        Raises:
            CompositeError: of ``KeyError``, where an engine lacks one.
        """
        wanted = None if keys is None else checked_keys(keys)
        return self._label("get_properties", targets, block, timeout, keys=wanted)

    def has_properties(
        self,
        keys: str | Sequence[str],
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """For each engine a list that says for each name whether it has that property."""
        return self._label("has_properties", targets, block, timeout, keys=checked_keys(keys))

    def del_properties(
        self,
        keys: str | Sequence[str],
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Remove properties.

        Returns:
            ``[None] * n``.

        Raises:
            CompositeError: of ``KeyError``, where an engine lacks one; nothing is removed there.
        """
        return self._label("del_properties", targets, block, timeout, keys=checked_keys(keys))

    def clear_properties(
        self,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Remove all properties."""
        return self._label("clear_properties", targets, block, timeout)

    def _label(
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
