from __future__ import annotations

import base64

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.display import layout, tables
from kernelfleet.mcp.answers import Picture, answer, error_lines, last_lines, said, table_text
from tests.fleets import eventually
from tests.gate import Gate

PNG = base64.b64encode(b"a picture").decode()


def display(**data: str) -> list[dict[str, object]]:
    mimes = {name.replace("_", "/"): value for name, value in data.items()}
    return [{"output_type": "display_data", "data": mimes, "metadata": {}}]


def test_pictures_are_bytes_and_a_line_stands_in_their_place() -> None:
    lines, pictures = said(layout.arrange([(0, display(image_png=PNG, text_plain="<Figure>"))]))
    assert lines == ["[0] (picture 1 below)"]
    assert pictures == [Picture([0], "png", b"a picture")]


def test_a_picture_that_cannot_be_passed_on_is_text() -> None:
    broken = said(layout.arrange([(0, display(image_png="x", text_plain="<Figure>"))]))
    assert broken == (["[0] <Figure>"], [])
    drawing = display(**{"image_svg+xml": "<svg/>"})
    assert said(layout.arrange([(1, drawing)])) == (["[1] image/svg+xml"], [])


def test_of_a_rich_output_the_plainest_form_is_given() -> None:
    table = display(text_html="<table>", text_plain="\x1b[31ma  b\x1b[0m")
    assert said(layout.arrange([(0, table)]))[0] == ["[0] shows:", "a  b"]
    markup = display(text_html="<b>x</b>")
    assert said(layout.arrange([(0, markup)]))[0] == ["[0] shows:", "<b>x</b>"]
    other = [{"output_type": "display_data", "data": {"application/x-own": "?"}, "metadata": {}}]
    assert said(layout.arrange([(0, other)]))[0][1] == "(an output of type application/x-own)"


def test_an_error_that_is_of_no_engine_is_a_line() -> None:
    assert error_lines(ValueError("no")) == ["ValueError: no"]


def test_last_lines_and_tables_are_text() -> None:
    assert last_lines("a\nb\nc\n", 2) == "b\nc"
    assert table_text(tables.Table(("a", "b"), [("1", "2")])) == "a  b\n1  2"


@pytest.mark.parametrize("transport", ["embedded"], indirect=True)
class TestWithEngines:
    def test_identical_outputs_are_said_once_and_nothing_is_left_out(
        self, mec: MultiEngineClient
    ) -> None:
        pending = mec.execute("for i in range(3000): print(i)\nengine_id", block=False)
        pending.wait(30)
        lines = answer(pending, 30).text.split("\n")
        assert lines[:2] == ["[0-3] 0", "[0-3] 1"]
        assert lines[2999:] == ["[0-3] 2999", *(f"[{i}] Out[1]: {i}" for i in range(4))]

    def test_an_error_is_a_part_of_the_answer(self, mec: MultiEngineClient) -> None:
        pending = mec.execute("print('before'); 1 / 0", [0, 1], block=False)
        pending.wait(30)
        text = answer(pending, 30).text
        assert text.startswith("[0-1] before\n[0-1:execute]: ZeroDivisionError")
        assert text.count("Traceback (most recent call last)") == 1
        assert "\x1b" not in text

    def test_silence_is_said(self, mec: MultiEngineClient) -> None:
        pending = mec.execute("a = 5", block=False)
        pending.wait(30)
        assert answer(pending, 30).text == "[0-3] done, without output"

    def test_what_runs_says_so_with_its_output_so_far(
        self, mec: MultiEngineClient, gate: Gate
    ) -> None:
        pending = mec.execute(f"print('so far')\n{gate.code}", 0, block=False)
        gate.entered()
        eventually(lambda: pending.stdout == {0: "so far\n"})
        text = answer(pending, 1.5).text
        gate.open()
        pending.wait(30)
        assert text.startswith("[0] so far\n[still running")
        assert text.endswith("interrupt(...) ends it; peek(...) looks at variables meanwhile]")
        assert f'read_result(result_id="{pending.result_id}")' in text
        assert "still running after 1.5 s: 0 of 1 engines" in text
