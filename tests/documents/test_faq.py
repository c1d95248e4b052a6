"""Each error text that the FAQ quotes is one that kernelfleet gives today."""

from __future__ import annotations

import contextlib
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from kernelfleet import CompositeError, Fleet, MultiEngineClient
from tests.journeys.daemons import OwnFleet

FAQ = (Path(__file__).parents[2] / "docs/faq.md").read_text("utf-8")
HEADINGS = re.findall(r"^### (.*)$", FAQ.partition("## Questions")[0], re.MULTILINE)


def kill(mec: MultiEngineClient) -> None:
    mec.execute("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", targets=0)


def crash(mec: MultiEngineClient) -> None:
    mec.execute("import ctypes; ctypes.string_at(0)", targets=0)


def look_at_what_was_cut_off(mec: MultiEngineClient) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(4 * 1024 * 1024)
        mec.push({"x": np.memmap(file.name, mode="r")}, targets=0)
        file.truncate(1)
        mec.execute("x.sum()", targets=0)


def leave(mec: MultiEngineClient) -> None:
    mec.execute("import os; os._exit(0)", targets=0)


def name_the_dead(mec: MultiEngineClient) -> None:
    with contextlib.suppress(CompositeError):
        leave(mec)
    mec.execute("1", targets=0)


def preload(mec: MultiEngineClient) -> None:
    Fleet(1, preload=["no_such_module"]).start()


def start_with_an_error(mec: MultiEngineClient) -> None:
    Fleet(1, on_start="1 / 0").start()


def miss_a_kernelspec(mec: MultiEngineClient) -> None:
    Fleet(1, kernel="nowhere").start()


def take_a_name_twice(mec: MultiEngineClient) -> None:
    with Fleet(1, name="twice"):
        Fleet(1, name="twice").start()


def choose_among_several(mec: MultiEngineClient) -> None:
    with Fleet(1, name="other"):
        MultiEngineClient()


def wait_too_short(mec: MultiEngineClient) -> None:
    mec.execute("import time; time.sleep(0.3)", timeout=0.1)


def clear_the_queue(mec: MultiEngineClient) -> None:
    mec.execute("import time; time.sleep(0.3)", block=False)
    waiting = mec.execute("1", block=False)
    mec.clear_queue()
    waiting.result()


def ask_for_too_much(mec: MultiEngineClient) -> None:
    with Fleet(1, limits={"queue_length": 2}) as small:
        waiting = [small.execute("import time; time.sleep(0.2)", block=False) for _ in range(5)]
        for each in waiting:
            each.result()


def push_a_lock(mec: MultiEngineClient) -> None:
    mec.push({"lock": threading.Lock()})


def take_the_client_along(mec: MultiEngineClient) -> None:
    mec.apply(lambda name: [mec.peek(name)], "x")


def name_what_is_not_there(mec: MultiEngineClient) -> None:
    mec.execute("threshold + 1")


def ask_for_a_value_too_late(mec: MultiEngineClient) -> None:
    results = mec.execute("1 + engine_id")
    mec.reset()
    results.values()


def map_over_unequal_sequences(mec: MultiEngineClient) -> None:
    mec.map(pow, [1, 2], [1])


def look_for_none(mec: MultiEngineClient) -> None:
    MultiEngineClient()


def use_a_stopped_fleet(mec: MultiEngineClient) -> None:
    with own_daemon() as own:
        client = own.client()
        own.stop()
        client.execute("1")


def use_a_fleet_whose_controller_was_killed(mec: MultiEngineClient) -> None:
    with own_daemon() as own:
        client = own.client()
        own.kill()
        client.execute("1")


@contextlib.contextmanager
def own_daemon() -> Iterator[OwnFleet]:
    own = OwnFleet("unix", 1)
    try:
        yield own
    finally:
        own.clean_up()


PROVOKED: list[Callable[[MultiEngineClient], None]] = [
    kill,
    crash,
    look_at_what_was_cut_off,
    leave,
    name_the_dead,
    preload,
    start_with_an_error,
    miss_a_kernelspec,
    choose_among_several,
    take_a_name_twice,
    wait_too_short,
    clear_the_queue,
    ask_for_too_much,
    push_a_lock,
    take_the_client_along,
    name_what_is_not_there,
    ask_for_a_value_too_late,
    map_over_unequal_sequences,
    use_a_stopped_fleet,
    use_a_fleet_whose_controller_was_killed,
]


def told(provoke: Callable[[MultiEngineClient], None], mec: MultiEngineClient) -> list[str]:
    """The texts of what it raises, those of an error's members for a CompositeError."""
    try:
        provoke(mec)
    except CompositeError as error:
        return [f"{type(each).__name__}: {each}" for each in error.exceptions]
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
    return []


def is_quoted_by(text: str, heading: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in heading.split("..."))
    return re.fullmatch(pattern, text, re.DOTALL) is not None


def plain(heading: str) -> str:
    return heading.replace("`", "")


@pytest.mark.slow
def test_each_error_text_of_the_faq_is_what_is_said_today(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory(prefix="kf-f-", dir="/tmp") as apart:
        # Where there are no other fleets: a daemon would be meant by a client that names none.
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", apart)
        check_all_texts()


def check_all_texts() -> None:
    texts = {"look_for_none": told(look_for_none, None)}  # type: ignore[arg-type]
    with Fleet(2) as mec:
        for provoke in PROVOKED:
            texts[provoke.__name__] = told(provoke, mec)
            if 0 not in mec.get_ids():
                mec.restart(0)
    unquoted = [
        (name, text)
        for name, each in texts.items()
        for text in each
        if not any(is_quoted_by(text.replace("`", ""), plain(heading)) for heading in HEADINGS)
    ]
    assert unquoted == []
    said = [text.replace("`", "") for each in texts.values() for text in each]
    assert [h for h in HEADINGS if not any(is_quoted_by(t, plain(h)) for t in said)] == []


def test_a_text_that_differs_is_no_quotation() -> None:
    assert is_quoted_by(
        "StartError: on_start code failed: x", "StartError: on_start code failed: ..."
    )
    assert not is_quoted_by("StartError: it failed: x", "StartError: on_start code failed: ...")
