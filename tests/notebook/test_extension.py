"""Loading, activating, unloading: what a shell has of kernelfleet, and when."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from kernelfleet import FleetError, MultiEngineClient
from kernelfleet.client.settings import settings
from tests.notebook.conftest import Shell


def test_loading_prints_nothing_and_brings_the_magics(bare: Shell) -> None:
    assert bare.run("%load_ext kernelfleet") == ""
    magics = bare.ip.magics_manager.magics
    assert {"px", "result", "autopx", "fleet", "pxpeek", "pxdebug"} <= set(magics["line"])
    assert "px" in magics["cell"]


def test_unloading_takes_them_away_and_leaves_the_client(shell: Shell) -> None:
    shell["mec"].view([0]).activate(suffix="x", shell=shell.ip)
    shell.run("%load_ext kernelfleet")
    shell.run("%autopx")
    shell.run("%unload_ext kernelfleet")
    magics = shell.ip.magics_manager.magics
    assert not [name for kind in magics.values() for name in kind if "px" in name]
    shell.run("a = 1")
    assert shell["a"] == 1
    assert shell["mec"].execute("1").values() == [1] * 4


def test_the_last_activated_client_has_the_magics(
    shell: Shell, connect: Callable[[], MultiEngineClient]
) -> None:
    other = connect()
    other.targets = 3
    shell.ip.push({"other": other})
    shell.run("other.activate()")
    shell.run("%px x = 1")
    assert other.keys("all") == [[], [], [], ["x"]]


def test_activating_needs_a_shell(mec: MultiEngineClient) -> None:
    with pytest.raises(FleetError, match="none is running here"):
        mec.activate()


def test_progress_is_a_setting(shell: Shell, mec: MultiEngineClient) -> None:
    try:
        shell.run("%config KernelFleet.progress = False")
        assert mec.progress is False
        mec.progress = True
        assert mec.progress is True
    finally:
        settings.progress = True


def test_a_client_in_a_plain_script_loads_nothing_of_ipython() -> None:
    code = (
        "import sys, kernelfleet\n"
        "with kernelfleet.Fleet(1) as mec: mec.execute('1')\n"
        "unwanted = ('IPython', 'kernelfleet.notebook', 'tqdm')\n"
        "print(*[name for name in sys.modules if name.startswith(unwanted)])"
    )
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert (run.stdout.strip(), run.stderr) == ("", "")


@pytest.mark.parametrize("first", ["joblib", "kernelfleet"])
def test_joblib_knows_the_backend_whichever_was_first_and_is_not_imported_for_it(
    first: str,
) -> None:
    pytest.importorskip("joblib")
    code = (
        "import sys\nfrom IPython.testing.globalipapp import start_ipython\n"
        "ip = start_ipython()\n"
        f"{'import joblib' if first == 'joblib' else ''}\n"
        "ip.run_line_magic('load_ext', 'kernelfleet')\n"
        "assert ('joblib' in sys.modules) == (%r == 'joblib')\n"
        "import joblib.parallel\n"
        "assert 'kernelfleet' in joblib.parallel.BACKENDS\n"
    ) % first
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
