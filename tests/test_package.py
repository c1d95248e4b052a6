"""What ``import kernelfleet`` gives, and what it costs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

import kernelfleet
from kernelfleet import client, errors
from kernelfleet.errors import tree

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"zmq", "IPython", "jupyter_client", "ipykernel", "traitlets", "cloudpickle", "asyncio"}


def test_every_public_name_resolves() -> None:
    for name in kernelfleet.__all__:
        assert getattr(kernelfleet, name) is not None
        assert name in dir(kernelfleet)


def test_tab_completion_offers_the_public_names_only() -> None:
    offered = {name for name in dir(kernelfleet) if not name.startswith("__")}
    assert offered == set(kernelfleet.__all__) - {"__version__"}


def test_every_error_class_is_public() -> None:
    classes = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert classes | {"CompositeError"} <= set(kernelfleet.__all__)


def test_a_star_import_gives_every_error_and_nothing_else() -> None:
    given: dict[str, object] = {}
    exec("from kernelfleet.errors import *", given)
    given.pop("__builtins__")
    classes = {name for name, value in vars(tree).items() if isinstance(value, type)}
    classes = {name for name in classes if issubclass(vars(tree)[name], Exception)}
    assert set(given) == {name for name in classes if name[0] != "_"} | {"CompositeError"}
    assert set(errors.__all__) <= set(dir(errors))


def test_a_star_import_of_the_client_gives_the_public_names() -> None:
    given: dict[str, object] = {}
    exec("from kernelfleet.client import *", given)
    assert set(given) - {"__builtins__"} == set(kernelfleet.__all__) - {"client", "__version__"}


def test_the_names_stand_where_the_tutorials_look_for_them() -> None:
    assert client.MultiEngineClient is kernelfleet.MultiEngineClient
    assert client.CompositeError is kernelfleet.CompositeError
    assert client.PendingResult is kernelfleet.PendingResult
    assert client.Fleet is kernelfleet.Fleet
    assert client.ResultList is kernelfleet.ResultList
    assert kernelfleet.client is client


@pytest.mark.parametrize("module", [kernelfleet, client])
def test_a_name_that_does_not_exist_is_an_attribute_error(module: object) -> None:
    with pytest.raises(AttributeError, match="no attribute 'Cluster'"):
        _ = module.Cluster  # type: ignore[attr-defined]


def test_the_version_is_that_of_the_distribution() -> None:
    assert kernelfleet.__version__ == version("kernelfleet")


def test_the_package_is_typed() -> None:
    assert (Path(kernelfleet.__file__).parent / "py.typed").exists()


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, kernelfleet; print(*sys.modules)"
    assert HEAVY.isdisjoint(run_python(code).split())


def test_importing_the_package_costs_less_than_50_ms() -> None:
    bare, importing = [], []
    for _ in range(7):  # the quickest of each, since a busy machine makes any of them slower
        bare.append(seconds_of("pass"))
        importing.append(seconds_of("import kernelfleet"))
    assert min(importing) - min(bare) < 0.05


def run_python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def seconds_of(code: str) -> float:
    began = time.perf_counter()
    run_python(code)
    return time.perf_counter() - began


def test_jupyterlab_shows_the_version_of_the_package() -> None:
    described = (ROOT / "kernelfleet" / "labextension" / "package.json").read_text()
    assert json.loads(described)["version"] == kernelfleet.__version__
