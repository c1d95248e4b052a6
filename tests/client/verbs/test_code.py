"""code.py: a cell and a script on their way to engines. Without a fleet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.errors import CompositeError, MessageTooLarge
from kernelfleet.wire.outputs import to_pages
from tests.client.scripted import JsonDict, ScriptedController, failing

Scripted = tuple[MultiEngineClient, ScriptedController]


def ran(header: JsonDict, _buffers: list[Any]) -> tuple[JsonDict, list[Any]]:
    """Each engine printed its id."""
    results, frames = [], []
    for engine_id in header["targets"]:
        pages = to_pages("stream", b'{"name": "stdout", "text": "%d"}' % engine_id)
        results.append(
            {
                "id": engine_id, "ok": True, "number": 4, "buffers": 0, "outputs": len(pages),
                "started": 1.0, "completed": 3.0,
            }
        )  # fmt: skip
        frames += pages
    return {"results": results}, frames


def test_a_cell_gives_a_result_per_target_in_their_order(scripted: Scripted) -> None:
    mec, controller = scripted
    controller.answers["execute"] = ran
    results = mec.execute("print(id)", targets=[1, 0])
    assert [(each["id"], each["number"], each.stdout) for each in results] == [
        (1, 4, "1"),
        (0, 4, "0"),
    ]
    assert [each.duration for each in results] == [2.0, 2.0]
    assert controller.asked[0]["content"]["code"] == "print(id)"


def test_output_is_asked_for_only_where_somebody_listens(scripted: Scripted) -> None:
    mec, controller = scripted
    controller.answers["execute"] = ran
    mec.execute("1")
    mec.execute("1", on_output=lambda *_: None)
    assert [each.get("stream", False) for each in controller.asked] == [False, True]


def test_an_error_is_a_composite_error_of_execute(scripted: Scripted) -> None:
    mec, controller = scripted
    controller.answers["execute"] = failing("ZeroDivisionError")
    with pytest.raises(CompositeError, match="call to method: execute"):
        mec.execute("1/0")


def test_what_is_no_code_is_refused_before_anything_is_sent(
    scripted: Scripted, tmp_path: Path
) -> None:
    mec, controller = scripted
    with pytest.raises(TypeError, match="code must be a str, not bytes"):
        mec.execute(b"1")  # type: ignore[call-overload]
    with pytest.raises(MessageTooLarge, match="push data"):
        mec.execute("x" * (9 * 1024 * 1024))
    with pytest.raises(FileNotFoundError):
        mec.run(tmp_path / "nowhere.py")
    bad = tmp_path / "bad.py"
    bad.write_text("def f(:\n")
    with pytest.raises(SyntaxError):
        mec.run(bad)
    with pytest.raises(TypeError, match="args is a list of texts"):
        mec.run(bad, args="--steps 3")
    assert controller.asked == []


def test_a_script_travels_as_its_text_with_its_path_and_arguments(
    scripted: Scripted, tmp_path: Path
) -> None:
    mec, controller = scripted
    controller.answers["execute"] = ran
    script = tmp_path / "script.py"
    script.write_text("import sys\n")
    mec.run(script, args=["--steps", "3"])
    content = controller.asked[0]["content"]
    assert "import sys" in content["code"]
    assert content["script_path"] == str(script)
    assert content["argv"] == [str(script), "--steps", "3"]
