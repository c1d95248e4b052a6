"""preloaded.py in this process: what a script leaves behind, and what not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from kernelfleet.engine.running import preloaded
from kernelfleet.engine.running.preloaded import ScriptFailed, run


@pytest.fixture(autouse=True)
def nothing_loaded() -> Iterator[None]:
    preloaded._Preloaded.module = None
    yield
    preloaded._Preloaded.module = None


def script(folder: Path, text: str, name: str = "setup.py") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_a_script_finds_its_file_and_its_folder_and_is_main(tmp_path: Path) -> None:
    (tmp_path / "beside_the_script.py").write_text("x = 5")
    path, main, places = (
        script(
            tmp_path,
            "import sys, beside_the_script\nx = beside_the_script.x\nfile = __file__\n"
            "is_main = __name__ == '__main__' and sys.modules['__main__'].x == 5",
        ),
        sys.modules["__main__"],
        list(sys.path),
    )
    run(path)
    module = preloaded.module()
    assert module is not None
    assert (module.x, module.file, module.is_main) == (5, path, True)
    assert not hasattr(module, "__file__")
    assert (sys.modules["__main__"], sys.path) == (main, places)
    del sys.modules["beside_the_script"]


def test_scripts_share_their_variables(tmp_path: Path) -> None:
    run(script(tmp_path, "a = 1"))
    run(script(tmp_path, "b = a + 1", "second.py"))
    assert vars(preloaded.module())["b"] == 2


def test_a_script_that_fails_leaves_nothing(tmp_path: Path) -> None:
    main, places = sys.modules["__main__"], list(sys.path)
    with pytest.raises(ScriptFailed, match="ZeroDivisionError in line 2: division by zero"):
        run(script(tmp_path, "a = 1\na / 0"))
    assert preloaded.module() is None
    assert (sys.modules["__main__"], sys.path) == (main, places)


def test_the_line_is_that_of_the_script_also_if_it_failed_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(ScriptFailed, match=r"JSONDecodeError in line 3:"):
        run(script(tmp_path, "import json\n\njson.loads('{')"))


def test_its_variables_count_as_the_users_own_and_ipythons_do_not(tmp_path: Path) -> None:
    run(script(tmp_path, "mine = 1\n_private = 2"))
    shell = SimpleNamespace(user_ns_hidden={"mine": 1, "_private": 2, "In": []})
    preloaded.show(shell)
    assert shell.user_ns_hidden == {"_private": 2, "In": []}
