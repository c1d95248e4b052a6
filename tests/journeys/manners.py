"""The manners in which a fleet may run: how it is reached, and how its engines come to be."""

from __future__ import annotations

import pytest

from tests.conftest import TRANSPORTS

_ALL = [(transport, fork) for fork in (True, False) for transport in TRANSPORTS]


def _name(transport: str, fork: bool) -> str:
    return f"{transport}, {'forked' if fork else 'ordinary'}"


#: The cheapest is part of every run; of the others, two are part of the slow run and the rest of
#: the long one.
_RUNS = {
    ("embedded", True): [],
    ("unix", True): [pytest.mark.slow],
    ("tcp", False): [pytest.mark.slow],
}

#: A test in every manner.
IN_EVERY_MANNER = pytest.mark.parametrize(
    ("transport", "fork"),
    [
        pytest.param(*manner, id=_name(*manner), marks=_RUNS.get(manner, [pytest.mark.long]))
        for manner in _ALL
    ],
)
