"""results.py: what a result holds, and how lists of them read."""

import pickle
from typing import Any

import pytest

from kernelfleet.errors import QueueCleared, RemoteError, UnsupportedOperation
from kernelfleet.results import EngineInfo, EngineList, ExecutionResult, QueueEntry, ResultList


def value_output(text: str | list[str]) -> dict[str, Any]:
    return {
        "output_type": "execute_result",
        "data": {"text/plain": text},
        "metadata": {},
        "execution_count": 4,
    }


def test_a_result_prints_as_in_the_seeds() -> None:
    result = ExecutionResult(0, 5, "d=10; print(d)", stdout="10\n")
    expected = (
        "{'input': {'translated': 'd=10; print(d)', 'raw': 'd=10; print(d)'}, "
        "'number': 5, 'id': 0, 'stdout': '10\\n'}"
    )
    assert str(result) == repr(result) == expected


def test_the_keys_come_in_order_and_the_empty_ones_not_at_all() -> None:
    full = ExecutionResult(0, 1, "x", stderr="oops", stdout="out")
    assert list(full) == ["input", "number", "id", "stdout", "stderr"]
    quiet = ExecutionResult(0, 1, "x")
    assert list(quiet) == ["input", "number", "id"]
    assert (quiet.stdout, quiet.stderr) == ("", "")
    assert (full.stdout, full.stderr) == ("out", "oops")


def test_translated_is_always_there() -> None:
    assert ExecutionResult(0, 1, "a=5")["input"] == {"translated": "a=5", "raw": "a=5"}
    magic = ExecutionResult(0, 1, "!ls", "get_ipython().system('ls')")
    assert magic["input"] == {"translated": "get_ipython().system('ls')", "raw": "!ls"}


def test_attributes_that_are_not_keys() -> None:
    outputs = [value_output("5")]
    result = ExecutionResult(2, 3, "5", outputs=outputs, started=10.0, completed=12.5)
    assert result.outputs == outputs
    assert (result.started, result.completed, result.duration) == (10.0, 12.5, 2.5)
    assert result.error is None
    assert ExecutionResult(0, 1, "x").duration is None


def test_equality_is_that_of_the_dict() -> None:
    result = ExecutionResult(0, 1, "a=5", started=1.0)
    assert result == ExecutionResult(0, 1, "a=5", started=2.0)
    assert result == {"input": {"translated": "a=5", "raw": "a=5"}, "number": 1, "id": 0}


def test_the_value_is_fetched_once_and_only_when_asked_for() -> None:
    calls: list[int] = []

    def fetch() -> list[int]:
        calls.append(1)
        return [1, 2]

    result = ExecutionResult(0, 1, "[1, 2]", fetch=fetch)
    assert calls == []
    assert result.value == [1, 2]
    assert result.value is result.value
    assert calls == [1]


def test_a_value_without_a_way_to_the_engine_is_a_clear_error() -> None:
    with pytest.raises(UnsupportedOperation, match=r"In \[7\] on engine 3"):
        _ = ExecutionResult(3, 7, "x").value


def test_a_result_pickles_without_its_connection() -> None:
    result = ExecutionResult(
        0,
        5,
        "1/0",
        stdout="x",
        outputs=[value_output("1")],
        started=1.0,
        completed=2.0,
        error=ZeroDivisionError("division by zero"),
        fetch=object,
    )
    assert result.value is not None
    other = pickle.loads(pickle.dumps(result))
    assert type(other) is ExecutionResult
    assert other == result
    assert list(other) == list(result)
    assert (other.outputs, other.duration) == (result.outputs, 1.0)
    assert isinstance(other.error, ZeroDivisionError)
    with pytest.raises(UnsupportedOperation):
        _ = other.value


def test_a_result_whose_error_cannot_travel_pickles_with_a_remote_error() -> None:
    class LocalError(Exception):
        def __reduce__(self) -> str:
            raise TypeError("no")

    result = ExecutionResult(0, 5, "x", error=LocalError("boom"))
    other = pickle.loads(pickle.dumps(ResultList([result])))
    assert type(other) is ResultList
    assert isinstance(other[0].error, RemoteError)
    assert repr(other) == repr(ResultList([result]))


def test_a_list_of_quiet_commands_shows_one_line_each() -> None:
    results = ResultList(ExecutionResult(i, 1, "a=5") for i in range(2))
    assert repr(results) == "<Results List>\n[0] In [1]: a=5\n[1] In [1]: a=5\n"


def test_a_blank_line_follows_what_was_printed() -> None:
    results = ResultList(
        ExecutionResult(i, 4, "print(c)", stdout=text) for i, text in enumerate(["15\n", "-5\n"])
    )
    assert repr(results) == (
        "<Results List>\n"
        "[0] In [4]: print(c)\n"
        "[0] Out[4]: 15\n"
        "\n"
        "[1] In [4]: print(c)\n"
        "[1] Out[4]: -5\n"
        "\n"
    )


def test_printed_text_keeps_its_own_newlines_and_gets_none() -> None:
    results = ResultList([ExecutionResult(0, 4, "x", stdout="a\nb")])
    assert repr(results) == "<Results List>\n[0] In [4]: x\n[0] Out[4]: a\nb\n"


@pytest.mark.parametrize(
    ("stdout", "text", "block"),
    [("", "5", "5\n"), ("a\n", "5", "a\n5\n"), ("a", ["5", "6"], "a\n56\n")],
)
def test_a_value_stands_in_the_out_block_after_what_was_printed(
    stdout: str, text: str | list[str], block: str
) -> None:
    result = ExecutionResult(0, 4, "x", stdout=stdout, outputs=[value_output(text)])
    assert repr(ResultList([result])) == f"<Results List>\n[0] In [4]: x\n[0] Out[4]: {block}\n"


def test_stderr_is_shown_as_err() -> None:
    result = ExecutionResult(0, 4, "warn()", stdout="1\n", stderr="careful\n")
    assert repr(ResultList([result])) == (
        "<Results List>\n[0] In [4]: warn()\n[0] Out[4]: 1\n\n[0] Err[4]: careful\n"
    )


def test_a_failed_command_shows_its_error() -> None:
    failed = ExecutionResult(0, 5, "1/0", error=ZeroDivisionError("division by zero"))
    cleared = ExecutionResult(1, 5, "1/0", error=RemoteError("ThatClass"))
    assert repr(ResultList([failed, cleared])) == (
        "<Results List>\n"
        "[0] In [5]: 1/0\n"
        "[0] Err[5]: ZeroDivisionError: division by zero\n"
        "[1] In [5]: 1/0\n"
        "[1] Err[5]: ThatClass\n"
    )


def test_input_of_several_lines_is_shown_as_typed() -> None:
    result = ExecutionResult(0, 4, "for i in x:\n    !ls\n", "translated")
    assert "[0] In [4]: for i in x:\n    !ls\n\n" in repr(ResultList([result]))


def test_other_outputs_have_no_place_in_the_text() -> None:
    outputs = [{"output_type": "display_data", "data": {"text/plain": "<Figure>"}, "metadata": {}}]
    result = ExecutionResult(0, 4, "plot()", outputs=outputs)
    assert "Figure" not in repr(ResultList([result]))


def test_a_list_is_a_list_and_its_slices_are_result_lists() -> None:
    results = ResultList(ExecutionResult(i, 1, "a", stdout=str(i)) for i in range(3))
    assert type(results[1:]) is ResultList
    assert results[1:] == [results[1], results[2]]
    assert type(results[0]) is ExecutionResult
    assert isinstance(results, list)
    assert results.stdout == ["0", "1", "2"]


def test_results_by_engine() -> None:
    results = ResultList(ExecutionResult(i, n, "a") for n, i in enumerate([2, 0, 2]))
    assert list(results.by_engine) == [2, 0]
    assert results.by_engine[2]["number"] == 2


def test_values_fetches_each() -> None:
    results = ResultList(
        ExecutionResult(i, 1, "a", fetch=lambda i=i: i * 10)  # type: ignore[misc]
        for i in range(3)
    )
    assert results.values() == [0, 10, 20]


def test_an_empty_list_has_a_headline() -> None:
    assert repr(ResultList()) == "<Results List>\n"


def test_engine_info_ignores_what_it_does_not_know() -> None:
    info = EngineInfo.from_wire({"id": 1, "state": "idle", "pid": 12, "colour": "green"})
    assert info == EngineInfo(1, "idle", 12)
    with pytest.raises(AttributeError):
        info.state = "busy"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(info)) == info


def test_an_error_that_never_ran_is_shown_as_well() -> None:
    result = ExecutionResult(0, 5, "x", error=QueueCleared("cleared"))
    assert "[0] Err[5]: QueueCleared: cleared\n" in repr(ResultList([result]))


def test_an_entry_of_a_queue_is_its_text_and_its_repr_has_the_id() -> None:
    entry = QueueEntry("execute('a')", "abc-1")
    assert entry == "execute('a')"
    assert str(entry) == "execute('a')"
    assert repr(entry) == "\"execute('a')\" <abc-1>"
    assert repr(QueueEntry("map(f)")) == "'map(f)'"
    again = pickle.loads(pickle.dumps(entry))
    assert (again, again.result_id) == ("execute('a')", "abc-1")


def test_what_was_cleared_is_in_the_result_and_not_in_its_text() -> None:
    left = {"output_type": "stream", "name": "stdout", "text": "frame 2\n"}
    everything = "frame 0\nframe 1\nframe 2\n"
    cleared = ExecutionResult(0, 1, "animate()", stdout=everything, outputs=[left])
    assert cleared.stdout == everything
    assert repr(ResultList([cleared])) == (
        "<Results List>\n[0] In [1]: animate()\n[0] Out[1]: frame 2\n\n"
    )
    assert "frame 1" in repr(ResultList([ExecutionResult(0, 1, "x", stdout=everything)]))


def test_the_outputs_of_a_result_are_its_own() -> None:
    outputs = [value_output("5")]
    result = ExecutionResult(0, 1, "5", outputs=outputs)
    outputs.clear()
    assert result.outputs == [value_output("5")]


@pytest.mark.parametrize("times", [{"started": 1.0}, {"completed": 1.0}, {}])
def test_what_has_not_begun_or_not_ended_has_no_duration(times: dict[str, float]) -> None:
    assert ExecutionResult(0, 1, "5", **times).duration is None  # type: ignore[arg-type]


def test_a_slice_of_engines_is_a_list_of_engines_and_one_of_them_is_one() -> None:
    engines = EngineList([EngineInfo(0, "idle"), EngineInfo(1, "busy"), EngineInfo(2, "dead")])
    assert type(engines[1:]) is EngineList
    assert [each.id for each in engines[1:]] == [1, 2]
    assert engines[1].state == "busy"


def test_a_notebook_shows_results_and_engines_as_tables_and_errors_as_text() -> None:
    failed = ExecutionResult(1, 2, "1/0", error=ZeroDivisionError("division by zero"))
    shown = ResultList([ExecutionResult(0, 2, "print('<')", stdout="<\n"), failed])._repr_html_()
    assert "print('&lt;')" in shown
    assert shown.count("ZeroDivisionError: division by zero") == 1
    engines = EngineList([EngineInfo(7, "idle", kernel_name="a <kernel>")])._repr_html_()
    assert "a &lt;kernel&gt;" in engines
