from __future__ import annotations

import io
from collections.abc import Callable, Generator
from types import SimpleNamespace
from typing import Any

import pytest

from kernelfleet.cli.commands.run import (
    LinePrinter,
    Output,
    output_of,
    report,
    run_everywhere,
    speaks_python,
)
from kernelfleet.cli.job import OUR_FRAMES
from kernelfleet.errors import CompositeError, EngineDied, Failure, RemoteError

CLI = Callable[..., tuple[int, str, str]]


def test_streams_and_values_are_shown_and_errors_are_left_to_the_result() -> None:
    stream = {"name": "stderr", "text": "x"}
    assert output_of(0, "stream", stream) == Output(0, "stderr", "x")
    value = {"data": {"text/plain": "2", "text/html": "<b>2</b>"}}
    assert output_of(0, "execute_result", value) == Output(0, "stdout", "2\n")
    assert output_of(0, "display_data", {"data": {"image/png": ""}}) is None
    assert output_of(0, "error", {}) is None


@pytest.fixture
def streams() -> tuple[io.StringIO, io.StringIO]:
    return io.StringIO(), io.StringIO()


def test_lines_stand_behind_the_id_of_their_engine(
    streams: tuple[io.StringIO, io.StringIO],
) -> None:
    printer = LinePrinter(2, *streams)
    for output in (
        Output(0, "stdout", "hel"),
        Output(10, "stdout", "one\ntwo\nthr"),
        Output(0, "stderr", "careful\n"),
        Output(0, "stdout", "lo\n\n"),
    ):
        printer.add(output)
    assert streams[0].getvalue() == "[10] one\n[10] two\n[ 0] hello\n[ 0] \n"
    assert streams[1].getvalue() == "[ 0] careful\n"
    printer.finish()
    printer.finish()
    assert streams[0].getvalue().endswith("[10] thr\n")
    assert streams[0].getvalue().count("thr") == 1


def test_a_progress_bar_leaves_its_last_state(streams: tuple[io.StringIO, io.StringIO]) -> None:
    printer = LinePrinter(1, *streams)
    for text in ("10 %\r", "50 %\r", "100 %\r\n", "done\r\n"):
        printer.add(Output(0, "stdout", text))
    assert streams[0].getvalue() == "[0] 100 %\n[0] done\n"


class FakePending:
    """A PendingResult that is done when told."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def add_done_callback(self, f: Callable[[Any], None]) -> None:
        f(self)

    def exception(self) -> Exception | None:
        return self.error


def fake_client(error: Exception | None) -> Any:
    def execute(code: str, on_output: Callable[..., None]) -> FakePending:
        on_output(0, "stream", {"name": "stdout", "text": code})
        on_output(1, "error", {})
        return FakePending(error)

    return SimpleNamespace(execute=execute)


def start(mec: Any, on_output: Callable[..., None]) -> Any:
    return mec.execute("code", on_output)


def test_what_could_not_be_prepared_is_an_error_of_the_engines() -> None:
    failed = CompositeError.collect("execute", [Failure(0, RemoteError("SystemExit", "no x"))])

    def refuse(*_: Any) -> Any:
        raise failed

    assert LinePrinter(1).print_all(run_everywhere(fake_client(None), refuse)) is failed


def test_the_kernelspec_tells_the_language() -> None:
    assert speaks_python(None)
    assert speaks_python("python3")
    assert speaks_python("there-is-no-such-kernel")  # which the start tells better


def test_code_that_exits_with_nothing_or_zero_ends_well() -> None:
    for status in ("", "0"):
        error = CompositeError.collect("execute", [Failure(0, RemoteError("SystemExit", status))])
        assert report(error, io.StringIO()) == 0


def test_an_interrupt_while_we_print_ends_the_run_like_one_while_we_wait() -> None:
    seen: list[str] = []

    def outputs() -> Generator[Output, None, None]:
        try:
            yield Output(0, "stdout", "on\n")
        except KeyboardInterrupt:
            yield Output(0, "stdout", "saved\n")
            raise

    class Screen(io.StringIO):
        def write(self, text: str) -> int:
            seen.append(text)
            if len(seen) == 1:
                raise KeyboardInterrupt
            return len(text)

    with pytest.raises(KeyboardInterrupt):
        LinePrinter(1, Screen(), Screen()).print_all(outputs())
    assert seen == ["[0] on\n", "[0] saved\n"]


def division(engine_id: int, *frames: str) -> Failure:
    return Failure(engine_id, ZeroDivisionError("division by zero"), frames)


def test_output_comes_before_the_error(streams: tuple[io.StringIO, io.StringIO]) -> None:
    failed = CompositeError.collect("execute", [division(0)])
    for error in (None, failed):
        printer = LinePrinter(1, *streams)
        assert printer.print_all(run_everywhere(fake_client(error), start)) is error
    assert streams[0].getvalue() == "[0] code\n[0] code\n"
    with pytest.raises(ConnectionError):
        LinePrinter(1, *streams).print_all(run_everywhere(fake_client(ConnectionError()), start))


def test_identical_tracebacks_are_shown_once_without_our_own_frame(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours = f"Cell In[1], line 5\n----> 5 {OUR_FRAMES[0]}\n"
    theirs = "\x1b[31mFile a.py:3\x1b[0m\n----> 3 1/0\n"
    out = io.StringIO()
    error = CompositeError.collect(
        "execute",
        [
            division(0, "-" * 75, ours, theirs, "ZeroDivisionError: division by zero"),
            division(1, ours, theirs, "ZeroDivisionError: division by zero"),
            Failure(2, RemoteError("SystemExit", "3")),
            Failure(3, RemoteError("SystemExit", "no input")),
            Failure(4, EngineDied(4, signal=9)),
            Failure(5, RemoteError("SystemExit", "0")),
        ],
    )
    assert report(error, out) == 1
    assert out.getvalue() == (
        "[0-1] File a.py:3\n----> 3 1/0\n\nZeroDivisionError: division by zero\n"
        "[2] exit status 3\n"
        "[3] no input\n"
        f"[4] EngineDied: {EngineDied(4, signal=9)}\n"
    )
    assert capsys.readouterr().err == "kernelfleet run: failed on engines 0-4\n"
