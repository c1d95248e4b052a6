"""The final form: identical things once, pictures together, texts bounded, nothing alive."""

from __future__ import annotations

from typing import Any

from kernelfleet.display.layout import Grid, Rich, Text, arrange, bounded, printable

Output = dict[str, Any]


def stream(text: str, name: str = "stdout") -> Output:
    return {"output_type": "stream", "name": name, "text": text}


def value(text: str, number: int = 3, **data: str) -> Output:
    bundle = {"text/plain": text, **{key.replace("_", "/"): each for key, each in data.items()}}
    return {
        "output_type": "execute_result", "data": bundle, "metadata": {}, "execution_count": number,
    }  # fmt: skip


def lines(*outputs: tuple[int, list[Output]], collapse: bool = True) -> list[str]:
    (block,) = arrange(outputs, collapse=collapse)
    assert isinstance(block, Text)
    return block.lines


def test_what_all_engines_print_alike_is_shown_once_with_their_ids() -> None:
    outputs = [(i, [stream("same\n")]) for i in (0, 1, 2, 5)]
    assert lines(*outputs) == ["[0-2,5] same"]
    assert lines(*outputs, collapse=False) == [f"[{i}] same" for i in (0, 1, 2, 5)]


def test_what_differs_by_one_character_is_not_collapsed() -> None:
    assert lines((0, [stream("x 1.0\n")]), (1, [stream("x 1.1\n")])) == ["[0] x 1.0", "[1] x 1.1"]


def test_the_first_outputs_of_all_come_before_the_second_ones() -> None:
    outputs = [(i, [stream("same\n"), value(str(i))]) for i in range(2)]
    assert lines(*outputs) == ["[0-1] same", "[0] Out[3]: 0", "[1] Out[3]: 1"]


def test_engines_that_did_different_things_come_one_after_the_other() -> None:
    outputs = [(0, [stream("a\n"), value("1")]), (1, [value("1")]), (2, [value("1")])]
    assert lines(*outputs) == ["[0] a", "[0] Out[3]: 1", "[1-2] Out[3]: 1"]


def test_an_engine_that_got_less_far_spoils_nothing() -> None:
    outputs = [(0, [stream("a\n"), value("1")]), (1, [stream("a\n")])]
    assert lines(*outputs) == ["[0-1] a", "[0] Out[3]: 1"]


def test_the_same_value_under_different_numbers_is_one_without_a_number() -> None:
    assert lines((0, [value("7", 3)]), (1, [value("7", 4)])) == ["[0-1] Out: 7"]


def test_a_value_of_several_lines_keeps_them_aligned() -> None:
    assert lines((0, [value("[[1, 2],\n [3, 4]]")])) == ["[0] Out[3]:", "[[1, 2],", " [3, 4]]"]


def test_stderr_says_so_and_errors_are_left_to_the_exception() -> None:
    error = {"output_type": "error", "ename": "E", "evalue": "", "traceback": ["..."]}
    assert lines((0, [stream("oh\n", "stderr"), error])) == ["[0 stderr] oh"]


def test_pictures_of_engines_stand_in_one_grid_identical_ones_once() -> None:
    def figure(content: str) -> Output:
        data = {"text/plain": "<Figure>", "image/png": content}
        return {"output_type": "display_data", "data": data, "metadata": {}}

    (grid,) = arrange([(0, [figure("AAAA")]), (1, [figure("BBBB")]), (2, [figure("AAAA")])])
    assert isinstance(grid, Grid)
    assert [(each.ids, each.content) for each in grid.pictures] == [([0, 2], "AAAA"), ([1], "BBBB")]


def test_a_table_is_shown_as_it_is_below_a_label() -> None:
    label, table = arrange([(i, [value("a b", text_html="<table/>")]) for i in (0, 1)])
    assert label == Text(["[0-1] Out[3]:"])
    assert isinstance(table, Rich)
    assert table.ids == [0, 1]
    assert table.data["text/html"] == "<table/>"


def test_a_widget_is_its_text() -> None:
    view = {
        "text/plain": "IntSlider(value=0)",
        "application/vnd.jupyter.widget-view+json": {"m": 1},
    }
    output = {"output_type": "display_data", "data": view, "metadata": {}}
    dead_data = {key: each for key, each in view.items() if key != "text/plain"}
    dead = {"output_type": "display_data", "data": dead_data, "metadata": {}}
    last = "(widgets of engines are shown as text here: they are not live)"
    assert lines((0, [output]), (1, [output])) == ["[0-1] IntSlider(value=0)", last]
    assert lines((0, [output, stream("x\n"), dead])) == [
        "[0] IntSlider(value=0)", "[0] x", "[0] (a widget)", last,
    ]  # fmt: skip


def test_stderr_that_comes_at_a_moment_of_its_own_does_not_prevent_collapsing() -> None:
    err, first, second = stream("warning\n", "stderr"), stream("a\n"), stream("b\n")
    both = stream("a\nb\n")
    outputs = [(0, [first, err, second]), (1, [err, both]), (2, [both, err])]
    assert lines(*outputs) == ["[0-2] a", "[0-2] b", "[0-2 stderr] warning"]
    pieces = [stream("war", "stderr"), both, stream("ning\n", "stderr")]
    assert lines(*outputs, (3, pieces))[-1] == "[0-3 stderr] warning"


def test_where_streams_are_interleaved_alike_their_order_is_kept() -> None:
    outputs = [stream("a\n"), stream("warning\n", "stderr"), stream("b\n")]
    assert lines((0, outputs), (1, outputs)) == ["[0-1] a", "[0-1 stderr] warning", "[0-1] b"]
    assert lines((0, outputs), (1, [stream("other\n")])) == [
        "[0] a", "[1] other", "[0 stderr] warning", "[0] b",
    ]  # fmt: skip


def test_a_long_text_has_head_and_tail_and_says_what_is_left_out() -> None:
    text = "".join(f"{i}\n" for i in range(100_000))
    shown = lines((0, [stream(text)]))
    assert shown[:2] == ["[0] 0", "[0] 1"]
    assert shown[-1] == "[0] 99999"
    assert len(shown) == 201
    assert shown[100] == "[0]  ... 99,800 lines left out here; the result has the whole text ... "


def test_many_engines_with_long_texts_are_bounded_together() -> None:
    text = "\n".join(map(str, range(1000)))
    shown = lines(*((i, [stream(f"{i}{text}")]) for i in range(100)))
    assert len(shown) < 2500


def test_a_line_of_a_million_characters_is_bounded_too() -> None:
    (line,) = bounded(["x" * 1_000_000])
    assert len(line) < 50_000
    assert "characters left out" in line


def test_a_progress_bar_is_its_last_state() -> None:
    assert lines((0, [stream("\r 0%\r 50%\r100%\n", "stderr")])) == ["[0 stderr] 100%"]


def test_a_line_for_the_terminals_live_view_moves_no_cursor() -> None:
    assert printable("\x1b[31mred\x1b[0m\x1b[2J\ta\x07b") == "red    ab"
