from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.engine.driver import Engine


def test_the_debugger_is_loaded_when_somebody_debugs(start_engine: Callable[..., Engine]) -> None:
    engine = start_engine()
    loaded = "any(name.partition('.')[0] == 'debugpy' for name in __import__('sys').modules)"
    assert engine.value(loaded) is False

    def debug(command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        debug.seq += 1  # type: ignore[attr-defined]
        content = {
            "type": "request",
            "seq": debug.seq,  # type: ignore[attr-defined]
            "command": command,
            "arguments": arguments,
        }
        return dict(engine.ask_control("debug_request", content)["content"])

    debug.seq = 0  # type: ignore[attr-defined]
    info = debug("debugInfo", {})
    assert info["success"]
    assert engine.value(loaded) is True
    arguments = {"clientID": "test", "adapterID": "", "pathFormat": "path"}
    assert debug("initialize", arguments)["success"]
    assert debug("attach", {"type": "python", "request": "attach"})["success"]
    assert debug("dumpCell", {"code": "x = 1"})["success"]
    assert engine.execute("print(1)")["stdout"] == "1\n"
