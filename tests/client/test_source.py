"""source.py: a local script is read and compiled before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelfleet.client.source import read_script


def test_a_script_is_read_in_its_own_encoding(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_bytes("# -*- coding: latin-1 -*-\nname = 'é'\n".encode("latin-1"))
    assert read_script(script).endswith("name = 'é'\n")


def test_what_is_wrong_with_a_script_names_the_file_and_line(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("a = 1\nb = = 2\n")
    with pytest.raises(SyntaxError) as caught:
        read_script(script)
    assert (caught.value.filename, caught.value.lineno) == (str(script), 2)
    script.write_bytes(b"a = '\xff'\n")
    with pytest.raises(SyntaxError):
        read_script(script)


def test_only_an_ipy_file_may_hold_the_syntax_of_ipython(tmp_path: Path) -> None:
    for name in ("script.py", "script.ipy"):
        (tmp_path / name).write_text("%time x = 1\nfiles = !ls\n")
    with pytest.raises(SyntaxError):
        read_script(tmp_path / "script.py")
    assert read_script(tmp_path / "script.ipy").startswith("%time")


def test_a_missing_script_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_script(tmp_path / "none.py")
    with pytest.raises(IsADirectoryError):
        read_script(tmp_path)
