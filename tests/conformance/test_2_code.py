"""Section 2: the verbs that run code and manage engines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernelfleet import (
    CompositeError,
    EngineDied,
    InvalidDeferredID,
    InvalidProperty,
    MultiEngineClient,
    NotAPendingResult,
    PendingResult,
    QueueCleared,
    RemoteError,
    ResultList,
)
from kernelfleet.errors.text import without_colours
from kernelfleet.results import ExecutionResult
from tests.conformance.expect import failing
from tests.gate import Gate
from tests.promises import promise


@promise("2: execute(code) returns a ResultList of result dicts, in target order")
def test_execute_returns_a_result_list(mec: MultiEngineClient) -> None:
    results = mec.execute("a=5", targets=[2, 0])
    assert isinstance(results, ResultList)
    assert all(isinstance(each, ExecutionResult) for each in results)
    assert [each["id"] for each in results] == [2, 0]


@promise("2: execute takes a str")
def test_execute_takes_text(mec: MultiEngineClient) -> None:
    with pytest.raises(TypeError, match="code must be a str"):
        mec.execute(b"a=5")  # type: ignore[call-overload]


@promise("2: get_result(i) gives command i of each target, its latest by default")
def test_get_result_by_number_and_latest(mec: MultiEngineClient) -> None:
    mec.execute("print('one')")
    mec.execute("print('two')", targets=[0, 1])
    assert [r.stdout for r in mec.get_result()] == ["two\n", "two\n", "one\n", "one\n"]
    first = mec.get_result(1)
    assert isinstance(first, ResultList)
    assert [(r["id"], r["number"], r.stdout) for r in first] == [(i, 1, "one\n") for i in range(4)]
    assert repr(mec.get_result(2, targets=1)) == (
        "<Results List>\n[1] In [2]: print('two')\n[1] Out[2]: two\n\n"
    )


@promise("2: get_result answers whoever sent the command")
def test_get_result_knows_the_commands_of_others(mec: MultiEngineClient, connect: Any) -> None:
    connect().execute("print('of another')")
    assert mec.get_result()[0].stdout == "of another\n"


@promise("2: get_result of an unknown or dropped command is a CompositeError of IndexError")
def test_get_result_of_an_unknown_command_says_which(mec: MultiEngineClient) -> None:
    with failing(IndexError, engines=[0, 1, 2, 3], method="get_result"):
        mec.get_result()
    mec.execute("a=1", targets=1)
    with failing(IndexError, engines=[0], match="no finished command 1") as error:
        mec.get_result(1, targets=[0, 1])
    assert error.value.results[1]["number"] == 1
    with failing(IndexError, engines=[1], match="7"):
        mec.get_result(7, targets=1)
    with failing(IndexError, engines=[1]):
        mec.get_result(0, targets=1)
    for wrong in ("1", True, 1.0):
        with pytest.raises(TypeError):
            mec.get_result(wrong)  # type: ignore[arg-type]


@promise("2: a command number is any integer from 1 on")
def test_get_result_takes_integers_only(mec: MultiEngineClient) -> None:
    mec.execute("a = 1")
    assert mec.get_result(np.int64(1), targets=0)[0]["number"] == 1
    for nothing in (0, -1, -(10**30)):
        with failing(IndexError, engines=[0], match="numbered from 1"):
            mec.get_result(nothing, targets=0)
    for wrong in (True, 1.0, "1", [1]):
        with pytest.raises(TypeError, match="a command number is an int"):
            mec.get_result(wrong)  # type: ignore[arg-type]


@promise("2: get_result shows a failed command instead of raising")
def test_get_result_of_a_failed_command_has_its_error(mec: MultiEngineClient) -> None:
    with failing(ZeroDivisionError, engines=[0]):
        mec.execute("print('before')\n1/0", targets=0)
    result = mec.get_result(1, targets=0)[0]
    assert isinstance(result.error, ZeroDivisionError)
    assert result.stdout == "before\n"


@promise("2: keys() lists the user's names and nothing of IPython's or kernelfleet's")
def test_keys_are_the_users_names(mec: MultiEngineClient) -> None:
    assert mec.keys() == [[], [], [], []]
    mec.execute("import os\nx = 1\ndef f(): pass\n_private = 2\nx\n%pwd")
    mec.push({"y": 3}, targets=0)
    assert [*map(sorted, mec.keys())] == [
        ["_private", "f", "os", "x", "y"],
        *[["_private", "f", "os", "x"]] * 3,
    ]


@promise("2: reset() clears the namespace, history and properties; numbering restarts at 1")
def test_reset_forgets_everything(mec: MultiEngineClient) -> None:
    mec.execute("x = 1")
    mec.set_properties({"label": 1})
    assert mec.reset() == [None] * 4
    assert mec.keys() == [[], [], [], []]
    assert mec.get_properties() == [{}, {}, {}, {}]
    with failing(IndexError, engines=[0, 1, 2, 3]):
        mec.get_result()
    assert [r["number"] for r in mec.execute("y = 1")] == [1, 1, 1, 1]
    assert mec.execute("In[1]", targets=0)[0].value == "y = 1"


@promise("2: reset() puts engine_id and n_engines back")
def test_reset_puts_the_identity_back(mec: MultiEngineClient) -> None:
    mec.execute("engine_id = n_engines = None")
    mec.reset()
    assert mec.pull(("engine_id", "n_engines")) == [[i, 4] for i in range(4)]


@promise("2: reset() clears that engine's queue at once and waits its turn")
def test_reset_clears_the_queue_and_waits_for_what_runs(mec: Any, gate: Gate) -> None:
    mec.block = False
    running = mec.execute(f"{gate.code}\nx = 1", targets=[0, 1])
    gate.entered(2)
    queued = mec.execute("y = 1", targets=[0, 1])
    reset = mec.reset(targets=[0, 0])
    mec.barrier(mec.execute("", targets=2))
    assert not reset.done()
    assert not running.done()
    gate.open()
    assert reset.r == [None, None]
    assert len(running.r) == 2
    with failing(QueueCleared, engines=[0]):
        queued.result()
    assert mec.keys(targets=[0, 1]).r == [[], ["x", "y"]]


@promise("2: run(path) runs a local file, read and compiled here")
def test_run_runs_a_local_file(mec: MultiEngineClient, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("x = engine_id * 2\nprint(x)\n")
    results = mec.run(script)
    assert isinstance(results, ResultList)
    assert [r.stdout for r in results] == ["0\n", "2\n", "4\n", "6\n"]
    assert mec.run(str(script), targets=1)[0]["id"] == 1


@promise("2: run(path): SyntaxError and OSError are local and plain")
def test_run_finds_a_bad_file_here(mec: MultiEngineClient, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    with pytest.raises(FileNotFoundError):
        mec.run(script)
    script.write_text("x = 1\nx ==== 2\n")
    with pytest.raises(SyntaxError) as caught:
        mec.run(script)
    assert caught.value.lineno == 2
    assert mec.execute("1")[0]["number"] == 1


SCRIPT = """'What it does.'
from __future__ import annotations
import sys
import neighbour_of_a_script
def half(x: Nowhere):
    return 1 / x
print(__file__, sys.argv[1:], __doc__, neighbour_of_a_script.name)
1 + 1
if "fail" in sys.argv:
    half(0)
sys.exit({status})
"""


@promise("2: run(path) is as `kernelfleet run`: siblings, __file__, arguments, its own name")
def test_a_script_runs_as_python_would_run_it(mec: MultiEngineClient, tmp_path: Path) -> None:
    script = tmp_path / "folder" / "script.py"
    script.parent.mkdir()
    script.write_text(SCRIPT.format(status=0))
    (tmp_path / "folder" / "neighbour_of_a_script.py").write_text("name = 'beside it'")
    (result,) = mec.run(script, targets=0, args=["--steps", "3"])
    assert result.stdout == f"{script} ['--steps', '3'] What it does. beside it\n"
    assert not result.outputs[1:]  # the value of an expression is not shown
    assert mec.keys(targets=0) == [["annotations", "sys", "neighbour_of_a_script", "half"]]
    assert mec.execute("'script.py' in str(sys.argv)", targets=0)[0].value is False
    with failing(ZeroDivisionError, engines=[0]) as failed:
        mec.run(script, targets=0, args=["fail"])
    traceback = without_colours("\n".join(failed.value.failures[0].traceback))
    assert f"File {script}:6, in half" in traceback
    assert "----> 6     return 1 / x" in traceback
    assert "Cell" not in traceback
    script.write_text(SCRIPT.format(status=3))
    with failing(RemoteError, engines=[0]):
        mec.run(script, targets=0)
    with failing(NameError, engines=[0]):
        mec.execute("def f(x: Nowhere): pass", targets=0)  # the script's future was its own


@promise("2: run(path) says what it is in the queue, and takes texts as arguments")
def test_a_script_in_the_queue(mec: MultiEngineClient, tmp_path: Path, gate: Gate) -> None:
    script = tmp_path / "script.py"
    script.write_text(gate.code)
    with pytest.raises(TypeError, match="args is a list of texts, not '--steps 3'"):
        mec.run(script, args="--steps 3")
    running = mec.run(script, targets=0, block=False)
    gate.entered(1)
    assert mec.queue_status(targets=0)[0][1]["pending"] == "run('script.py')"
    gate.open()
    assert len(running.r) == 1


@promise("2: clear_queue() returns [None] * n and drops what waits; what runs goes on")
def test_clear_queue_drops_what_waits(mec: MultiEngineClient, gate: Gate) -> None:
    running = mec.execute(f"{gate.code}\nx = 1", block=False)
    gate.entered(4)
    queued = mec.push({"y": 1}, block=False)
    assert mec.clear_queue() == [None] * 4
    with failing(QueueCleared, engines=[0, 1, 2, 3], method="push"):
        queued.result()
    gate.open()
    assert len(running.r) == 4
    assert mec.keys() == [["x"]] * 4


@promise("2: queue_status() gives (id, {'queue': [...], 'pending': ...}), entries read as calls")
def test_queue_status_shows_calls(mec: Any, gate: Gate) -> None:
    assert mec.queue_status() == [(i, {"queue": [], "pending": None}) for i in range(4)]
    mec.block = False
    running = mec.execute(gate.code, targets=[1, 2])
    gate.entered(2)
    waiting = [
        mec.execute("time.sleep(2)", targets=1),
        mec.push({"a": 1}, targets=1),
        mec.pull(("a", "b"), targets=1),
        mec.apply(len, "x", targets=1),
    ]
    status = dict(mec.queue_status(targets=[2, 1], block=True))
    assert list(status) == [2, 1]
    assert status[2]["queue"] == []
    assert status[1]["pending"].startswith("execute(")
    assert status[1]["queue"] == [
        "execute('time.sleep(2)')",
        "push('a')",
        "pull('a', 'b')",
        "apply(len)",
    ]
    mec.clear_queue()
    gate.open()
    mec.barrier([running, *waiting])


@promise("2: set_properties, get_properties, has_properties, del_properties, clear_properties")
def test_properties_label_engines(mec: MultiEngineClient, connect: Any) -> None:
    assert mec.set_properties({"gpu": True, "name": ["a", 1]}) == [None] * 4
    assert mec.set_properties({"gpu": None}, targets=1) == [None]
    assert mec.get_properties(targets=[0, 1]) == [
        {"gpu": True, "name": ["a", 1]},
        {"gpu": None, "name": ["a", 1]},
    ]
    assert connect().get_properties(["gpu"], targets=[1, 0]) == [{"gpu": None}, {"gpu": True}]
    assert mec.get_properties("gpu", targets=0) == [{"gpu": True}]
    assert mec.has_properties(("gpu", "other"), targets=[0, 1]) == [[True, False]] * 2
    assert mec.del_properties(("gpu",), targets=0) == [None]
    assert mec.has_properties("gpu") == [[False], [True], [True], [True]]
    assert mec.clear_properties() == [None] * 4
    assert mec.get_properties() == [{}, {}, {}, {}]


@promise("2: a missing property is a CompositeError of KeyError")
def test_a_missing_property_is_a_key_error(mec: MultiEngineClient) -> None:
    mec.set_properties({"a": 1})
    mec.set_properties({"b": 1}, targets=0)
    with failing(KeyError, engines=[1, 2, 3], method="get_properties"):
        mec.get_properties(["a", "b"])
    with failing(KeyError, engines=[1], method="del_properties"):
        mec.del_properties(["a", "b"], targets=1)
    assert mec.get_properties(targets=1) == [{"a": 1}]


@promise("2: a property that is not JSON is InvalidProperty, before anything is sent")
def test_a_property_that_is_not_json_is_refused_here(mec: MultiEngineClient) -> None:
    for wrong in (object(), {1}, b"x", float("nan"), {1: 2}, (1, 2)):
        with pytest.raises(InvalidProperty):
            mec.set_properties({"fine": 1, "wrong": wrong})
    with pytest.raises(InvalidProperty):
        mec.set_properties({1: 2})  # type: ignore[dict-item]
    assert mec.get_properties() == [{}, {}, {}, {}]


@promise("2: properties never wait behind work and take block and targets as other verbs do")
def test_properties_do_not_wait_behind_work(mec: MultiEngineClient, gate: Gate) -> None:
    busy = mec.execute(gate.code, block=False)
    gate.entered(4)
    assert mec.set_properties({"a": 1}, 2, False).r == [None]
    assert mec.get_properties(timeout=10) == [{}, {}, {"a": 1}, {}]
    gate.open()
    mec.barrier(busy)


@promise(
    "2: interrupt() stops the current command, which fails with KeyboardInterrupt as RemoteError"
)
def test_interrupt_stops_the_current_command(mec: MultiEngineClient, gate: Gate) -> None:
    pending = mec.execute(gate.code, block=False)
    gate.entered(4)
    assert mec.interrupt(targets=[0, 2]) == [None, None]
    mec.barrier(mec.pull("engine_id", targets=[0, 2], block=False))
    gate.open()
    with pytest.raises(CompositeError) as caught:
        pending.result()
    assert str(caught.value).splitlines()[1:] == [
        "[0:execute]: KeyboardInterrupt",
        "[2:execute]: KeyboardInterrupt",
    ]
    assert list(caught.value.results) == [1, 3]


@promise("2: interrupt() leaves an idle engine alone")
def test_interrupting_idle_engines_does_nothing(mec: MultiEngineClient) -> None:
    assert mec.interrupt() == [None] * 4
    assert [r.stdout for r in mec.execute("print(1)")] == ["1\n"] * 4


@promise("2: restart() starts afresh under the same id, and returns when they answer")
def test_restart_starts_afresh_under_the_same_id(mec: MultiEngineClient, gate: Gate) -> None:
    mec.push({"x": 1})
    mec.set_properties({"label": 1})
    before = mec.apply(os.getpid)
    running = mec.execute(gate.code, targets=1, block=False)
    gate.entered()
    queued = mec.execute("y=1", targets=1, block=False)
    assert mec.restart(1) == [None]
    assert mec.get_ids() == [0, 1, 2, 3]
    after = mec.apply(os.getpid)
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True, True]
    for pending in (running, queued):
        with failing(EngineDied, engines=[1], match="restarted"):
            pending.result()
    assert mec.keys() == [["x"], [], ["x"], ["x"]]
    assert mec.get_properties(targets=1) == [{}]
    assert mec.pull(("engine_id", "n_engines"), targets=1) == [[1, 4]]
    assert mec.engines()[1].executed == 0
    assert mec.execute("1", targets=1)[0]["number"] == 1


@promise("2: kill() ends engines, what ran there fails with EngineDied")
def test_kill_ends_engines(start_fleet: Any, gate: Gate) -> None:
    mec = start_fleet(2)
    pending = mec.execute(f"if engine_id == 1: {gate.code}", block=False)
    gate.entered()
    assert mec.kill(targets=[1]) == [None]
    with failing(EngineDied, engines=[1], match="killed by a client"):
        pending.result()
    assert mec.get_ids() == [0]
    assert mec.pull("n_engines") == [1]


@promise("2: barrier waits for one, any iterable, or all outstanding, and returns None")
def test_barrier_waits_and_swallows_errors(mec: Any, gate: Gate) -> None:
    mec.block = False
    gated = [mec.execute(gate.code, targets=i) for i in range(2)]
    gate.entered(2)
    failed = mec.execute("1/0", targets=2)
    assert mec.barrier(failed) is None
    assert failed.done()
    with pytest.raises(TimeoutError, match="execute has not ended") as caught:
        mec.barrier(gated, timeout=0.05)
    assert caught.value.pending_result in gated  # type: ignore[attr-defined]
    with pytest.raises(TimeoutError):
        mec.barrier(timeout=0.05)
    gate.open()
    mec.barrier(each for each in gated)
    assert all(each.done() for each in gated)
    last = mec.execute("a=1")
    mec.barrier()
    assert last.done()
    with failing(ZeroDivisionError, engines=[2]):
        failed.result()


@promise("2: barrier of a foreign object is NotAPendingResult, a TypeError")
def test_barrier_takes_pending_results_only(mec: MultiEngineClient) -> None:
    good = mec.execute("a=1", block=False)
    for wrong in (3, "text", [good, None], object()):
        with pytest.raises(NotAPendingResult):
            mec.barrier(wrong)  # type: ignore[arg-type]
    assert issubclass(NotAPendingResult, TypeError)
    mec.barrier([])
    mec.barrier({good, good})


@promise("2: flush() forgets results not yet fetched, not the work")
def test_flush_forgets_results_not_work(mec: Any, gate: Gate) -> None:
    mec.block = False
    ended, fetched = mec.execute("a=1"), mec.execute("a=2")
    value = fetched.r
    running = mec.execute(f"{gate.code}\nb=1", targets=0)
    gate.entered()
    mec.barrier(ended)
    mec.flush()
    gate.open()
    for pending in (ended, running):
        with pytest.raises(InvalidDeferredID):
            pending.result()
        with pytest.raises(InvalidDeferredID):
            pending.get_result(block=False)
    assert fetched.r is value
    assert mec.pull("b", targets=0).r == [1]


@promise("2: pending_result(id) reattaches, also from a new client")
def test_a_result_is_found_by_its_id(mec: MultiEngineClient, connect: Any, gate: Gate) -> None:
    done = mec.pull("engine_id", block=False)
    running = mec.execute(f"{gate.code}\nprint('late')", targets=0, block=False)
    gate.entered()
    other = connect()
    assert isinstance(done.result_id, str)
    assert other.pending_result(done.result_id).r == [0, 1, 2, 3]
    attached = other.pending_result(running.result_id)
    assert isinstance(attached, PendingResult)
    assert not attached.done()
    gate.open()
    assert attached.r[0].stdout == "late\n"
    assert repr(attached.r) == repr(running.r)


@promise("2: an unknown result id is InvalidDeferredID")
def test_an_unknown_result_id_is_refused(mec: MultiEngineClient) -> None:
    with pytest.raises(InvalidDeferredID, match="nobody-1"):
        mec.pending_result("nobody-1").result()
    with pytest.raises(TypeError):
        mec.pending_result(3)  # type: ignore[arg-type]
