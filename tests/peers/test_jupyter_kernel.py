"""jupyter_kernel_test: an engine is a Jupyter kernel like any other.

Run it with ``pytest -m peers tests/peers``. jupyter_kernel_test 0.7.0: 12 passed.
"""

# mypy: ignore-errors
# It has no types, and is not installed everywhere.

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.peers

jupyter_kernel_test = pytest.importorskip("jupyter_kernel_test")

NAME = "kernelfleet-engine-test"


@pytest.fixture(scope="module", autouse=True)
def _kernelspec(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A kernelspec of an engine, for this module."""
    folder = tmp_path_factory.mktemp("jupyter")
    spec = folder / "kernels" / NAME / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [sys.executable, "-m", "kernelfleet.engine", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "engine", "language": "python"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "JUPYTER_PATH", os.pathsep.join([str(folder), os.environ.get("JUPYTER_PATH", "")])
        )
        yield


class TestEngine(jupyter_kernel_test.KernelTests):
    """All that the suite asks of a Python kernel."""

    kernel_name = NAME
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples = [{"text": "zi", "matches": {"zip"}}]  # noqa: RUF012 (the suite's)
    complete_code_samples = ["1", "print('hello, world')", "def f(x):\n  return x*2\n\n\n"]  # noqa: RUF012
    incomplete_code_samples = ["print('''hello", "def f(x):\n  x*2"]  # noqa: RUF012
    invalid_code_samples = ["import = 7q"]  # noqa: RUF012
    code_page_something = "zip?"
    code_generate_error = "raise ValueError('no')"
    code_execute_result = [{"code": "1+2+3", "result": "6"}]  # noqa: RUF012
    code_display_data = [  # noqa: RUF012
        {
            "code": "from IPython.display import HTML, display; display(HTML('<b>x</b>'))",
            "mime": "text/html",
        }
    ]
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"
