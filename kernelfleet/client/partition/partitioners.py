"""How objects of other libraries are cut and joined by rows: tables, tensors, sparse matrices.

One table, by the type or by its dotted name, so that no library is imported here. Users add their
own types with ``kernelfleet.register_partitioner``.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Axis = int | str


@dataclass(frozen=True)
class Partitioner:
    """How values of one type are cut and joined.

    Attributes:
        length: How many items a value has along an axis.
        part: Items ``start`` to ``stop`` along an axis.
        join: The value that such parts make.
    """

    length: Callable[[Any, Axis], int]
    part: Callable[[Any, int, int, Axis], Any]
    join: Callable[[Sequence[Any], Axis], Any]


_registered: dict[type | str, Partitioner] = {}


def register_partitioner(
    kind: type | str,
    *,
    part: Callable[[Any, int, int], Any],
    join: Callable[[list[Any]], Any],
    length: Callable[[Any], int] = len,
) -> None:
    """Have ``scatter`` and ``gather`` cut and join values of a type of yours.

    Args:
        kind: The type, whose subclasses are meant too; or its name with that of its package
            (``'polars.DataFrame'``), so that it need not be imported.
        part: ``part(value, start, stop)`` gives these items of a value.
        join: ``join(parts)`` gives the value that the parts of all engines make.
        length: How many items a value has.

    Raises:
        TypeError: ``kind`` is neither, or a function is none or takes other arguments.
        ValueError: ``kind`` is a name, but not of this form.

    Example:
        >>> from collections import deque
        >>> from itertools import chain, islice
        >>> kernelfleet.register_partitioner(
        ...     deque,
        ...     part=lambda d, start, stop: deque(islice(d, start, stop)),
        ...     join=lambda parts: deque(chain(*parts)),
        ... )
        >>> _ = mec.scatter("d", deque([1, 2, 3, 4, 5]))
        >>> mec.gather("d")
        deque([1, 2, 3, 4, 5])
    """
    _check_kind(kind)
    _check_call("part", part, "value, start, stop")
    _check_call("join", join, "parts")
    _check_call("length", length, "value")
    name = kind if isinstance(kind, str) else kind.__qualname__

    def rows(axis: Axis) -> None:
        if axis != 0:
            raise TypeError(f"a {name} is cut along axis 0 only")

    def the_length(value: Any, axis: Axis) -> int:
        rows(axis)
        return length(value)

    def the_join(parts: Sequence[Any], axis: Axis) -> Any:
        rows(axis)
        return join(list(parts))

    _registered[kind] = Partitioner(
        the_length, lambda value, start, stop, _: part(value, start, stop), the_join
    )


def _check_kind(kind: object) -> None:
    if not isinstance(kind, type | str) or kind is object:
        raise TypeError(f"a partitioner is for a type or its name, not for {kind!r}")
    if isinstance(kind, str):
        package, _, name = kind.partition(".")
        if not (package.isidentifier() and name.isidentifier()):
            text = "the name of a type is that of its package and its own, as 'polars.DataFrame'"
            raise ValueError(f"{text}, not {kind!r}")


def _check_call(what: str, function: object, arguments: str) -> None:
    """Refuse what cannot be called so: it would fail in the middle of a scatter or a gather."""
    if not callable(function):
        raise TypeError(f"{what} is a function {what}({arguments}), not {function!r}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # a builtin function that does not tell
    try:
        signature.bind(*arguments.split(", "))
    except TypeError as error:
        raise TypeError(f"{what} is called as {what}({arguments}): {error}") from None


def find(value: object) -> Partitioner | None:
    """What cuts and joins values like this one; None for those that Python itself can."""
    for kind in type(value).__mro__:
        found = _registered.get(kind)
        if found is None:
            name = f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
            found = _registered.get(name) or _KNOWN.get(name)
        if found is not None:
            return found
    return None


# -- those that are known ------------------------------------------------------------------------


def _at(axis: Axis, start: int, stop: int) -> tuple[slice, ...]:
    """The index of these items along an axis."""
    return (slice(None),) * _number(axis) + (slice(start, stop),)


def _number(axis: Axis) -> int:
    if not isinstance(axis, int) or isinstance(axis, bool) or axis < 0:
        raise TypeError(f"axis is a number from 0 on, not {axis!r}")
    return axis


def _shape(value: Any, axis: Axis) -> int:
    if _number(axis) >= len(value.shape):
        raise TypeError(f"a {type(value).__name__} of {len(value.shape)} axes has no axis {axis}")
    return int(value.shape[_number(axis)])


def _rows_only(axis: Axis) -> None:
    if axis != 0:
        raise TypeError("tables of this kind are cut by rows, along axis 0, only")


def _table(join: Callable[[list[Any]], Any]) -> Partitioner:
    def length(value: Any, axis: Axis) -> int:
        _rows_only(axis)
        return len(value)

    def together(parts: Sequence[Any], axis: Axis) -> Any:
        _rows_only(axis)
        return join(list(parts))

    return Partitioner(length, lambda value, start, stop, _: value[start:stop], together)


def _module(name: str) -> Any:
    return sys.modules[name]


def _pandas(value: Any, start: int, stop: int, axis: Axis) -> Any:
    return value.iloc[_at(axis, start, stop)]


def _dimension(value: Any, axis: Axis) -> str:
    if isinstance(axis, str):
        return axis
    return str(list(value.dims)[_number(axis)])


def _xarray_length(value: Any, axis: Axis) -> int:
    return int(dict(value.sizes)[_dimension(value, axis)])


def _xarray_join(parts: Sequence[Any], axis: Axis) -> Any:
    return _module("xarray").concat(list(parts), dim=_dimension(parts[0], axis))


_PANDAS = Partitioner(
    _shape, _pandas, lambda parts, axis: _module("pandas").concat(list(parts), axis=_number(axis))
)
_POLARS = _table(lambda parts: _module("polars").concat(parts))
_XARRAY = Partitioner(
    _xarray_length,
    lambda value, start, stop, axis: value.isel({_dimension(value, axis): slice(start, stop)}),
    _xarray_join,
)
_TORCH = Partitioner(
    _shape,
    # clone: a view would travel with all that it is a view of
    lambda value, start, stop, axis: value[_at(axis, start, stop)].clone(),
    lambda parts, axis: _module("torch").cat(list(parts), dim=_number(axis)),
)


def _stack_sparse(parts: Sequence[Any], axis: Axis) -> Any:
    sparse = _module("scipy.sparse")
    stack = sparse.vstack if _number(axis) == 0 else sparse.hstack
    return stack(list(parts), format=parts[0].format)


_SPARSE = Partitioner(
    _shape, lambda value, start, stop, axis: value[_at(axis, start, stop)], _stack_sparse
)

_KNOWN: dict[str, Partitioner] = {
    "pandas.DataFrame": _PANDAS,
    "pandas.Series": _PANDAS,
    "polars.DataFrame": _POLARS,
    "polars.Series": _POLARS,
    "pyarrow.Table": _table(lambda parts: _module("pyarrow").concat_tables(parts)),
    "pyarrow.Array": _table(lambda parts: _module("pyarrow").concat_arrays(parts)),
    "xarray.DataArray": _XARRAY,
    "xarray.Dataset": _XARRAY,
    "torch.Tensor": _TORCH,
    **{
        f"scipy.{kind}_{form}": _SPARSE
        for kind in ("csr", "csc", "lil", "dok")
        for form in ("matrix", "array")
    },
}
