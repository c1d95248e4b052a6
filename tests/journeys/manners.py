"""The manners in which a fleet may run: how it is reached, and how its engines come to be."""

from __future__ import annotations

import pytest

from tests.conftest import TRANSPORTS

_ALL = [(transport, fork) for fork in (True, False) for transport in TRANSPORTS]


def _name(transport: str, fork: bool) -> str:
    return f"{transport}, {'forked' if fork else 'ordinary'}"


#: A test in every manner; all but the cheapest are part of the slow run.
IN_EVERY_MANNER = pytest.mark.parametrize(
    ("transport", "fork"),
    [
        pytest.param(
            *manner, id=_name(*manner), marks=[] if manner == _ALL[0] else pytest.mark.slow
        )
        for manner in _ALL
    ],
)
