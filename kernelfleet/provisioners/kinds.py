"""What tells one fork server from another: what is read or loaded before it forks.

Whatever is read when an interpreter starts is the same for all children of one fork server.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Modules a kernelfleet engine loads until its first command has run.
ENGINE_MODULES = ("kernelfleet.engine.app", "kernelfleet.engine.preload")

#: Variables that are read when an interpreter, its C library or its memory starts up.
_START_UP_PREFIXES = (
    "PYTHON", "LD_", "MALLOC_", "GLIBC_", "ASAN_", "LC_", "LANG", "OPENSSL_",
)  # fmt: skip
#: And those that numpy and its kin read when they are loaded.
_PRELOAD_PREFIXES = (
    "OMP_", "GOMP_", "KMP_", "OPENBLAS_", "MKL_", "BLIS_", "NUMEXPR_", "VECLIB_", "NPY_",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """What tells one fork server from another."""

    #: What the kernel loads itself.
    modules: tuple[str, ...]
    #: The variables whose value has effect only before the fork.
    variables: tuple[tuple[str, str], ...]
    #: Modules that the user wants loaded; they may lie in his folder.
    preload: tuple[str, ...] = ()


def kind_of(preload: Sequence[str], env: Mapping[str, str]) -> Kind:
    """Which fork server serves kernels with this preload and environment."""
    prefixes = _START_UP_PREFIXES + (_PRELOAD_PREFIXES if preload else ())
    variables = tuple(sorted(item for item in env.items() if item[0].startswith(prefixes)))
    return Kind(ENGINE_MODULES, variables, tuple(preload))


def environment_of(kind: Kind) -> dict[str, str]:
    """Our own, but for what this kind starts with; a kernel's other variables come with it."""
    prefixes = _START_UP_PREFIXES + (_PRELOAD_PREFIXES if kind.preload else ())
    ours = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    # ipykernel 7.4 reads this when it is imported, and ends with that process
    ours.pop("JPY_PARENT_PID", None)
    return {**ours, **dict(kind.variables)}
