from __future__ import annotations

import os
import select
import time
from typing import Any

import pytest
import zmq

from kernelfleet.engine.output.iopub import EngineStream
from kernelfleet.engine.running.batches import run_batch
from kernelfleet.wire.objects.serialize import pack_nested, unpack
from tests.engine.driver import Engine, wait_until


def test_every_line_of_many_is_counted_and_arrives(engine: Engine) -> None:
    begun = time.monotonic()
    done = engine.execute("for i in range(100_000): print(i)")
    assert done["stdout"] == "".join(f"{i}\n" for i in range(100_000))
    assert time.monotonic() - begun < 10


def test_the_count_is_exact_for_all_kinds_of_output(engine: Engine) -> None:
    code = (
        "import sys\nfrom IPython.display import display\n"
        "for i in range(50):\n"
        "    print('out', i)\n    print('err', i, file=sys.stderr)\n    display(i)\n"
        "'value'"
    )
    for _ in range(5):
        done = engine.execute(code)
        assert done["stdout"] == "".join(f"out {i}\n" for i in range(50))
        assert done["stderr"] == "".join(f"err {i}\n" for i in range(50))
        kinds = [message["msg_type"] for message in done["messages"]]
        assert kinds == ["display_data"] * 50 + ["execute_result"]


def test_a_silent_request_publishes_nothing(engine: Engine) -> None:
    assert engine.ask("fleet_execute_request", {"code": "a = 1"})["content"]["n_iopub"] == 0
    assert engine.ask("fleet_pull_request", {"names": ["a"]})["content"]["n_iopub"] == 0
    assert engine.ask("fleet_keys_request")["content"]["n_iopub"] == 0


def test_output_of_a_called_function_belongs_to_its_request(engine: Engine) -> None:
    reply = engine.ask_apply(lambda: print("from a call"))
    # a timed flush may split the text
    assert "".join(m["content"]["text"] for m in engine.outputs(reply)) == "from a call\n"


def test_output_of_subprocesses_belongs_to_the_cell(engine: Engine) -> None:
    code = "import subprocess\nsubprocess.run('echo out; echo err >&2', shell=True)\nNone"
    for _ in range(10):
        done = engine.execute(code)
        assert (done["stdout"], done["stderr"]) == ("out\n", "err\n")


def test_output_of_subprocesses_belongs_to_the_item_that_has_run_them(engine: Engine) -> None:
    function = list(pack_nested(lambda i: __import__("os").system(f"echo item {i} >&{1 + i % 2}")))
    for again in range(5):
        reply = engine.ask_apply(run_batch, f"f{again}", function, range(6), False, None, True)
        _, ends = unpack(unpack(reply["buffers"]))
        one = len("item 0\n")
        assert ends["stdout"] == [one, one, 2 * one, 2 * one, 3 * one, 3 * one]
        assert ends["stderr"] == [0, one, one, 2 * one, 2 * one, 3 * one]


@pytest.mark.parametrize("passing_on", [True, False])
def test_a_descriptor_is_read_only_if_there_is_something_or_a_thread_passes_something_on(
    passing_on: bool,
) -> None:
    class Lock:
        entered = 0

        def locked(self) -> bool:
            return passing_on

        def __enter__(self) -> None:
            self.entered += 1

        def __exit__(self, *_: object) -> None:
            pass

    read_end, write_end = os.pipe()
    try:
        stream: Any = EngineStream.__new__(EngineStream)
        stream._fid, stream._should_watch, stream._fd_lock = read_end, False, Lock()
        stream._unread = select.poll()
        stream._unread.register(read_end, select.POLLIN)
        stream.read_descriptor()
        assert stream._fd_lock.entered == passing_on
        os.write(write_end, b"text")
        stream.read_descriptor()
        assert stream._fd_lock.entered == passing_on + 1
    finally:
        os.close(read_end)
        os.close(write_end)


def test_descriptor_output_is_not_echoed_to_the_log(engine: Engine) -> None:
    engine.execute("import os\nos.write(1, b'not for the log\\n')")
    assert b"not for the log" not in (engine.folder / "log").read_bytes()


def test_characters_split_between_writes_stay_whole(engine: Engine) -> None:
    code = "import os, time\nos.write(1, b'\\xc3')\ntime.sleep(0.05)\nos.write(1, b'\\xa4')\nNone"
    assert engine.execute(code)["stdout"] == "ä"


def test_prints_of_multiprocessing_children_arrive_once(engine: Engine) -> None:
    code = (
        "import multiprocessing, sys\n"
        "print('parent', end=' ')\n"
        "def work(): print('child', flush=True)\n"
        "p = multiprocessing.get_context('fork').Process(target=work)\n"
        "p.start(); p.join()"
    )
    sent = engine.send("fleet_execute_request", {"code": code})
    assert engine.reply_to(sent)["content"]["status"] == "ok"
    text = ""
    while "child\n" not in text:
        message = engine.receive(engine.iopub)
        assert message["parent_header"]["msg_id"] == sent
        text += message["content"]["text"]
    assert sorted(text.split()) == ["child", "parent"]


def test_the_childrens_socket_is_a_file_beside_the_connection_file(engine: Engine) -> None:
    assert (engine.folder / "e.json-forks").is_socket()
    assert (
        engine.value("[c.laddr for c in __import__('psutil').Process().net_connections('tcp')]")
        == []
    )


def test_output_of_threads_after_the_reply_still_comes(engine: Engine) -> None:
    code = (
        "import threading\n"
        "def late():\n    go.wait(); print('late', flush=True)\n"
        "go = threading.Event(); thread = threading.Thread(target=late); thread.start()"
    )
    assert engine.execute(code)["stdout"] == ""
    assert engine.execute("go.set(); thread.join()")["stdout"] == "late\n"


def test_flushing_unwritten_streams_costs_nothing(engine: Engine) -> None:
    code = (
        "import sys, time\nbegun = time.perf_counter()\n"
        "for _ in range(10_000): sys.stdout.flush()\n"
        "print(time.perf_counter() - begun)"
    )
    assert float(engine.execute(code)["stdout"]) < 0.5


def test_writing_needs_text_and_an_open_stream(engine: Engine) -> None:
    assert engine.execute("import sys; sys.stdout.write(1)")["ename"] == "TypeError"


def test_a_replaced_stdout_does_not_disturb_the_reply(engine: Engine) -> None:
    engine.execute("import sys; saved = sys.stdout; sys.stdout = None")
    assert engine.ask("fleet_keys_request")["content"]["status"] == "ok"
    engine.execute("sys.stdout = saved")
    assert engine.execute("print(1)")["stdout"] == "1\n"


def test_subscribers_are_noticed_while_the_engine_publishes(engine: Engine) -> None:
    count = "get_ipython().kernel.iopub_thread.subscriptions"
    for _ in range(12):
        sent = engine.send("fleet_execute_request", {"code": "for i in range(300): display(i)"})
        other = engine.connect(zmq.SUB, "iopub_port")
        engine.reply_to(sent)
        # whoever subscribes is welcomed, which must not need another subscriber to come
        first = engine.receive(other)
        while first["msg_type"] != "iopub_welcome":
            first = engine.receive(other)
        wait_until(lambda: engine.value(count) == 2)
        other.close()
        wait_until(lambda: engine.value(count) == 1)


PRINT_AND_BE_INTERRUPTED = """
import signal, time

class Alarm(BaseException): pass
def ring(*_): raise Alarm

signal.signal(signal.SIGALRM, ring)
interrupted = 0
for n in range(1500):
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-6 + n % 300 * 1e-6)
        while True:
            print('x', flush=True)
    except Alarm:
        interrupted += 1
signal.signal(signal.SIGALRM, signal.SIG_DFL)
"""


def test_an_interrupted_flush_does_not_stop_output_for_good(engine: Engine) -> None:
    content = engine.execute(PRINT_AND_BE_INTERRUPTED)
    assert content["status"] == "ok", content
    assert engine.pull("interrupted") == [1500]
    assert engine.execute("print('alive', flush=True)")["stdout"] == "alive\n"


def test_who_prints_faster_than_it_is_read_waits_and_no_longer_than_a_second(
    engine: Engine,
) -> None:
    code = (
        "import time\nbegun = time.monotonic()\n"
        "for _ in range(1100): print('z' * 1000)\n"
        "waited = time.monotonic() - begun > 0.9"
    )
    setup = {"engine_id": 3, "n_engines": 4}
    engine.execute(code)
    assert engine.value("waited") is False  # nobody confirms, and nobody waits
    engine.ask("fleet_setup_request", {**setup, "confirms_output": True})
    try:
        engine.execute(code)
        assert engine.value("waited") is True
    finally:
        engine.ask("fleet_setup_request", setup)
