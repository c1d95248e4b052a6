"""``preload="setup.py"``: what is read once is in each engine, also in a restarted one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from kernelfleet import Fleet, MultiEngineClient, StartError

SCRIPT = """
import os, pathlib
from dataclasses import dataclass
import helper
import numpy as np

pathlib.Path(__file__).with_name("runs").open("a").write("run ")
data = np.ones({size}, dtype="u1")
loaded_by = os.getpid()
words = ["%0200d" % number for number in range({words})]
scale = helper.SCALE
_private = 1

@dataclass
class Point:
    x: int

def scaled(value): return value * scale
"""
BYTES = 100_000_000
#: How many texts of 200 characters each the script has made.
WORDS = 50_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preload")
    (folder / "helper.py").write_text("SCALE = 3")
    (folder / "setup.py").write_text(
        SCRIPT.replace("{size}", str(BYTES)).replace("{words}", str(WORDS))
    )
    return folder


@pytest.fixture(scope="module")
def mec(folder: Path) -> Iterator[MultiEngineClient]:
    with Fleet(2, preload=folder / "setup.py") as mec:
        yield mec


def test_its_variables_are_each_engines_own_from_the_start(mec: MultiEngineClient) -> None:
    assert mec.execute("data[::2].sum()").values() == [BYTES // 2] * 2
    names: list[str]
    for names in mec.keys(targets="all"):
        assert {"data", "loaded_by", "scale", "scaled", "Point", "helper", "np"} <= set(names)
        assert "_private" not in names
    assert mec.pull("scale") == [3, 3]


def test_it_has_run_once_and_the_engines_are_children_of_where_it_ran(
    mec: MultiEngineClient, folder: Path
) -> None:
    (parent,) = set(mec.execute("import os; os.getppid()").values())
    assert mec.pull("loaded_by") == [parent] * 2
    assert (folder / "runs").read_text().split() == ["run"]


def test_its_data_are_in_memory_once(mec: MultiEngineClient) -> None:
    mec.execute("data.sum()")
    for pid in mec.apply(os.getpid):
        assert psutil.Process(pid).memory_full_info().uss < BYTES / 2


def test_its_functions_see_what_is_bound_later_and_its_classes_travel(
    mec: MultiEngineClient,
) -> None:
    mec.push({"scale": 10}, targets=0)
    assert mec.execute("scaled(2)").values() == [20, 6]
    mec.push({"scale": 3}, targets=0)
    points: Any = mec.execute("Point(engine_id)").values()
    assert [point.x for point in points] == [0, 1]


def test_what_can_be_changed_of_it_can_be_freed(mec: MultiEngineClient) -> None:
    assert max(mec.execute("import sys; max(map(sys.getrefcount, (data, words)))").values()) < 1000


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python counts everything")
def test_its_texts_and_numbers_stay_shared_when_they_are_read(mec: MultiEngineClient) -> None:
    def own_bytes() -> int:
        return sum(psutil.Process(pid).memory_full_info().uss for pid in mec.apply(os.getpid))

    mec.execute("sum(map(len, words[:10]))")
    before = own_bytes()
    assert mec.execute("sum(map(len, words))").values() == [WORDS * 200] * 2
    assert own_bytes() - before < WORDS * 200 / 4


def test_an_engine_that_was_restarted_has_them_again(mec: MultiEngineClient, folder: Path) -> None:
    mec.execute("data = None; del scaled", targets=1)
    mec.restart(1)
    assert mec.execute("data.sum() + scaled(1)", targets=1).values() == [BYTES + 3]
    assert (folder / "runs").read_text().split() == ["run"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\nraise ValueError('no data')", "ScriptFailed: ValueError in line 2: no data"),
        ("x = 1\nif x", "ScriptFailed: SyntaxError in line 2"),
        ("import sys\nsys.exit('no disk')", "ScriptFailed: SystemExit in line 2: no disk"),
    ],
)
def test_what_the_script_raises_ends_the_start_with_its_line(
    text: str, told: str, tmp_path: Path
) -> None:
    script = tmp_path / "setup.py"
    script.write_text(text)
    with pytest.raises(StartError, match=f"cannot preload {script}: {told}"):
        Fleet(2, preload=str(script)).start()


def test_a_script_and_modules_are_loaded_in_the_order_in_which_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.py").write_text("import sys\nfirst = 'json.tool' in sys.modules")
    (tmp_path / "two.py").write_text("second = not first")
    monkeypatch.chdir(tmp_path)
    with Fleet(1, preload=["one.py", "json.tool", "two.py"]) as mec:
        assert mec.pull(("first", "second"), targets=0) == [[False, True]]
