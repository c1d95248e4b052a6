"""What a call on engines is to fail with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kernelfleet import CompositeError


@contextmanager
def failing(
    kind: type[Exception],
    *,
    engines: list[int],
    method: str | None = None,
    match: str = "",
) -> Iterator[pytest.ExceptionInfo[CompositeError]]:
    """A CompositeError of exactly these engines, whose members are all of one type."""
    with pytest.raises(CompositeError) as caught:
        yield caught
    error = caught.value
    assert [failure.engine_id for failure in error.failures] == engines
    assert all(isinstance(each, kind) for each in error.exceptions), error.exceptions
    assert all(re.search(match, str(each)) for each in error.exceptions), str(error)
    if method is not None:
        assert error.message == f"one or more exceptions from call to method: {method}"
