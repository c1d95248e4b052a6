"""tqdm on engines: one line of text per bar."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kernelfleet import MultiEngineClient

BAR = "from tqdm.auto import tqdm, trange\nfor _ in tqdm(trange(7)): pass"


@pytest.mark.parametrize("transport", ["embedded"])
def test_a_bar_of_tqdm_auto_is_text_and_ends_at_100_percent(mec: MultiEngineClient) -> None:
    (result,) = mec.execute(BAR, targets=0)
    assert "100%" in result.stderr.rpartition("\r")[2]
    assert [output["output_type"] for output in result.outputs] == ["stream"]


def test_nothing_of_tqdm_is_imported_before_somebody_wants_it() -> None:
    code = (
        "import sys; from kernelfleet.engine.output import bars; bars.show_as_text()\n"
        "assert not [name for name in sys.modules if name.startswith('tqdm') "
        "and name != 'tqdm.autonotebook']\n"
        "import tqdm.auto, tqdm.asyncio; assert tqdm.auto.tqdm is tqdm.asyncio.tqdm_asyncio\n"
        "try: sys.modules['tqdm.autonotebook'].other\n"
        "except AttributeError: print('fine')"
    )
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == "fine\n"
