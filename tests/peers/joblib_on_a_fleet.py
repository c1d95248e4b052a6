"""A plugin of pytest: where joblib's own tests name a backend, ``kernelfleet`` is one more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from joblib.parallel import BACKENDS, register_parallel_backend

from kernelfleet import Fleet
from kernelfleet.client.client import MultiEngineClient
from kernelfleet.joblib.backend import FleetBackend

#: The client of the fleet that all tests use.
_clients: list[MultiEngineClient] = []


class TestedBackend(FleetBackend):
    """A backend that knows its fleet without being told."""

    def __init__(self, **options: Any) -> None:
        super().__init__(fleet=_clients[0] if _clients else None, **options)


register_parallel_backend("kernelfleet", TestedBackend)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep what runs on our backend."""
    ours = [item for item in items if _is_ours(item)]
    config.hook.pytest_deselected(items=[item for item in items if not _is_ours(item)])
    items[:] = ours


def _is_ours(item: pytest.Item) -> bool:
    parameters = getattr(item, "callspec", None)
    values = () if parameters is None else parameters.params.values()
    return any(each == "kernelfleet" or isinstance(each, TestedBackend) for each in values)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Name it where tests list the backends with processes."""
    for mark in metafunc.definition.iter_markers("parametrize"):
        names, values = mark.args[:2]
        named = isinstance(values, list) and {"loky", "multiprocessing"} <= {
            each for each in values if isinstance(each, str)
        }
        if named and isinstance(names, str) and "," not in names and "kernelfleet" not in values:
            values.append("kernelfleet")


@pytest.fixture(scope="session", autouse=True)
def _on_a_fleet() -> Iterator[None]:
    with Fleet(4) as mec:
        _clients.append(mec)
        yield
        _clients.clear()
    del BACKENDS["kernelfleet"]
