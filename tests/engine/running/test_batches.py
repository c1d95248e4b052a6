"""mapping.py in this process: batches of items, as an engine runs them."""

from __future__ import annotations

import asyncio
import io
import itertools
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from kernelfleet.engine.running.batches import (
    KEPT_FUNCTIONS,
    UnknownFunction,
    _Batch,
    _printing,
    call_task,
    run_batch,
    stop_counting,
)
from kernelfleet.wire.objects.pythons import asker
from kernelfleet.wire.objects.serialize import pack_nested, unpack

_ids = itertools.count()


def run(
    function: Callable[..., Any],
    items: Sequence[Any],
    *,
    star: bool = False,
    budget: float | None = None,
    stop: bool = True,
    function_id: str | None = None,
) -> tuple[list[tuple[str, Any]], dict[str, list[int]]]:
    name = function_id or f"f-{next(_ids)}"
    frames = run_batch(name, pack_nested(function), items, star, budget, stop)
    if asyncio.iscoroutine(frames):
        frames = asyncio.run(frames)
    outcomes, printed = unpack(frames)
    return outcomes, printed


def kinds(outcomes: list[tuple[str, Any]]) -> list[str]:
    return [value if kind == "ok" else value["ename"] for kind, value in outcomes]


def test_items_are_arguments_or_tuples_of_them() -> None:
    assert run(abs, [-1, 2])[0] == [("ok", 1), ("ok", 2)]
    assert run(pow, [(2, 3), (3, 2)], star=True)[0] == [("ok", 8), ("ok", 9)]
    assert run(abs, [])[0] == []


def test_a_failing_item_ends_its_batch_and_those_behind_it() -> None:
    outcomes, _ = run(int, ["1", "x", "2"], function_id="call")
    assert kinds(outcomes) == [1, "ValueError"]
    assert run(int, ["3"], function_id="call")[0] == []


def test_tasks_go_on_after_a_failing_one() -> None:
    assert kinds(run(int, ["1", "x", "2"], stop=False)[0]) == [1, "ValueError", 2]


def test_an_interrupt_ends_the_batch_and_an_exit_fails_its_item() -> None:
    def bad(error: type[BaseException]) -> None:
        raise error

    for error in (KeyboardInterrupt, SystemExit):
        assert kinds(run(bad, [error, ValueError], stop=False)[0]) == [error.__name__]


def test_a_batch_over_its_budget_leaves_the_rest() -> None:
    def slow(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    assert run(slow, [0.0, 0.02, 0.0], budget=0.01)[0] == [("ok", 0.0), ("ok", 0.02)]


def test_a_later_batch_needs_no_function_while_it_is_remembered() -> None:
    run(abs, [1], function_id="kept")
    assert unpack(run_batch("kept", None, [-5], False, None, True))[0] == [("ok", 5)]
    for _ in range(KEPT_FUNCTIONS):
        run(abs, [1])
    with pytest.raises(UnknownFunction):
        run_batch("kept", None, [-5], False, None, True)


def test_an_error_keeps_its_type_and_traceback() -> None:
    ((kind, described),) = run(lambda x: {}[x], ["k"])[0]
    assert kind == "error"
    assert (described["ename"], described["evalue"], described["kind"]) == (
        "KeyError", "'k'", "user",
    )  # fmt: skip
    assert isinstance(unpack(described["exception"]), KeyError)


def test_an_error_whose_text_fails_fails_its_item_alone() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def fail_at(x: int) -> int:
        if x == 1:
            raise Odd
        return x

    (_, first), (_, described), (_, last) = run(fail_at, [0, 1, 2], stop=False)[0]
    assert (first, last) == (0, 2)
    assert (described["ename"], described["evalue"]) == ("Odd", "<Odd whose __str__ fails>")


def test_a_value_that_cannot_be_pickled_fails_its_item_alone() -> None:
    outcomes, _ = run(lambda x: threading.Lock() if x else x, [0, 1, 0])
    assert [kind for kind, _ in outcomes] == ["ok", "error", "ok"]
    assert outcomes[1][1]["kind"] == "serialization"


def test_async_functions_and_plain_ones_that_return_coroutines() -> None:
    async def later(x: int) -> int:
        await asyncio.sleep(0)
        if x == 3:
            raise LookupError(x)
        return x + 1

    assert kinds(run(later, [1, 2, 3, 4])[0]) == [2, 3, "LookupError"]
    assert kinds(run(lambda x: later(x + 0), [1, 2, 3, 4])[0]) == [2, 3, "LookupError"]
    assert kinds(run(later, [3, 4], stop=False)[0]) == ["LookupError", 5]


def test_the_end_of_each_items_prints_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    def speak(x: int) -> None:
        sys.stdout.write("o" * x)
        if x == 2:
            print("no", file=sys.stderr)

    _, printed = run(speak, [1, 2, 0])
    assert printed == {"stdout": [1, 3, 3], "stderr": [0, 3, 3]}
    assert run(speak, [0])[1] == {}
    assert "write" not in vars(sys.stdout)
    assert capsys.readouterr().out == "ooo"


def test_what_each_item_displays_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Publisher:
        def publish(self, data: Any, *, update: bool = False) -> None:
            shown.append((data, update))

    class Shell:
        display_pub = Publisher()

    shown: list[tuple[Any, bool]] = []
    monkeypatch.setattr("kernelfleet.engine.running.batches._shell", Shell)

    def show(x: int) -> None:
        for _ in range(x):
            Shell.display_pub.publish(x)
        Shell.display_pub.publish(x, update=True)

    assert run(show, [1, 0, 2])[1] == {"display": [1, 1, 3]}
    assert run(show, [0])[1] == {}
    assert len(shown) == 3 + 4
    assert "publish" not in vars(Shell.display_pub)


def test_what_an_interrupt_has_kept_from_being_taken_away_goes_and_what_is_the_users_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Publisher:
        def publish(self, data: Any, *, update: bool = False) -> None: ...

    class Shell:
        display_pub = Publisher()

    monkeypatch.setattr("kernelfleet.engine.running.batches._shell", Shell)
    # streams of the test's own: what monkeypatch puts back stays in a stream's __dict__ for good
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
    batch = _Batch(star=False, budget=None, stops=None, others=asker(None))
    left = _printing(batch)
    left.__enter__()
    assert "write" in vars(sys.stdout)
    assert "publish" in vars(Shell.display_pub)
    stop_counting()
    assert "write" not in vars(sys.stdout)
    assert "publish" not in vars(Shell.display_pub)
    left.__exit__(None, None, None)  # nor does it matter to a batch that ends after all

    monkeypatch.setattr(sys.stdout, "write", len)
    monkeypatch.setattr(Shell.display_pub, "publish", print)
    stop_counting()
    assert "write" in vars(sys.stdout)
    assert "publish" in vars(Shell.display_pub)


def test_a_task_is_a_packed_call() -> None:
    assert call_task(pack_nested((pow, (2,), {"exp": 5}))) == 32
