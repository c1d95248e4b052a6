"""An interpreter without kernelfleet and cloudpickle, for what is sent to other kernels."""

from __future__ import annotations

import json
import subprocess
import sys

from kernelfleet.controller.engines.bootstrap import _ROOMS, _texts


def python(code: str) -> str:
    """What an interpreter prints that has neither kernelfleet nor cloudpickle."""
    texts = {
        **_texts("kernelfleet", _ROOMS),
        **_texts("cloudpickle", (".",)),
    }
    prelude = """
import json, sys, types
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("kernelfleet", "cloudpickle"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
texts = json.load(sys.stdin)
def module(name):
    made = types.ModuleType(name)
    exec(compile(texts["kernelfleet.engine." + name][1], "<" + name + ">", "exec"), vars(made))
    return made
portable, provided = module("portable"), module("provided")
sources = {n: (p.endswith("__init__.py"), "/<kernelfleet>/" + p, t) for n, (p, t) in texts.items()}
"""
    done = subprocess.run(
        [sys.executable, "-c", prelude + code], input=json.dumps(texts), capture_output=True,
        text=True, check=True, timeout=60,
    )  # fmt: skip
    return done.stdout.strip()
