"""What stays in a notebook: cells executed by nbclient, in a kernel and a fleet of its own.

nbclient has nobody at it, so nothing that is shown only for a while may be left behind.
"""

# mypy: allow-untyped-calls
# nbformat's functions are untyped

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow

Execute = Callable[..., list[Any]]

START = ("%load_ext kernelfleet", "%fleet start -n 2")


@pytest.fixture(scope="module")
def notebook() -> Iterator[NotebookClient]:
    """A notebook that goes on for the whole module, with two engines."""
    notebook = nbformat.v4.new_notebook()
    client = NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=True)
    with client.setup_kernel():
        execute_in(client, *START)
        yield client


def execute_in(client: NotebookClient, *sources: str) -> list[Any]:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    for cell in cells:
        client.nb.cells.append(cell)
        client.execute_cell(cell, len(client.nb.cells) - 1)
    return cells


@pytest.fixture
def go_on(notebook: NotebookClient) -> Execute:
    """Execute more cells, on engines without a past."""

    def go_on(*sources: str) -> list[Any]:
        return execute_in(notebook, "mec.reset()", *sources)[1:]

    return go_on


def texts(cell: Any) -> list[str]:
    """The text of each output of a cell."""
    shown = []
    for output in cell.outputs:
        if output.output_type == "error":
            shown.append("\n".join(output.traceback))
        else:
            shown.append(output.text if "text" in output else output.data["text/plain"])
    return shown


def test_from_an_empty_notebook_to_parallel_work_in_two_lines(execute: Execute) -> None:
    load, start, px, named = execute(*START, "%%px\nengine_id", "mec")
    assert load.outputs == []
    (said,) = texts(start)
    assert said.startswith("2 engines ready after ")
    assert "`mec`" in said
    assert "It ends with this notebook's kernel" in said
    assert texts(px) == ["[0] Out[1]: 0\n[1] Out[1]: 1"]
    assert "<table" in named.outputs[0].data["text/html"]
    assert named.outputs[0].data["text/plain"].startswith("<MultiEngineClient of fleet")


def test_live_lines_are_replaced_by_the_final_form(go_on: Execute) -> None:
    loop = "import time\nfor i in range(5):\n    print('tick', i)\n    time.sleep(0.2)"
    *_, px, line = go_on(f"%%px\n{loop}", "%px print('once'); time.sleep(0.7)")
    assert texts(px) == ["\n".join(f"[0-1] tick {i}" for i in range(5))]
    said, result = texts(line)
    assert said == "Parallel execution on engines: all\n"
    assert result.count("once") == 4  # in the code and in the output, of two engines


def test_output_of_what_nobody_waits_for_stands_under_the_cell_that_started_it(
    go_on: Execute,
) -> None:
    loop = "import time\nfor i in range(5):\n    print('tick', i)\n    time.sleep(0.1)"
    wait = "r = pr.r\nimport threading\n"
    wait += "for t in threading.enumerate():\n    if t.name == 'kernelfleet-view': t.join()"
    *_, px, later, waited = go_on(f"%%px --noblock --out pr\n{loop}", "print('later')", wait)
    assert texts(px) == ["\n".join(f"[0-1] tick {i}" for i in range(5))]
    assert texts(later) == ["later\n"]
    assert texts(waited) == []


def test_a_map_and_an_apply_leave_what_was_put_out_under_their_cell(go_on: Execute) -> None:
    define, mapped, applied, quiet = go_on(
        "def show(x):\n    import warnings\n    from IPython.display import HTML, display\n"
        "    print('printed', x)\n    warnings.warn(f'careful {x}')\n"
        "    display(HTML(f'<b>{x}</b>'))",
        "r = mec.map(show, [1], targets=0)",
        "r = mec.apply(show, 2)",
        "r = mec.map(abs, range(100))",
    )
    assert texts(define) == texts(quiet) == []
    for cell, who, x in ((mapped, "0", 1), (applied, "0-1", 2)):
        shown = "\n".join(texts(cell))
        assert f"[{who}] printed {x}" in shown
        assert f"[{who} stderr]" in shown
        assert f"UserWarning: careful {x}" in shown
        html = [output.data.get("text/html") for output in cell.outputs]
        assert f"<b>{x}</b>" in html


def test_pictures_stand_in_a_grid_and_tables_below_their_label(go_on: Execute) -> None:
    pytest.importorskip("matplotlib")
    plot = "import matplotlib.pyplot as plt\nplt.figure(figsize=(1, 1))\nplt.plot([0, engine_id]);"
    table = "from IPython.display import HTML\nHTML('<b>bold</b>')"
    *_, figures, html = go_on(f"%%px\n{plot}", f"%%px\n{table}")
    (grid,) = figures.outputs
    assert grid.data["text/html"].count("<img") == 2
    assert "[0]</figcaption>" in grid.data["text/html"]
    label, shown = html.outputs
    assert label.data["text/plain"] == "[0-1] Out[2]:"
    assert shown.data["text/html"] == "<b>bold</b>"
    assert shown.metadata["engines"] == [0, 1]


def test_errors_are_proper_error_outputs_also_without_the_extension(execute: Execute) -> None:
    made = "from kernelfleet import Fleet\nmec = Fleet(2).start()"
    _, failing, caught = execute(
        made,
        "mec.execute('1/0')",
        "try:\n    mec.execute('1/0')\n"
        "except* ZeroDivisionError as group:\n    print(type(group).__name__)",
    )
    (error,) = failing.outputs
    assert error.output_type == "error"
    assert error.ename == "CompositeError"
    text = "\n".join(error.traceback)
    assert "\x1b[" in text
    assert text.count("[0-1:execute]: ZeroDivisionError") == 1
    assert "mec.execute" in text
    assert texts(caught) == ["CompositeError\n"]


def test_updates_clearing_progress_bars_and_widgets_leave_their_last_state(
    go_on: Execute,
) -> None:
    code = """%%px
from IPython.display import clear_output, display
import sys
print('gone')
clear_output()
handle = display('first', display_id=True)
handle.update('second')
for i in range(1000):
    sys.stderr.write(f'\\r{i}')
display({'application/vnd.jupyter.widget-view+json': {'model_id': 'x'}, 'text/plain': 'Slider()'},
        raw=True)
"""
    *_, px = go_on(code)
    assert texts(px) == [
        "[0-1] 'second'\n[0-1 stderr] 999\n[0-1] Slider()\n"
        "(widgets of engines are shown as text here: they are not live)"
    ]


def test_a_bar_that_is_a_widget_is_shown_as_it_is_in_the_end(go_on: Execute) -> None:
    pytest.importorskip("ipywidgets")
    *_, px = go_on("%%px -t 0\nfrom tqdm.notebook import tqdm\nfor _ in tqdm(range(20)): pass")
    (text,) = texts(px)
    assert text.startswith("[0] 100%|██████████| 20/20 [")


def test_no_display_of_a_notebook_is_empty(go_on: Execute) -> None:
    quiet = "import time; time.sleep(1.3)"
    cells = go_on(
        f"%%px\n{quiet}", f"%%px --noblock --out pr\n{quiet}", "pr.r", f"mec.execute({quiet!r});",
        f"%px {quiet}", "mec.map('lambda x: __import__(\"time\").sleep(0.4)', range(8)) and None",
        "import threading\n"
        "for t in threading.enumerate():\n    if t.name == 'kernelfleet-view': t.join()",
    )  # fmt: skip
    shown = [text for cell in cells for text in texts(cell)]
    assert "" not in shown
    assert "execute: 2 of 2 engines done after 1 s" in shown  # what nobody waited for


CLEARS = """%%px
import time
from IPython.display import clear_output
for i in range(8):
    clear_output(wait=True)
    print('frame', i, flush=True)
    time.sleep(0.1)
"""


def test_a_loop_that_clears_its_output_leaves_its_last_frame(go_on: Execute) -> None:
    code = CLEARS.partition("\n")[2]
    *_, cell, line = go_on(CLEARS, f"mec.execute({code!r})")
    assert texts(cell) == ["[0-1] frame 7"]
    shown = line.outputs[-1].data
    for text in (shown["text/html"], shown["text/plain"]):
        assert "frame 7" in text
        assert "frame 3" not in text


def test_a_long_output_is_bounded_in_the_notebook_and_whole_in_the_result(
    go_on: Execute,
) -> None:
    *_, px, size = go_on(
        "%%px --out r\nfor i in range(100_000): print(i)", "[len(t) for t in r.stdout]"
    )
    (text,) = texts(px)
    assert len(text) < 20_000
    assert text.startswith("[0-1] 0\n")
    assert text.endswith("[0-1] 99999")
    assert texts(size) == ["[588890, 588890]"]


def test_a_long_result_is_bounded_as_text_and_as_html(go_on: Execute) -> None:
    *_, px = go_on("%px for i in range(100_000): print(i)")
    shown = px.outputs[-1].data
    assert shown["text/plain"].startswith("<Results List>\n[0] In [1]: for i in range(100_000)")
    assert "lines left out here" in shown["text/plain"]
    assert len(shown["text/plain"]) + len(shown["text/html"]) < 50_000


def test_a_long_call_leaves_no_bar_behind(go_on: Execute) -> None:
    *_, cell = go_on("mec.execute('import time; time.sleep(1.3)');")
    assert texts(cell) == []


def test_completion_and_tooltips_are_answered_by_an_engine(go_on: Execute) -> None:
    ask = """
kernel = get_ipython().kernel
cell = '%%px -t 1\\nonly_the'
print(kernel.do_complete(cell, len(cell))['matches'])
cell = '%%px\\nonly_there'
print(kernel.do_inspect(cell, len(cell))['data']['text/plain'].splitlines()[1])
print(kernel.do_inspect('only_there', 10)['found'])
"""
    *_, asked = go_on("%px only_there = 3.5", ask)
    said = "".join(texts(asked)).splitlines()
    assert said[0] == "['only_there']"
    assert "3.5" in said[1]
    assert said[2] == "False"


def test_autopx_in_a_notebook_runs_cells_on_engines_and_silent_ones_here(
    go_on: Execute,
) -> None:
    *_, on, auto, off, here = go_on(
        "%autopx", "x = engine_id\nprint(x)", "%autopx", "'x' in globals(), mec['x']"
    )
    assert texts(on) == ["Auto Parallel Enabled\nType %autopx to disable\n"]
    assert "[1] Out[1]: 1" in texts(auto)[0]
    assert texts(off) == ["Auto Parallel Disabled\n"]
    assert texts(here) == ["(False, [0, 1])"]
