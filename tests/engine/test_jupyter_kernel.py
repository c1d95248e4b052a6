"""What an engine does for Jupyter's own clients; see also tests/engine/running/test_history.py."""

from __future__ import annotations

from tests.engine.driver import Engine


def test_a_consoles_awaiting_cell_is_interrupted_promptly(engine: Engine) -> None:
    with engine.console() as console:
        msg_id = console.execute(
            "import asyncio\nprint('now', flush=True)\nawait asyncio.sleep(60)"
        )
        while console.get_iopub_msg(timeout=10)["content"].get("text") != "now\n":
            pass
        engine.interrupt()
        reply = console.get_shell_msg(timeout=5)
        assert reply["parent_header"]["msg_id"] == msg_id
        assert reply["content"]["status"] == "error"


def test_kernel_info_tells_of_ipython_and_a_debugger(engine: Engine) -> None:
    info = engine.ask("kernel_info_request")["content"]
    assert info["implementation"] == "ipython"
    assert info["supported_features"] == ["debugger"]
