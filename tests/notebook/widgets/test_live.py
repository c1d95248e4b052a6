"""Widgets of engines in a real kernel, with a page that speaks comm messages (``page.py``)."""

# mypy: allow-untyped-calls
# jupyter_client's functions are untyped

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from jupyter_client.manager import KernelManager

from kernelfleet.notebook.widgets.as_text import NOT_LIVE
from tests.notebook.widgets.page import VIEW, Cell, Page

pytestmark = pytest.mark.slow
pytest.importorskip("ipywidgets")

Home = Callable[[], Page]


@contextmanager
def a_kernel() -> Iterator[KernelManager]:
    kernel = KernelManager(kernel_name="python3")
    kernel.start_kernel()
    try:
        yield kernel
    finally:
        kernel.shutdown_kernel(now=True)


@contextmanager
def a_page(*cells: str) -> Iterator[Page]:
    """A page on a kernel of its own, after these cells."""
    with a_kernel() as kernel:
        page = Page(kernel)
        try:
            for cell in ("%load_ext kernelfleet", *cells):
                page.run(cell)
            yield page
        finally:
            page.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Page]:
    with a_page("%fleet start -n 2") as page:
        yield page


@pytest.fixture
def page(shared: Page) -> Iterator[Page]:
    """A page with two engines that know ipywidgets as ``w``."""
    shared.complaints.clear()
    shared.run("mec.reset(); mec.execute('import time, ipywidgets as w')")
    yield shared
    shared.take_what_comes()
    assert shared.complaints == []


def values(page: Page, expression: str) -> list[object]:
    """What an expression is on each engine."""
    shown = page.run(f"print([r.value for r in mec.execute({expression!r})])").text
    found: list[object] = ast.literal_eval(shown.strip().splitlines()[-1])
    return found


SLIDERS = "%%px\ns = w.IntSlider(value=engine_id)\ndisplay(s)\nprint('hello')"


def test_a_slider_of_each_engine_in_a_tab_and_moving_one_changes_its_engine(page: Page) -> None:
    cell = page.run(SLIDERS)
    first, second = page.find(cell, "IntSlider")
    (tabs,) = page.find(cell, "Tab")
    assert page.models[tabs]["titles"] == ["engine 0", "engine 1"]
    assert cell.text.splitlines() == [
        "[0] IntSlider(value=0)", "[1] IntSlider(value=1)", NOT_LIVE, "[0-1] hello",
    ]  # fmt: skip
    page.set(second, value=42)
    page.wait(lambda: values(page, "s.value") == [0, 42])
    page.run("mec.execute('s.value = 7', targets=0)")
    page.wait(lambda: page.models[first]["value"] == 7)
    assert page.models[second]["value"] == 42


def test_the_widgets_of_a_single_engine_need_no_tab(page: Page) -> None:
    for code in (
        "%%px -t 1\nw.IntSlider()", "mec.execute('w.IntSlider()', targets=1);",
        "mec.apply(lambda: display(w.IntSlider()), targets=1);", "%px w.IntSlider()",
    ):  # fmt: skip
        page.run("%px from IPython.display import display")
        cell = page.run(code)
        count = 2 if code.startswith("%px ") else 1
        assert len(page.find(cell, "IntSlider")) == count
        assert len(page.find(cell, "Tab")) == count - 1


def test_autopx_shows_them_as_well(page: Page) -> None:
    page.run("%autopx")
    cell = page.run("w.IntSlider()")
    page.run("%autopx")
    assert len(page.find(cell, "IntSlider")) == 2


def test_what_a_callback_prints_and_its_error_stand_below_its_widget(page: Page) -> None:
    cell = page.run(
        "%%px\nb = w.Button()\ndef clicked(_):\n    print('clicked', engine_id)\n    1/0\n"
        "b.on_click(clicked)\nb"
    )
    _, second = page.find(cell, "Button")
    assert page.find(cell, "Output") == []
    page.click(second)
    page.wait(lambda: bool(page.find(cell, "Output")))
    (notes,) = page.find(cell, "Output")
    page.wait(lambda: "ZeroDivisionError" in page.printed(notes))
    assert page.printed(notes).startswith("clicked 1\n")


def test_a_callback_is_work_of_its_engine_and_can_be_interrupted(page: Page) -> None:
    cell = page.run(
        "%%px -t 0\nb = w.Button()\nb.on_click(lambda _: (print('begins'), time.sleep(600)))\nb"
    )
    page.click(page.find(cell, "Button")[0])
    page.wait(lambda: bool(page.find(cell, "Output")))
    notes = page.find(cell, "Output")[0]
    page.wait(lambda: page.printed(notes) == "begins\n")
    assert "a widget's callback" in page.run("print(mec.queue_status())").text
    page.run("mec.interrupt(targets=0)")
    page.wait(lambda: "KeyboardInterrupt" in page.printed(notes))


def test_a_slider_moved_while_its_engine_is_busy_counts_before_what_waits(page: Page) -> None:
    cell = page.run("%%px -t 0\nseen = []\ns = w.IntSlider()\n"
                    "s.observe(lambda c: seen.append(c.new), 'value')\ns")  # fmt: skip
    (slider,) = page.find(cell, "IntSlider")
    page.run("busy = mec.execute('import threading; go = threading.Event(); go.wait(60)', "
             "targets=0, block=False)")  # fmt: skip
    page.run("later = mec.execute('(s.value, seen)', targets=0, block=False)")
    for value in range(1, 51):
        page.set(slider, value=value)
    page.run("import time\nwhile 'callback' not in repr(mec.queue_status()): time.sleep(0.01)")
    page.run("mec.interrupt(targets=0)")  # (clears `later`, and no message of a widget)
    page.wait(lambda: page.models[slider]["value"] == 50)
    page.wait(lambda: values(page, "globals().get('s') and s.value")[0] == 50)
    seen = values(page, "globals().get('seen')")[0]
    assert isinstance(seen, list)
    assert seen[-1] == 50
    assert len(seen) < 10  # they were merged while nobody could take them


def test_an_output_widget_captures_and_the_result_does_not_have_it(page: Page) -> None:
    cell = page.run(
        "%%px --out r\nout = w.Output()\ndisplay(out)\nwith out:\n"
        "    for i in range(500):\n        print(i)\nprint('outside')"
    )
    outputs = page.find(cell, "Output")
    assert len(outputs) == 2
    text = "".join(f"{i}\n" for i in range(500))
    page.wait(lambda: all(page.printed(each) == text for each in outputs))
    assert page.run("print(r.stdout)").text.strip() == repr(["outside\n", "outside\n"])
    page.wait(lambda: values(page, "len(out.outputs)") == [1, 1])
    page.run("%px out.append_stdout('more')")
    page.wait(lambda: all(page.printed(each) == f"{text}more" for each in outputs))
    page.run("%%px\nwith out:\n    display(w.IntSlider())")
    page.wait(lambda: all(VIEW in repr(page.models[each]["outputs"]) for each in outputs))
    page.run("%px out.clear_output()")
    page.wait(lambda: all(page.models[each]["outputs"] == [] for each in outputs))


def test_interact_calls_its_function_on_the_engine_whose_slider_moves(page: Page) -> None:
    cell = page.run("%%px\n@w.interact(x=(0, 10))\ndef f(x): print('x is', x, engine_id)")
    outputs, sliders = page.find(cell, "Output"), page.find(cell, "IntSlider")
    page.wait(lambda: [page.printed(each) for each in outputs] == ["x is 5 0\n", "x is 5 1\n"])
    page.set(sliders[1], value=7)
    page.wait(lambda: [page.printed(each) for each in outputs] == ["x is 5 0\n", "x is 7 1\n"])


def test_a_progress_bar_moves_and_is_text_in_the_end(page: Page) -> None:
    page.run("%px from tqdm.notebook import tqdm")
    cell = page.start("%%px\nfor _ in tqdm(range(20)):\n    time.sleep(0.05)")
    page.wait(lambda: bool(page.find(cell, "FloatProgress")))
    bar = page.find(cell, "FloatProgress")[0]
    page.wait(lambda: 0 < page.models[bar]["value"] < 20, "a bar on its way")
    page.wait(lambda: cell.is_done)
    assert cell.views == []
    lines = [line for line in cell.text.splitlines() if line.startswith("[")]
    assert lines
    assert all("100%|██████████| 20/20 [" in line for line in lines)


def test_a_bar_that_a_thread_moves_after_the_call_becomes_text_when_it_is_over(page: Page) -> None:
    cell = page.run(
        "%%px -t 0\nimport threading\nbar = w.IntProgress(max=5)\ngo = threading.Event()\n"
        "def work():\n    go.wait()\n    for i in range(6):\n        bar.value = i\n"
        "threading.Thread(target=work).start()\nbar"
    )
    assert page.models[page.find(cell, "IntProgress")[0]]["value"] == 0
    page.run("mec.execute('go.set()', targets=0)")
    page.wait(lambda: cell.text == "[0] |██████████|")


def test_a_flood_of_updates_is_merged_and_its_last_value_right(page: Page) -> None:
    cell = page.run("%%px\nlabel = w.Label()\nlabel")
    labels = page.find(cell, "Label")
    before = len(page.comm_messages)
    page.run("%px for i in range(3000): label.value = str(i)")
    page.wait(lambda: all(page.models[each]["value"] == "2999" for each in labels))
    assert len(page.comm_messages) - before < 1000


def test_a_page_that_is_loaded_again_has_all_widgets_while_engines_are_busy(page: Page) -> None:
    cell = page.run(SLIDERS)
    page.set(page.find(cell, "IntSlider")[0], value=33)
    page.wait(lambda: values(page, "s.value")[0] == 33)
    page.run("busy = mec.execute('time.sleep(600)', block=False)")
    states = page.reload()
    page.run("mec.interrupt()")
    view = cell.views[0]
    assert set(page.inside(view)) <= states.keys()
    assert states[page.find(cell, "IntSlider")[0]]["value"] == 33


def test_a_cell_that_is_not_waited_for_has_its_widgets_and_its_text(page: Page) -> None:
    cell = page.run("%%px --noblock --out pr\nprint('line')\ns = w.IntSlider()\ndisplay(s)")
    page.run("pr.r")
    page.wait(lambda: len(page.find(cell, "IntSlider")) == 2)
    page.wait(lambda: cell.text.endswith("\n[0-1] line"), "the final form")
    assert len(cell.outputs) == 1
    bars = page.run("%%px --noblock --out pr\nfrom tqdm.notebook import tqdm\n"
                    "for _ in tqdm(range(3)): pass\nprint('line')")  # fmt: skip
    page.run("pr.r")
    page.wait(lambda: "3/3" in bars.text and "[0-1] line" in bars.text)
    assert bars.views == []


def test_a_figure_of_ipympl_is_drawn_on_request_of_the_page(page: Page) -> None:
    pytest.importorskip("ipympl")
    page.run("%px %matplotlib widget")
    cell = page.run("%%px\nimport matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nplt.show()")
    canvases = page.find(cell, "MPLCanvas")
    assert len(canvases) == 2
    page.custom.clear()
    for kind in ("initialized", "send_image_mode", "refresh", "draw"):
        page.say(canvases[1], {"method": "custom", "content": {"type": kind}})

    def images() -> list[str]:
        return [comm_id for comm_id, data in page.custom if "binary" in repr(data)]

    page.wait(lambda: bool(images()), "an image")
    assert set(images()) == {canvases[1]}
    page.run("%px plt.close('all')")


def test_widgets_of_one_id_on_all_engines_are_several(page: Page) -> None:
    code = """%%px
from comm import create_comm
from IPython.display import display
state = {"_model_name": "LabelModel", "value": f"of {engine_id}"}
label = create_comm("jupyter.widget", comm_id="the same", data={"state": state})
view = {"application/vnd.jupyter.widget-view+json": {"model_id": "the same"}, "text/plain": "x"}
display(view, raw=True)
heard = []
label.on_msg(lambda msg: heard.append(msg["content"]["data"]["state"]["value"]))
"""
    cell = page.run(code)
    labels = page.find(cell, "Label")
    assert [page.models[each]["value"] for each in labels] == ["of 0", "of 1"]
    for each in labels:
        page.set(each, value=each)
    page.wait(lambda: values(page, "heard") == [[labels[0]], [labels[1]]])


def test_what_its_program_closes_goes(page: Page) -> None:
    cell = page.run("%%px\na, b = w.IntSlider(), w.IntText()\ndisplay(a, b)")
    page.run("%px a.close()")
    page.wait(lambda: page.find(cell, "IntSlider") == [])
    assert len(page.find(cell, "IntText")) == 2


def test_two_clients_of_a_fleet_in_one_kernel_have_one_bridge() -> None:
    made = "from kernelfleet import Fleet\nfleet = Fleet(2)\nmec = fleet.start()"
    with a_page(made, "other = fleet.client()\nother.activate('2')\nmec.activate()") as page:
        page.run("%px import ipywidgets as w")
        cell = page.run("%%px2\ns = w.IntSlider()\ndisplay(s)")
        sliders = page.find(cell, "IntSlider")
        assert len(sliders) == 2
        page.set(sliders[0], value=5)
        page.wait(lambda: values(page, "s.value")[0] == 5)
        assert page.find(page.run("%px display(s)"), "IntSlider") == sliders
        page.run("mec.close()")
        page.set(sliders[1], value=6)
        page.wait(lambda: "[5, 6]" in page.run("print(other['s.value'])").text)
        assert threads(page) == 1
        page.run("other.close()")
        page.wait(lambda: threads(page) == 0)
        assert page.complaints == []


def threads(page: Page) -> int:
    """How many threads of bridges there are in the notebook's kernel."""
    names = "[each.name for each in threading.enumerate()]"
    shown = page.run(f"import threading; print({names}.count('kernelfleet-widgets'))")
    return int(shown.text)


def test_a_restarted_engine_and_a_stopped_fleet_leave_a_text_and_no_thread() -> None:
    with a_page("%fleet start -n 2") as page:
        page.run("%px import ipywidgets as w")
        cell = page.run("%%px\ns = w.IntSlider()\ns")
        first, second = page.find(cell, "IntSlider")
        assert threads(page) == 1
        page.run("mec.restart(targets=1)")
        page.wait(lambda: second in page.closed)
        (html,) = page.find(cell, "HTML")
        page.wait(lambda: "live no more: it was restarted" in page.models[html]["value"])
        page.set(first, value=3)
        page.run("%fleet stop")
        page.wait(lambda: cell.views == [])
        assert cell.text.splitlines() == [
            "[0] IntSlider(value=0) (live no more: the fleet was stopped)",
            "[1] IntSlider(value=0) (live no more: it was restarted)",
        ]
        page.wait(lambda: threads(page) == 0)
        assert page.models == {}
        assert page.complaints == []


def test_a_fleet_that_stays_shows_its_widgets_to_the_next_kernel_and_to_two_at_once() -> None:
    name = "stays"
    with a_page(f"%fleet start -n 2 --daemon --name {name}") as first:
        try:
            first.run("%px import ipywidgets as w\n%px s = w.IntSlider(value=5)")
            mine = first.find(first.run("%px display(s)"), "IntSlider")
            first.set(mine[1], value=8)
            connect = f"%fleet connect {name}"
            with a_page(connect, connect) as second:
                cell = second.run("%px display(s)")
                theirs = second.find(cell, "IntSlider")
                second.wait(lambda: [second.models[e]["value"] for e in theirs] == [5, 8])
                second.set(theirs[0], value=9)
                first.wait(lambda: first.models[mine[0]]["value"] == 9)
                assert second.complaints == []
                second.run("mec.close()")
                second.wait(lambda: threads(second) == 0)
                assert "its client was closed" in cell.text
            first.set(mine[0], value=1)
            first.wait(lambda: values(first, "s.value") == [1, 8])
            assert first.complaints == []
        finally:
            first.run("%fleet stop")


def test_a_kernel_that_is_not_ours_shows_its_widgets_too() -> None:
    made = "from kernelfleet import Fleet\nmec = Fleet(1, kernel='python3').start()\nmec.activate()"
    with a_page(made) as page:
        page.run("%px import ipywidgets as w")
        cell: Cell = page.run("%%px\ns = w.IntSlider()\ns.observe(lambda c: print(c.new))\ns")
        (slider,) = page.find(cell, "IntSlider")
        page.set(slider, value=4)
        page.wait(lambda: values(page, "s.value") == [4])
        page.wait(lambda: bool(page.find(cell, "Output")))
        out = page.run("%%px\nout = w.Output()\ndisplay(out)\nwith out:\n    print('in')")
        (output,) = page.find(out, "Output")
        page.wait(lambda: page.printed(output) == "in\n")
        assert page.complaints == []
