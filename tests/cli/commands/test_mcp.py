from __future__ import annotations

import re
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

CLI = Callable[..., tuple[int, str, str]]


class Served(ModuleType):
    """Stands in for the module that serves."""

    def __init__(self) -> None:
        super().__init__("kernelfleet.mcp.serve")
        self.calls: list[Any] = []

    def over_stdio(self) -> None:
        self.calls.append("stdio")

    def over_http(self, port: int, token: str, announce: Callable[[str], object]) -> None:
        self.calls.append((port, token))
        announce(f"http://127.0.0.1:{port}/mcp")

    def new_token(self) -> str:
        return "fresh"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    served = Served()
    monkeypatch.setitem(sys.modules, "kernelfleet.mcp.serve", served)
    monkeypatch.setattr("kernelfleet.mcp.serve", served, raising=False)
    monkeypatch.delenv("KERNELFLEET_MCP_TOKEN", raising=False)
    return served


def test_it_speaks_on_stdin_and_stdout(cli: CLI, served: Served) -> None:
    assert cli("mcp") == (0, "", "")  # stdout is the other side's
    assert served.calls == ["stdio"]


def test_http_has_a_token_of_its_own_which_is_said_once(cli: CLI, served: Served) -> None:
    code, out, err = cli("mcp", "--http", "8765")
    assert (code, out, served.calls) == (0, "", [(8765, "fresh")])
    assert err.splitlines() == [
        "Serving fleets on http://127.0.0.1:8765/mcp",
        "Authorization: Bearer fresh",
    ]


def test_a_given_token_is_not_repeated(
    cli: CLI, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERNELFLEET_MCP_TOKEN", "mine")
    _, out, err = cli("mcp", "--http", "0")
    assert served.calls == [(0, "mine")]
    assert "mine" not in out + err


def test_without_the_package_the_remedy_is_said(cli: CLI, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("kernelfleet.mcp.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("kernelfleet.mcp.serve", raising=False)
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    code, out, err = cli("mcp")
    assert (code, out) == (2, "")
    # (anyio, which comes with it, is looked for first)
    assert re.search(r"mcp needs the package (mcp|anyio): pip install 'kernelfleet\[mcp\]'", err)


def test_arguments_are_refused(cli: CLI, served: Served) -> None:
    code, _, err = cli("mcp", "default")
    assert code == 2
    assert "takes no arguments: default" in err
    assert served.calls == []
