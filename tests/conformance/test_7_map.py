"""Section 7: map, imap, mapper and parallel."""

from __future__ import annotations

import asyncio
import functools
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest

from kernelfleet import (
    CompositeError,
    InvalidEngineID,
    MultiEngineClient,
    NoEnginesRegistered,
    PendingResult,
    RemoteError,
    SerializationError,
    this_engine,
)
from tests.fleets import eventually
from tests.gate import Gate
from tests.promises import promise


def square(x: int) -> int:
    return x * x


def where(_: object) -> int:
    engine = this_engine()
    assert engine is not None
    return engine.id


def loud(x: int) -> int:
    print("item", x)
    return x


def enter_gate(code: str) -> None:
    exec(code, {})


@promise("7: map gives a list, in order, as the builtin does over several sequences")
def test_map_is_like_the_builtin(mec: MultiEngineClient) -> None:
    assert mec.map(square, range(50)) == [x * x for x in range(50)]
    assert mec.map(pow, [2, 3, 4], (5, 2, 1)) == [32, 9, 4]
    assert mec.map(max, iter([1, 5]), {2: None, 3: None}, b"\x00\x09") == [2, 9]
    assert mec.map("str.upper", "abc") == ["A", "B", "C"]
    with pytest.raises(TypeError, match="at least one sequence"):
        mec.map(square)
    with pytest.raises(TypeError, match="function"):
        mec.map(3, [1])  # type: ignore[call-overload]


@promise("7: sequences that have a length must agree in it (ValueError), in map and imap")
def test_sequences_of_different_lengths_are_refused(mec: MultiEngineClient) -> None:
    untouched = iter([1, 2, 3])
    for mapped in (mec.map, mec.imap):
        with pytest.raises(ValueError, match="lengths: 2, 3"):
            mapped(pow, [1, 2], [1, 2, 3], untouched)
    assert next(untouched) == 1


@promise("7: an iterator without a length is taken from only as far as the others reach")
def test_a_map_with_an_endless_iterator_ends(mec: MultiEngineClient) -> None:
    taken = itertools.count(2)
    assert mec.map(pow, taken, [3, 2]) == [8, 9]
    assert next(taken) == 4
    assert mec.map(pow, [2, 3], itertools.repeat(2)) == [4, 9]
    assert list(mec.imap(pow, [2, 3], itertools.repeat(2))) == [4, 9]
    assert sorted(mec.imap_unordered(pow, itertools.count(2), [2, 2])) == [4, 9]
    with mec.executor() as pool:
        assert list(pool.map(pow, [2, 3], itertools.repeat(2))) == [4, 9]
    with pytest.raises(ValueError, match="nothing ends this map"):
        mec.map(pow, itertools.count(), itertools.repeat(2))


@promise("7: func may be source text naming or being a callable")
def test_source_text_is_evaluated_on_the_engine(mec: MultiEngineClient) -> None:
    assert mec.map("lambda x: x*x", range(4)) == [0, 1, 4, 9]
    mec.execute("def twice(x): return 2 * x + offset\noffset = 1")
    assert mec.map("twice", range(3)) == [1, 3, 5]
    with pytest.raises(SyntaxError):
        mec.map("lambda x:", [1])
    with pytest.raises(CompositeError) as caught:
        mec.map("nowhere_defined", [1])
    assert isinstance(caught.value.exceptions[0], NameError)
    with pytest.raises(CompositeError) as caught:
        mec.map("offset", [1])
    assert isinstance(caught.value.exceptions[0], TypeError)


@promise("7: an empty map gives [], and fewer items than engines is fine")
@pytest.mark.parametrize("schedule", ["dynamic", "static"])
def test_few_items_or_none(mec: MultiEngineClient, schedule: str) -> None:
    assert mec.map(square, [], schedule=schedule) == []
    assert mec.map(pow, [], []) == []
    assert mec.map(square, [3], schedule=schedule) == [9]
    assert list(mec.imap(square, [])) == []


@promise("7: map obeys targets and block, keywords and attributes, which are keyword-only")
def test_map_obeys_targets_and_block(mec: Any) -> None:
    assert set(mec.map(where, range(8), targets=[1, 3], schedule="static")) == {1, 3}
    mec.targets = 2
    assert set(mec.map(where, range(8))) == {2}
    mec.targets = slice(0, 1)
    assert set(mec.imap(where, range(4))) == {0}
    pending = mec.map(square, [2], block=False)
    assert isinstance(pending, PendingResult)
    assert pending.r == [4]
    mec.block = False
    assert mec.map(square, [3]).r == [9]
    assert mec.map(square, [3], block=True) == [9]
    with pytest.raises(InvalidEngineID):
        mec.map(square, [1], targets=9)
    with pytest.raises(NoEnginesRegistered):
        mec.map(square, [1], targets=[])
    with pytest.raises(ValueError, match="block"):
        mec.map(square, [1], block="yes")


@promise("7: schedule='static' makes contiguous blocks as scatter does; 'dynamic' is the default")
def test_a_static_map_cuts_as_scatter_does(mec: MultiEngineClient) -> None:
    assert mec.map(where, range(10), schedule="static") == [0, 0, 0, 1, 1, 1, 2, 2, 3, 3]
    assert mec.map(where, range(2), schedule="static", targets=[3, 1]) == [3, 1]
    with pytest.raises(ValueError, match="'dynamic' or 'static'"):
        mec.map(square, [1], schedule="random")


@promise("7: chunksize= items travel together in a map")
def test_chunksize_is_heeded(mec: MultiEngineClient) -> None:
    mec.push({"batches": []})
    values = mec.map(where, range(40), chunksize=10)
    blocks = [set(values[i : i + 10]) for i in range(0, 40, 10)]
    assert all(len(block) == 1 for block in blocks)
    for wrong in (0, -1, True):
        with pytest.raises(ValueError, match="chunksize"):
            mec.map(square, [1], chunksize=wrong)
    assert mec.map(square, range(5), progress=False) == [0, 1, 4, 9, 16]


def fails_at(bad: int, x: int) -> int:
    if x == bad:
        raise KeyError(f"item {x}")
    return x


@promise("7: a map's error is a CompositeError of the failing items' errors, tagged [i:map]")
def test_an_error_names_the_item_and_keeps_its_traceback(mec: MultiEngineClient) -> None:
    with pytest.raises(CompositeError) as caught:
        mec.map(functools.partial(fails_at, 7), range(8), targets=0, chunksize=8)
    error = caught.value
    assert str(error).splitlines() == [
        "one or more exceptions from call to method: map",
        "[7:map]: KeyError: 'item 7'",
    ]
    assert error.results == {i: i for i in range(7)}
    assert [failure.engine_id for failure in error.failures] == [7]
    assert "fails_at" in error.elist[0][2]
    assert 'raise KeyError(f"item {x}")' in error.elist[0][2]
    with pytest.raises(KeyError, match="item 7"):
        error.raise_exception()


@promise("7: what had not started when an item of a map failed is dropped")
def test_the_rest_of_a_failed_map_is_dropped(mec: MultiEngineClient) -> None:
    mec.execute("done = []")

    def note(x: int) -> None:
        if x == 3:
            raise ValueError(x)
        done.append(x)  # type: ignore[name-defined]  # noqa: F821 (the engine's)

    with pytest.raises(CompositeError):
        mec.map(note, range(1000), chunksize=1, targets=0)
    assert mec.pull("done", targets=0) == [[0, 1, 2]]
    assert mec.map(square, [1, 2]) == [1, 4]


@promise("7: return_exceptions=True gives failed items their exceptions for values")
def test_exceptions_may_be_values(mec: MultiEngineClient) -> None:
    bad: Callable[[int], Any] = functools.partial(fails_at, 2)
    options: dict[str, Any] = {"return_exceptions": True}
    plain = [0, 1, "'item 2'", 3, 4]
    for mapped in (
        mec.map(bad, range(5), **options),
        mec.map(bad, range(5), chunksize=5, schedule="static", **options),
        mec.map(bad, range(5), block=False, **options).r,
        mec.mapper(**options).map(bad, range(5)),
        list(mec.imap(bad, range(5), **options)),
        sorted(mec.imap_unordered(bad, range(5), **options), key=_last_item),
    ):
        assert [str(x) if isinstance(x, KeyError) else x for x in mapped] == plain
        assert "fails_at" in "".join(mapped[2].__notes__)  # the engine's traceback
    with mec.executor() as pool:
        outcomes = list(pool.map(bad, range(5), **options))
        assert [str(x) if isinstance(x, KeyError) else x for x in outcomes] == plain
        with pytest.raises(KeyError):
            list(pool.map(bad, range(5)))
    with pytest.raises(ValueError, match="return_exceptions must be True or False"):
        mec.map(bad, [1], return_exceptions=1)  # type: ignore[call-overload]


def _last_item(value: Any) -> int:
    return 2 if isinstance(value, Exception) else int(value)


@promise("7: return_exceptions=True gives apply an exception in each failed engine's place")
def test_exceptions_of_apply_may_be_values(mec: Any) -> None:
    def one_fails() -> int:
        return 1 // (engine_id - 1)  # type: ignore[name-defined, no-any-return]  # noqa: F821

    values = mec.apply(one_fails, return_exceptions=True)
    assert [values[0], *values[2:]] == [-1, 1, 0]
    assert isinstance(values[1], ZeroDivisionError)
    assert "one_fails" in "".join(values[1].__notes__)
    later = mec.apply(one_fails, block=False, return_exceptions=True)
    assert isinstance(later.r[1], ZeroDivisionError)
    with pytest.raises(CompositeError):
        mec.apply(one_fails)


@promise("7: imap and imap_unordered give iterators")
def test_lazy_maps(mec: MultiEngineClient) -> None:
    values = mec.imap(square, range(100))
    assert isinstance(values, Iterator)
    assert next(values) == 0
    assert list(values) == [x * x for x in range(1, 100)]
    assert sorted(mec.imap_unordered(square, range(100))) == [x * x for x in range(100)]
    assert list(mec.imap(pow, [2, 3], [3, 2], chunksize=1)) == [8, 9]
    with pytest.raises(TypeError):
        mec.imap(square)


@promise("7: imap takes items as they are needed, a bounded number ahead")
def test_a_lazy_map_takes_a_bounded_number_ahead(mec: MultiEngineClient) -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    values = mec.imap(square, endless(), chunksize=1)
    assert [next(values) for _ in range(10)] == [x * x for x in range(1, 11)]
    assert taken <= 10 + 2 * 64
    values.close()  # type: ignore[attr-defined]


@promise("7: imap raises an item's error when its value is reached, imap_unordered at once")
def test_a_lazy_map_fails_at_the_item(mec: MultiEngineClient) -> None:
    values = mec.imap(functools.partial(fails_at, 5), range(10))
    assert [next(values) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(CompositeError) as caught:
        next(values)
    assert "[5:imap]: KeyError" in str(caught.value)
    with pytest.raises(StopIteration):
        next(values)
    with pytest.raises(CompositeError) as caught:
        list(mec.imap_unordered(functools.partial(fails_at, 5), range(10)))
    assert "[5:imap_unordered]: KeyError" in str(caught.value)

    def broken() -> Iterator[int]:
        yield 1
        raise OSError("the sequence itself")

    values = mec.imap(square, broken())
    assert next(values) == 1
    with pytest.raises(OSError, match="the sequence itself"):
        next(values)


@promise("2: mapper(targets=, block=, ...) takes what is not given from the client when it is made")
def test_a_mapper_carries_the_options_of_map(mec: MultiEngineClient) -> None:
    mapper = mec.mapper()
    assert mapper.targets == "all"
    assert mapper.block is True
    mec.targets, mec.block = 1, False
    assert mapper.map(square, [3]) == [9]
    assert isinstance(mapper.map(square, [1]), list)
    other = mec.mapper(schedule="static")
    assert (other.targets, other.block, other.schedule) == (1, False, "static")
    assert set(other.map(where, range(3)).r) == {1}
    assert set(mec.mapper(targets=[0, 2], block=True, chunksize=1).map(where, range(9))) <= {0, 2}
    with pytest.raises(InvalidEngineID):
        mec.mapper(targets="some")
    with pytest.raises(ValueError, match="block"):
        mec.mapper(block=1)  # type: ignore[arg-type]


@promise("2: @mec.parallel(targets=, block=) maps the function over sequences when it is called")
def test_parallel_decorates(mec: MultiEngineClient) -> None:
    @mec.parallel(targets=[0, 1])  # type: ignore[untyped-decorator]
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    assert add([1, 2, 3], [10, 20, 30]) == [11, 22, 33]
    assert (add.__name__, add.__doc__) == ("add", "Add.")
    later = mec.parallel(block=False)(square)
    assert later(range(3)).r == [0, 1, 4]
    assert mec.parallel(square)(range(3)) == [0, 1, 4]
    assert mec.map(mec.parallel(square), [4]) == [16]  # on an engine it is the plain function
    with pytest.raises(TypeError):
        mec.parallel(tragets=0)
    with pytest.raises(TypeError):
        mec.parallel()(3)


@promise("7: factor = 3; map(lambda x: x*factor, ...), then factor = 5 and again, uses 5")
def test_what_a_mapped_function_refers_to_is_never_stale(mec: MultiEngineClient) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__", "mec": mec}
    exec("factor = 3\nfirst = mec.map(lambda x: x * factor, range(3))", namespace)
    assert namespace["first"] == [0, 3, 6]
    exec("factor = 5\nsecond = mec.map(lambda x: x * factor, range(3))", namespace)
    assert namespace["second"] == [0, 5, 10]
    exec("f = lambda x: x * factor\nfactor = 7\nthird = mec.map(f, range(3))", namespace)
    assert namespace["third"] == [0, 7, 14]
    assert mec.keys() == [[]] * 4


@promise("7: a mapped function sees what was pushed, and names the user put on the engine win")
def test_a_mapped_function_sees_the_engines_namespace(mec: MultiEngineClient) -> None:
    mec.push({"factor": 100})
    namespace: dict[str, Any] = {"__name__": "__main__", "mec": mec}
    exec("factor = 3\nvalues = mec.map(lambda x: x * factor, range(3))", namespace)
    assert namespace["values"] == [0, 100, 200]
    assert mec.map(lambda x: x + factor, [1]) == [101]  # type: ignore[name-defined]  # noqa: F821


@promise("7: map takes async functions, and plain ones that return a coroutine")
def test_async_functions_are_awaited(mec: MultiEngineClient) -> None:
    async def later(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    assert mec.map(later, range(5)) == [1, 2, 3, 4, 5]
    assert list(mec.imap(functools.partial(later), [1])) == [2]
    assert mec.map(lambda x: later(x + 0), [1, 2]) == [2, 3]

    async def fails(x: int) -> int:
        raise LookupError(x)

    with pytest.raises(CompositeError) as caught:
        mec.map(fails, [1])
    assert "[0:map]: LookupError: 1" in str(caught.value)


@promise("7: prints inside a map are kept with its result, by engine")
def test_prints_of_a_map_are_kept(mec: MultiEngineClient) -> None:
    pending = mec.map(loud, range(6), schedule="static", targets=[0, 1], block=False)
    assert pending.r == list(range(6))
    assert pending.stdout == {0: "item 0\nitem 1\nitem 2\n", 1: "item 3\nitem 4\nitem 5\n"}
    assert [engine for engine, _ in pending.outputs] == [0, 1]


@promise("3: map uses up no number")
def test_a_map_uses_no_number(mec: MultiEngineClient) -> None:
    assert [each["number"] for each in mec.execute("1")] == [1] * 4
    mec.map(square, range(20))
    assert [each["number"] for each in mec.execute("1")] == [2] * 4


@promise("5: an error in an execute leaves queued map items untouched")
def test_an_error_does_not_clear_map_items(mec: MultiEngineClient, gate: Gate) -> None:
    mec.targets = 0
    failing = mec.execute(gate.code + "\n1/0", block=False)
    gate.entered()
    pending = mec.map(square, range(10), block=False)
    eventually(lambda: len(mec.queue_status()[0][1]["queue"]) > 0)
    assert "map(square)" in mec.queue_status()[0][1]["queue"][0]
    gate.open()
    assert pending.r == [x * x for x in range(10)]
    assert isinstance(failing.exception(), CompositeError)


@promise("1: map takes timeout=, and what was done is told and goes on")
def test_a_map_takes_a_timeout(mec: MultiEngineClient, gate: Gate) -> None:
    with pytest.raises(TimeoutError, match="0 of 2 items") as caught:
        mec.map(enter_gate, [gate.code] * 2, timeout=0.2)
    gate.open()
    assert caught.value.pending_result.r == [None, None]  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="timeout"):
        mec.map(square, [1], timeout=1, block=False)


@promise("4: a map in flight shows its progress in items, and can be cancelled")
def test_a_map_is_cancelled(mec: MultiEngineClient, gate: Gate) -> None:
    pending = mec.map(enter_gate, [gate.code] * 50, chunksize=1, block=False)
    gate.entered(4)
    assert pending.progress == (0, 50)
    assert pending.running()
    assert pending.cancel()
    mec.queue_status()  # which comes behind it everywhere
    gate.open()
    error = pending.exception()
    assert isinstance(error, CompositeError)
    assert isinstance(error.exceptions[0], CancelledError)
    assert "4 of 50 items" in str(error)
    assert len(error.results) == 4
    assert pending.cancelled()
    assert not pending.cancel()


@promise("4: cancel(interrupt=True) stops the items of a map that run")
def test_a_map_is_interrupted(mec: MultiEngineClient, gate: Gate) -> None:
    forever = "exec('import time\\nwhile True: time.sleep(0.01)', {})"
    pending = mec.map(enter_gate, [forever] * 9, chunksize=1, block=False)
    eventually(lambda: all(status["pending"] for _, status in mec.queue_status()))
    assert pending.cancel(interrupt=True)
    error = pending.exception(10)
    assert isinstance(error, CompositeError)
    assert all(isinstance(each, RemoteError) for each in error.exceptions)
    assert "KeyboardInterrupt" in str(error)
    assert mec.map(square, range(4)) == [0, 1, 4, 9]


@promise("7: a map's values keep their type, and one that cannot be pickled fails its item alone")
def test_values_that_cannot_travel(mec: MultiEngineClient) -> None:
    values = [None, b"x", {1}, 1 + 2j, "é", (1, [2])]
    assert mec.map(lambda x: x, values) == values
    with pytest.raises(CompositeError) as caught:
        mec.map(lambda x: threading.Lock() if x else x, [0, 1], targets=0, chunksize=2)
    assert isinstance(caught.value.exceptions[0], SerializationError)
    assert caught.value.results == {0: 0}
    assert [failure.engine_id for failure in caught.value.failures] == [1]
    lock = threading.Lock()
    with pytest.raises(SerializationError):
        mec.map(lambda x: lock, [1])
    with pytest.raises(CompositeError) as caught:
        mec.map(str, [1, threading.Lock(), 3])
    assert isinstance(caught.value.exceptions[0], SerializationError)
