"""Modules that a test has imported are imported anew by the next one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from kernelfleet.wire.objects.loads import Loads


@contextmanager
def forgetting_modules() -> Iterator[None]:
    """Forget the modules ``kf_...`` that are imported meanwhile."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("kf_"):
            del sys.modules[name]
            Loads.seen.pop(name, None)
