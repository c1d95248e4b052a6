"""What runs in kernels of other environments: its syntax, its imports, what it provides there.

How it works inside such kernels is held by tests/journeys/test_environments.py.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kernelfleet.controller.engines.bootstrap import (
    _ROOMS,
    _texts,
    bootstrap_request,
)
from kernelfleet.engine import portable, provided
from tests.engine.bare import python

SOURCES = [Path(str(each.__file__)).read_text() for each in (portable, provided)]
both = pytest.mark.parametrize("source", SOURCES, ids=["portable", "provided"])


@both
def test_it_can_be_read_by_pythons_older_than_ours(source: str) -> None:
    assert ast.parse(source, feature_version=(3, 8)).body


@both
def test_it_imports_the_standard_library_and_ipython_only(source: str) -> None:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names.add(str(node.module).split(".")[0])
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
    assert names - sys.stdlib_module_names <= {"IPython"}


def test_without_anything_of_ours_pickle_refuses_what_would_become_another_there() -> None:
    out = python("""
import pickle, types
class Shell:
    user_ns, user_ns_hidden = {}, {}
    def reset(self, new_session=True): self.user_ns.clear()
shell = Shell()
tools = portable.PlainTools(shell, "the reason")
server = portable.Server(shell, tools)
def ask(verb, content, *values):
    frames = [portable.base64.b64encode(pickle.dumps(each)).decode() for each in values]
    answer = server.answer(json.dumps([verb, content, frames]))
    return json.loads(answer._repr_mimebundle_()[portable.MIME])
tools.namespace.set_identity(3, 4)
ask("push", {}, {"a": 1, "o": types.SimpleNamespace()}); ask("push", {}, {"o.x": 5})
frames = ask("pull", {"names": ["a", "o.x", "engine_id"]})["frames"]
print(pickle.loads(portable.base64.b64decode(frames[0])), ask("keys", {})["keys"])
def f(): pass
shell.user_ns["f"] = f
print(ask("pull", {"names": ["f"]})["error"])
print(tools.unpack([pickle.dumps(pow)])(2, 3))
kf = b"ckernelfleet.wire.sources\\nplace\\n."
print(server.answer(json.dumps(["apply", {}, [portable.base64.b64encode(kf).decode()]]))._text)
ask("reset", {}); print(sorted(shell.user_ns))
""").splitlines()
    assert out[0] == "[1, 5, 3] ['a', 'o']"
    assert "'f' cannot travel: the reason" in out[1]
    assert "'ename': 'UnsupportedOperation'" in out[1]
    assert out[2] == "8"
    assert '"evalue": "the reason"' in out[3]
    assert out[4] == "['engine_id', 'n_engines']"


class Untouched:
    """Tools of which nothing may be used."""

    reason = ""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was used")


@pytest.mark.parametrize("word", ["fly", "", "execute", "map", "RESET", "_reset", "reset "])
def test_an_unknown_word_is_refused_by_name_and_does_nothing(word: str) -> None:
    assert word not in portable.HANDLERS
    server = portable.Server(None, Untouched())
    answer = server.answer(json.dumps([word, {"imports": "name"}, []]))
    result = json.loads(answer._repr_mimebundle_()[portable.MIME])
    assert not result["ok"]
    assert result["error"]["ename"] == "UnsupportedOperation"
    assert repr(word) in result["error"]["evalue"]


def test_the_bootstrap_request_holds_all_that_a_map_needs_and_is_bounded() -> None:
    request = bootstrap_request(3, 4)
    assert request["silent"]
    assert len(request["code"]) < 250_000
    texts = _texts("kernelfleet", _ROOMS)
    assert {"kernelfleet", "kernelfleet.errors", "kernelfleet.wire.objects.serialize",
            "kernelfleet.engine.running.batches"} <= texts.keys()  # fmt: skip
    assert texts["kernelfleet.wire"][0] == "wire/__init__.py"


@pytest.mark.parametrize("package", ["cloudpickle"])
def test_the_sources_of_other_packages_are_read_not_imported(package: str) -> None:
    code = f"""
import sys
from kernelfleet.controller.engines.bootstrap import _texts
print(len(_texts({package!r}, ('.',))), {package!r} in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, imported = done.stdout.split()
    assert int(count) > 1
    assert imported == "False"
