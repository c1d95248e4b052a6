"""immortal.py: what engines share is not counted, and everything else is."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

#: Python has had objects that are not counted since then.
HAS_IMMORTALS = sys.version_info >= (3, 12)

COUNTS = """
import argparse, json, sys, types
from kernelfleet.provisioners.immortal import make_immortal

class Mine:
    "A class of its own."
    def method(self):
        return 3.14159

mine, values, names = Mine(), [object()], {"a": object()}
before = sys.getrefcount(None)
make_immortal()

def later():
    return 2.71828

counts = {
    "function": json.dumps, "class": argparse.ArgumentParser, "module": argparse,
    "method": vars(Mine)["method"], "code": Mine.method.__code__,
    "number": mine.method(),
    "name": "ArgumentParser", "bases": argparse.ArgumentParser.__mro__,
    "instance": mine, "list": values, "dict": names, "object": values[0],
    "later": later,
}
print(json.dumps({name: sys.getrefcount(each) for name, each in counts.items()}))
"""

#: Refers to every function of this process once, in a child, and prints what pages that costs.
PAGES = """
import argparse, asyncio, gc, json, os, sys, types
from kernelfleet.provisioners.immortal import make_immortal
if len(sys.argv) > 1:
    make_immortal()

def private():
    with open("/proc/self/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_Dirty"))

functions = [each for each in gc.get_objects() if type(each) is types.FunctionType]
private()
gc.disable()
if os.fork() == 0:
    before = private()
    kept = [each for each in functions]
    print(private() - before, flush=True)
    os._exit(0)
os.wait()
"""


def run(code: str, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_functions_classes_names_and_constants_are_not_counted_and_all_else_is() -> None:
    counts = run(COUNTS)
    uncounted = {name for name, count in counts.items() if count == sys.getrefcount(None)}
    shared = {"function", "class", "module", "method", "code", "number", "name", "bases"}
    assert uncounted == (shared if HAS_IMMORTALS else set())
    assert all(counts[name] < 100 for name in counts.keys() - shared)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads what Linux tells of pages")
def test_referring_to_what_is_not_counted_copies_no_page() -> None:
    counted, uncounted = run(PAGES), run(PAGES, "immortal")
    if HAS_IMMORTALS:
        assert uncounted < counted / 2
    else:
        assert uncounted == pytest.approx(counted, rel=0.5)


def test_it_is_left_alone_where_python_keeps_its_counters_in_another_way() -> None:
    code = (
        "import json, sys, types\n"
        "from kernelfleet.provisioners.immortal import make_immortal\n"
        "sys.implementation = types.SimpleNamespace(name='another', cache_tag='another')\n"
        "make_immortal()\n"
        "print(sys.getrefcount(json.dumps))"
    )
    assert run(code) < 100


PRELOADED = """
import gc, json, sys
from kernelfleet.provisioners.immortal import make_preload_immortal

def fresh(number):  # none of them is a constant of this code
    return "a word " + str(number)

class Meta(type):
    def __eq__(self, other):
        raise RuntimeError("it is compared")
    __hash__ = None

class Thing(metaclass=Meta):
    pass

words = [fresh(1)]
table = {fresh(2): 2.5 * len(words)}
records, nested = [(fresh(3), 1000 * len(words))], [((fresh(4),), fresh(5))]
holder, thing, shared = (fresh(6), []), Thing(), {fresh(7): fresh(8)}
thing.name, thing.values = fresh(9), [fresh(10)]
# A chain in which each refers twice to the next would take for ever without a memory.
chain = (fresh(11),)
for _ in range(60):
    chain = (chain, chain)
make_preload_immortal()
count = sys.getrefcount
print(json.dumps({
    "word": count(words[0]), "key": count(next(iter(table))),
    "number": count(next(iter(table.values()))),
    "record": count(records[0]), "in a record": count(records[0][1]),
    "inner tuple": count(nested[0][0]), "in an inner tuple": count(nested[0][0][0]),
    "in a holder": count(holder[0]), "in a dict": count(shared[next(iter(shared))]),
    "attribute": count(thing.name), "in an attribute": count(thing.values[0]),
    "list": count(words), "table": count(table), "holder": count(holder), "thing": count(thing),
    "list in a holder": count(holder[1]), "values": count(thing.values),
}))
"""


def test_of_what_is_preloaded_only_what_cannot_change_is_not_counted() -> None:
    counts = run(PRELOADED)
    counted = {"list", "table", "holder", "thing", "list in a holder", "values"}
    uncounted = {name for name, count in counts.items() if count == sys.getrefcount(None)}
    assert uncounted == (counts.keys() - counted if HAS_IMMORTALS else set())
    assert all(counts[name] < 100 for name in counted)
