"""The rules of the house that a machine can hold: imports, lengths, tests, names.

A folder is a process: code lives in the folder of the process in which it runs.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "kernelfleet"
MODULES = sorted(PACKAGE.rglob("*.py"))

#: The modules that stand beside the folders: words that every process may need.
COMMON = ""

#: Folder -> the folders it may import from, besides itself.
MAY_IMPORT = {
    COMMON: {"errors", "wire"},
    "errors": {COMMON, "wire"},
    "wire": {COMMON, "errors"},
    "launch": set(),
    "engine": {COMMON, "errors", "wire"},
    "provisioners": {COMMON, "errors", "wire"},
    "controller": {COMMON, "errors", "wire", "provisioners"},
    "display": {COMMON, "errors"},
    "session": {COMMON, "errors", "wire"},
    "clusters": {"errors", "wire"},
    "node": {COMMON, "errors", "wire", "controller", "provisioners"},
    # (the launcher of an MPI world runs beside the head)
    "head": {COMMON, "errors", "wire", "controller", "session", "clusters", "provisioners"},
    "client": {COMMON, "errors", "wire", "session", "display"},
    "joblib": {COMMON, "errors", "client"},
    "testing": {COMMON, "client"},
    "notebook": {COMMON, "errors", "wire", "session", "client", "display"},
    "cli": {COMMON, "errors", "wire", "session", "client", "display", "mcp"},
    "server": {COMMON, "errors", "wire", "session", "client", "display"},
    "mcp": {COMMON, "errors", "wire", "session", "client", "display"},
}

#: The two files that start a controller in their own process.
MAY_START_A_CONTROLLER = {"client/fleet.py", "cli/commands/start.py"}

#: Import the display side inside a function, when somebody wants to see them.
MAY_ASK_THE_DISPLAY = {"results.py", "timeline.py", "errors/composite.py"}

#: Gives out the names of all others, when asked for.
NAMES_ONLY = {"__init__.py"}

#: Modules without a test file of their own, and why.
NO_TEST_FILE = {
    "__init__.py": "tested by tests/test_package.py",
    "wire/messages/__init__.py": "an alias; held by tests/wire/test_messages.py",
    "notebook/widgets/bridge.py": "held by tests/notebook/widgets/test_live.py, in a real kernel",
    "notebook/widgets/local_comm.py": "held by tests/notebook/widgets/test_live.py",
    "wire/messages/kernel.py": "declarations; held by tests/wire/test_operations.py and mypy",
    "wire/messages/replies.py": "declarations; held by tests/wire/test_messages.py and mypy",
    "wire/messages/requests.py": "declarations; held by tests/wire/test_operations.py and mypy",
    "wire/messages/session.py": "declarations; held by tests/wire/test_messages.py and mypy",
    "wire/messages/nodes.py": "declarations; held by tests/node/test_serving.py and mypy",
    "node/__main__.py": "one line, run by whatever starts a node",
    "head/placed.py": "a declaration; held by tests/head/test_registry.py",
    "clusters/hosts.py": "held by tests/clusters/test_ssh.py and test_srun.py",
    "wire/buffers/arriving.py": "held by tests/wire/test_chunks.py",
    "head/timing.py": "held by tests/controller/test_timing.py",
    "errors/__init__.py": "names of errors/tree.py and errors/composite.py, tested there",
    "client/__init__.py": "tested by tests/test_package.py",
    "cli/application.py": "tested by tests/cli/test_app.py",
    "notebook/kernel/__main__.py": "one line, run by tests/journeys/test_fleet_kernel.py",
    "cli/__main__.py": "one line, run by tests/journeys/test_command_line.py",
    "engine/__main__.py": "one line, run by whatever starts an engine",
    "client/executor/verbs.py": "held by tests/client/executor/test_executor.py and test_pool.py",
    "client/results/call.py": "half of PendingResult, tested with results/pending.py",
    "client/verbs/engines.py": "held by tests/conformance",
    "client/verbs/listing.py": "held by tests/conformance",
    "client/verbs/scattering.py": "held by tests/conformance",
    "client/verbs/timeline.py": "held by tests/client/results/test_timelines.py",
    "controller/engines/bootstrap.py": "held by tests/engine/test_portable.py and tests/journeys",
    "controller/daemon.py": "held by tests/journeys",
    "server/__init__.py": "held by tests/server/test_extension.py",
    "server/services.py": "held by tests/server/test_extension.py",
    "server/shapes.py": "declarations; held by tests/server/test_handlers.py and mypy",
    "controller/lifecycle/listener.py": "a declaration; held by mypy",
    "joblib/__init__.py": "registers a backend; held by tests/joblib/test_backend.py",
    "launch/safely.py": "a script, run by tests/wire/test_safe_start.py",
    "errors/composite.py": "tested by tests/errors/test_tree.py",
    "errors/text.py": "tested by tests/errors/test_tree.py",
}

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def short(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def folder(path: Path) -> str:
    parent = path.relative_to(PACKAGE).parent.as_posix()
    return COMMON if parent == "." else parent.split("/")[0]


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything the file imports, at whatever depth."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def folder_of_import(name: str) -> str | None:
    """The folder that an import reaches into; None if it is not of this package."""
    parts = name.split(".")
    if parts[0] != "kernelfleet":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in MAY_IMPORT else COMMON


def test_every_folder_of_the_package_is_in_the_table() -> None:
    assert {folder(path) for path in MODULES} <= set(MAY_IMPORT)


#: The rooms with so many modules that they have a map in their docstring.
MAPPED = (
    *("cli", "client", "clusters", "controller", "display", "engine", "head", "mcp", "node"),
    *("notebook", "server", "wire", "controller/comms", "notebook/widgets"),
    *("engine/modules", "engine/output", "engine/running", "wire/files", "wire/objects"),
)


@pytest.mark.parametrize("room", MAPPED)
def test_the_map_of_a_room_names_every_module_once(room: str) -> None:
    source = (PACKAGE / room / "__init__.py").read_text()
    _, _, drawn = (ast.get_docstring(ast.parse(source)) or "").partition("Where things are::")
    lines = [re.split(r" {2,}", line.strip()) for line in drawn.splitlines()]
    named = [name.split()[0] for _, *names in lines for name in names]  # (a remark may follow)
    modules = {path.stem for path in (PACKAGE / room).glob("*.py")} - {"__init__"}
    modules |= {path.parent.name for path in (PACKAGE / room).glob("*/__init__.py")}
    assert {name: named.count(name) for name in modules} == dict.fromkeys(modules, 1)


MAX_MODULES = 16


def test_no_room_has_more_modules_than_one_can_keep_in_mind() -> None:
    rooms = {path.parent for path in MODULES}
    sizes = {short(room): len(list(room.glob("*.py"))) - 1 for room in rooms}
    assert {room: size for room, size in sizes.items() if size > MAX_MODULES} == {}


def test_imports_point_one_way() -> None:
    wrong = [
        f"{short(path)}:{line} imports {name}"
        for path in MODULES
        if short(path) not in NAMES_ONLY
        for line, name in imports(path)
        if (reached := folder_of_import(name)) is not None and reached not in allowed(path)
    ]
    assert not wrong


def allowed(path: Path) -> set[str]:
    """The folders that a file may import from."""
    home = folder(path)
    folders = MAY_IMPORT[home] | {home}
    if short(path) in MAY_START_A_CONTROLLER:
        folders |= {"controller", "head"}
    if short(path) in MAY_ASK_THE_DISPLAY:
        folders |= {"display"}
    return folders


#: Files that only give out names, each when it is first asked for. What they name may import them
#: back (``from kernelfleet import __version__``): no code of theirs needs it.
FACADES = {"__init__.py", "errors/__init__.py", "client/__init__.py", "server/__init__.py"}


def module_of(path: Path) -> str:
    """The full name of the module in a file."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def import_graph() -> dict[str, set[str]]:
    """Module -> the modules of this package, and of the benchmarks, that it imports.

    Imports inside functions and those for type checkers (``if TYPE_CHECKING``) count as well.
    """
    facades = {PACKAGE / name for name in FACADES}
    paths = [*MODULES, *sorted((ROOT / "benchmarks").rglob("*.py"))]
    modules = {module_of(path): path for path in paths if path not in facades}
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        names = {name for _, name in imports(path)}
        names |= {name.rpartition(".")[0] for name in names}  # (a name of a module, or a module)
        graph[module] = (names & set(modules)) - {module}
    return graph


def circles(graph: dict[str, set[str]]) -> list[dict[str, set[str]]]:
    """The parts of a graph in which every node can be reached from every other one.

    Returns:
        For each such part its nodes, with the edges that stay inside of it.
    """

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        ahead = [start]
        while ahead:
            new = graph[ahead.pop()] - found
            found |= new
            ahead += new
        return found

    reach = {node: reached(node) for node in graph}
    found, seen = [], set[str]()
    for node in graph:
        circle = {other for other in reach[node] if node in reach[other]}
        if circle and node not in seen:
            seen |= circle
            found.append({each: graph[each] & circle for each in sorted(circle)})
    return found


def test_the_rooms_of_a_clients_calls_build_on_each_other_one_way() -> None:
    """Verbs, executors, maps, results, and how sequences are cut: each uses what comes after it."""
    order = ("verbs", "executor", "mapping", "results", "partition")
    above = {room: order[:at] for at, room in enumerate(order) if at}
    back = [
        f"{short(path)}:{line}: {name}"
        for room, upper in above.items()
        for path in sorted((PACKAGE / "client" / room).glob("*.py"))
        for line, name in imports(path)
        if name.startswith(tuple(f"kernelfleet.client.{each}." for each in upper))
    ]
    assert back == []


def test_a_circle_is_found_with_the_edges_that_make_it() -> None:
    graph = {"a": {"b", "d"}, "b": {"c"}, "c": {"a"}, "d": {"e"}, "e": {"f"}, "f": set[str]()}
    assert circles(graph) == [{"a": {"b"}, "b": {"c"}, "c": {"a"}}]


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circles(import_graph()) == []


#: What a client, or what it returns, is called in the rooms of front ends.
CLIENTS = {"client", "_client", "mec", "pending", "_pending"}


def test_front_ends_use_nothing_private_of_a_client() -> None:
    private = [
        f"{short(path)}:{node.lineno} uses {node.attr}, which client/access.py should offer"
        for path in MODULES
        if folder(path) in ("notebook", "cli", "display", "server")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and re.match(r"_\w*[^_]$", node.attr)
        and getattr(node.value, "id", getattr(node.value, "attr", "")) in CLIENTS
        and node.attr not in CLIENTS
    ]
    assert not private


def test_the_alias_for_a_dict_of_json_is_declared_once() -> None:
    declared = re.compile(r"^JsonDict\b.*=", re.MULTILINE)
    assert [short(path) for path in MODULES if declared.search(path.read_text("utf-8"))] == [
        "wire/messages/__init__.py"
    ]


#: The rooms whose code routes the user's objects as opaque bytes.
CONTROLLERS = ("controller", "node", "head")

UNPICKLERS = re.compile(
    r"(pickle|_pickle|cloudpickle|dill|marshal|shelve)(\.|$)|kernelfleet\.(wire\.objects\.serialize|errors\.composite)"
)


def test_the_controller_and_the_codec_never_unpickle() -> None:
    wrong = [
        f"{short(path)}:{line}: {name}"
        for path in MODULES
        if folder(path) in CONTROLLERS or short(path) == "wire/codec.py"
        for line, name in imports(path)
        if UNPICKLERS.match(name)
    ]
    assert not wrong


def test_a_controller_process_never_loads_what_unpickles() -> None:
    controller = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in MODULES
        if folder(path) in CONTROLLERS and path.name != "__main__.py"
    ]
    assert modules_loaded_by(*controller, "kernelfleet.wire.codec").isdisjoint(
        {"cloudpickle", "kernelfleet.wire.objects.serialize", "kernelfleet.errors.composite"}
    )


def test_an_engine_loads_nothing_of_client_and_controller() -> None:
    engine = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in MODULES
        if folder(path) == "engine" and path.name != "__main__.py"
    ]
    others = ("client", "controller", "cli", "notebook", "server", "provisioners")
    assert not [
        name
        for name in modules_loaded_by(*engine)
        if name.startswith(tuple(f"kernelfleet.{other}" for other in others))
    ]


def modules_loaded_by(*names: str) -> set[str]:
    """What is in ``sys.modules`` after a fresh interpreter has imported these modules."""
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
    code += "print(*sys.modules)"
    command = [sys.executable, "-c", code, *names]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return set(run.stdout.split())


def test_no_file_is_too_long() -> None:
    lines = {short(path): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert {path: count for path, count in lines.items() if count > MAX_FILE_LINES} == {}


def test_no_function_is_too_long() -> None:
    long = [
        f"{short(path)}:{node.lineno} {node.name} has {lines} lines"
        for path in MODULES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert not long


def test_every_module_says_what_it_is() -> None:
    assert [short(path) for path in MODULES if not ast.get_docstring(tree(path))] == []


def test_no_module_is_a_drawer_for_leftovers() -> None:
    drawers = {"util.py", "utils.py", "helpers.py", "common.py", "misc.py"}
    assert not [short(path) for path in MODULES if path.name in drawers]


def test_every_module_has_a_test_file_of_its_name() -> None:
    tests = {
        short(path): ROOT / "tests" / Path(short(path)).with_name(f"test_{path.stem}.py")
        for path in MODULES
        if short(path) not in NO_TEST_FILE and has_code(path)
    }
    assert [path for path, test in tests.items() if not test.exists()] == []


def has_code(path: Path) -> bool:
    """Whether the file holds more than its docstring."""
    return len(tree(path).body) > 1


def test_every_exception_to_these_rules_is_needed() -> None:
    existing = {short(path) for path in MODULES}
    assert set(NO_TEST_FILE) <= existing
    assert existing >= MAY_START_A_CONTROLLER | MAY_ASK_THE_DISPLAY


# written in pieces, or this file would be the one that is found
ONE_MACHINE = re.compile(
    "/(?:ho" + "me|Us" + "ers)/[a-z]+/|/ro" + "ot/|/wo" + "rk/|/op" + "t/[a-z]"
)
TEXT = {
    ".py",
    ".md",
    ".toml",
    ".txt",
    ".cfg",
    ".ini",
    ".json",
    ".yml",
    ".yaml",
    ".ipynb",
    ".sh",
    "",
}


def repository_files() -> list[Path]:
    skipped = {".git", "dist", "build", "__pycache__", "node_modules"}
    return [
        path
        for path in sorted(ROOT.rglob("*"))
        if path.is_file()
        and path.suffix in TEXT
        and not any(
            part in skipped
            or part.startswith((".venv", ".hypothesis", ".coverage"))
            or part.endswith("_cache")
            for part in path.relative_to(ROOT).parts
        )
    ]


def test_no_file_names_a_place_on_one_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in repository_files()
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
        if ONE_MACHINE.search(line)
    ]
    assert not found
