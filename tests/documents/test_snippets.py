"""What the pages show of Python, magics and commands exists: names, arguments, options."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.error import UsageError
from IPython.core.inputtransformer2 import TransformerManager
from traitlets import import_item

import kernelfleet
from kernelfleet.cli.base import COMMANDS
from kernelfleet.notebook.options import HelpAsked, cell_parser, fleet_parser

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for path in [
        *(ROOT / name for name in ("README.md", "SECURITY.md", "CHANGELOG.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
    ]
    if not {"_generated", "_build", "notebooks"} & set(path.parts)
}
#: What a name that the pages use stands for.
CLASSES: dict[str, type] = {
    "mec": kernelfleet.MultiEngineClient,
    "fleet": kernelfleet.Fleet,
    "pending": kernelfleet.PendingResult,
    "error": kernelfleet.CompositeError,
    "Fleet": kernelfleet.Fleet,
    "MultiEngineClient": kernelfleet.MultiEngineClient,
}
#: ``error`` is any exception, and these have more than a CompositeError.
OF_OTHER_ERRORS = {"result_id", "pending_result"}


def blocks(text: str, *languages: str) -> list[str]:
    """The code blocks of a page in some languages, those that the site executes included."""
    found = re.findall(r"^```(\{code-cell\}|\w+)[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [body for language, body in found if language.strip("{}") in languages]


def inline(text: str) -> list[str]:
    """The code within sentences, each in one line."""
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", outside)]


def cells(text: str) -> list[str]:
    return blocks(text, "python", "ipython", "code-cell")


def as_python(cell: str) -> str:
    """A cell as Python: what ``%%px`` sends to engines is Python as well."""
    first, _, rest = cell.lstrip().partition("\n")
    transform = TransformerManager().transform_cell  # type: ignore[no-untyped-call]
    return str(transform(rest if first.startswith("%%") else cell))


def calls(text: str) -> Iterator[ast.Call]:
    """The calls in the blocks of a page, and those that stand within a sentence."""
    for code in [*map(as_python, cells(text)), *inline(text)]:
        try:
            tree = ast.parse(code)
        except SyntaxError:
            continue  # within a sentence there is much else; of blocks another test sees it
        yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def called(call: ast.Call) -> Any:
    """The function of kernelfleet that is called; None if it is none of these."""
    function = call.func
    if isinstance(function, ast.Name):
        return CLASSES.get(function.id)
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return getattr(CLASSES.get(function.value.id), function.attr, None)
    return None


@pytest.mark.parametrize("page", PAGES)
def test_each_block_of_python_can_be_compiled(page: str) -> None:
    for cell in cells(PAGES[page]):
        compile(as_python(cell), page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("page", PAGES)
def test_each_name_of_the_interface_exists(page: str) -> None:
    text = "\n".join([*cells(PAGES[page]), *inline(PAGES[page])])
    missing = [
        f"{name}.{attribute}"
        for name, attribute in re.findall(r"(?<![\w./])(mec|fleet|pending|error)\.(\w+)", text)
        if attribute not in members(CLASSES[name]) | OF_OTHER_ERRORS | {"json", "py"}
    ]
    assert missing == []


def members(each: type) -> set[str]:
    """What a class has, and what its instances have: that is read from its module."""
    module = inspect.getmodule(each)
    declared = {name for one in each.__mro__ for name in inspect.get_annotations(one)}
    return {
        *dir(each),
        *declared,
        *re.findall(r"\bself\.(\w+)", inspect.getsource(module or kernelfleet)),
    }


def wrong_keywords(text: str) -> list[str]:
    """The keyword arguments of calls that the functions do not have."""
    return [
        f"{ast.unparse(call.func)}({keyword.arg}=)"
        for call in calls(text)
        if (function := called(call)) is not None
        for keyword in call.keywords
        if keyword.arg and keyword.arg not in inspect.signature(function).parameters
    ]


@pytest.mark.parametrize("page", PAGES)
def test_each_keyword_argument_exists(page: str) -> None:
    assert wrong_keywords(PAGES[page]) == []


def test_what_does_not_exist_is_found() -> None:
    assert wrong_keywords("`Fleet(4, colour='red')` and `mec.map(f, x, shed=1)`") == [
        "Fleet(colour=)",
        "mec.map(shed=)",
    ]
    assert wrong_options("kernelfleet sing --loud") == ["kernelfleet sing"]
    assert wrong_options("kernelfleet start -n 4 --loud") == ["kernelfleet start --loud"]
    assert wrong_magic("%fleet start --loud") == "%fleet start --loud"


def command_lines(text: str) -> list[str]:
    """The commands of kernelfleet in a page: a line of a block, or within a sentence."""
    lines = [
        line for block in blocks(text, "console", "bash", "code") for line in block.split("\n")
    ]
    found = []
    for line in [*lines, *inline(text)]:
        for part in re.split(r"&&|;|\|", line):
            match = re.match(
                r"^(?:\w*\$ +)?(?:\S*/)?((?:jupyter )?kernelfleet( .*|$))", part.strip()
            )
            if match:
                found.append(match[1].removeprefix("jupyter ").partition("  #")[0].strip())
    return found


def wrong_options(line: str) -> list[str]:
    """The sub-command if it does not exist, or those of its options that do not."""
    line = re.sub(r"[\[\]()]", " ", line)  # the signs of a table: [NAME] [-n 4]
    words = re.sub(r"\"[^\"]*\"|'[^']*'", "QUOTED", line).split()[1:]
    if not words or words[0].startswith("-"):
        return []
    if words[0] not in COMMANDS:
        return [f"kernelfleet {words[0]}"] if words[0].islower() else []
    command = import_item(COMMANDS[words[0]][0])
    names = {"help", "h", "help-all", "version"}
    for each in [*command.aliases, *command.flags]:
        names |= set(each) if isinstance(each, tuple) else {each}
    if words[0] in ("run", "exec"):
        names |= {"m", "c"}
    wrong = []
    for word in words[1:]:
        option = word.lstrip("-").partition("=")[0]
        if re.match(r"--?[a-zA-Z]", word) and option not in names and "." not in option:
            wrong.append(f"kernelfleet {words[0]} {word}")
        if words[0] in ("run", "exec") and re.search(r"\.i?py$", word):
            break  # what follows is for the script
    return wrong


@pytest.mark.parametrize("page", PAGES)
def test_each_command_and_its_options_exist(page: str) -> None:
    assert [wrong for line in command_lines(PAGES[page]) for wrong in wrong_options(line)] == []


def wrong_magic(line: str) -> str | None:
    """The line, if the parser of its magic does not take it."""
    line = re.sub(r"\{[^}]*\}", "1", line.partition("  #")[0]).replace("...", "1")
    name, *words = shlex.split(line)
    parser = fleet_parser() if name == "%fleet" else cell_parser()
    for more in ([], ["1"]):  # a sentence may name an option without its value
        try:
            parser.parse_args([*words, *more])
        except HelpAsked:
            return None
        except UsageError:
            continue
        else:
            return None
    return line


#: What Tab completes, and what the changelog has for an example of a mistake.
NOT_TO_BE_TAKEN = ("%fleet st", "%fleet scale x")


def magic_lines(text: str) -> list[str]:
    everything = [line.strip() for cell in cells(text) for line in cell.split("\n")]
    everything += inline(text)
    return [
        line
        for line in everything
        if re.match(r"(%fleet|%%px) ", line) and not re.search(r"[\[|]|,\.\.\.", line)
    ]


@pytest.mark.parametrize("page", PAGES)
def test_each_magic_takes_what_it_is_given(page: str) -> None:
    lines = [line for line in magic_lines(PAGES[page]) if line not in NOT_TO_BE_TAKEN]
    assert [line for line in lines if wrong_magic(line)] == []


def test_the_settings_that_the_pages_set_exist() -> None:
    limits = import_item("kernelfleet.controller.limits.Limits")
    known = {each.rpartition(".")[2]: import_item(each) for each, _ in COMMANDS.values()}
    known["Limits"] = limits
    found = re.findall(r"(?:\bc\.|--)([A-Z]\w+)\.(\w+)", "".join(PAGES.values()))
    assert len(found) > 5
    assert [f"{name}.{trait}" for name, trait in found if name in known and not
            known[name].class_traits(config=True).get(trait)] == []  # fmt: skip
