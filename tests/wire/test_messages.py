"""The words of messages: one alias for free-form JSON, and typed structures for all else."""

from __future__ import annotations

import re
from pathlib import Path

import kernelfleet

PACKAGE = Path(kernelfleet.__file__).parent


def test_free_form_json_has_one_name_in_the_whole_package() -> None:
    alias = re.compile(r"^(\w+)(?:: TypeAlias)? = dict\[str, (?:Any|object)\]$", re.MULTILINE)
    found = {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path in PACKAGE.rglob("*.py")
        for name in alias.findall(path.read_text(encoding="utf-8"))
    }
    # an output has the form that nbformat gives it, and frontends may add to it
    found = {(path, name) for path, name in found if name != "Output"}
    assert found == {("wire/messages.py", "JsonDict")}
