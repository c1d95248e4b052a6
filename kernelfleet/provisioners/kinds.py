"""Kinds of fork servers, which differ in what is read or loaded before the fork.

All children of a fork server share what an interpreter reads when it starts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernelfleet.wire.launcher_variables import without_rank

#: The module of an engine, and the name of a function in it. The first loads the modules of
#: kernelfleet's engines; the second, once all is loaded, makes what they can share.
LOAD_ENGINE = ("kernelfleet.engine.prebuilt", "load")
BUILD_ENGINE = ("kernelfleet.engine.prebuilt", "build")
#: What comes between them: what is loaded by then is not counted in the children.
MAKE_IMMORTAL = ("kernelfleet.provisioners.immortal", "make_immortal")
#: The same for what the user has preloaded.
MAKE_PRELOAD_IMMORTAL = ("kernelfleet.provisioners.immortal", "make_preload_immortal")
#: The same for a script of the user's, whose path is the argument.
RUN_SCRIPT = ("kernelfleet.engine.running.preloaded", "run")
#: Where IPython 9.18 looks for configuration and start-up files of all users.
_IPYTHON_DIRECTORIES = (
    os.path.join(sys.prefix, "etc", "ipython"), "/usr/local/etc/ipython", "/etc/ipython",
)  # fmt: skip

#: Variables that are read when an interpreter, its C library or its memory starts up.
_START_UP_PREFIXES = (
    "PYTHON", "LD_", "MALLOC_", "GLIBC_", "ASAN_", "LC_", "LANG", "OPENSSL_",
)  # fmt: skip
#: Variables that numpy and similar packages read when they are loaded.
_PRELOAD_PREFIXES = (
    "OMP_", "GOMP_", "KMP_", "OPENBLAS_", "MKL_", "BLIS_", "NUMEXPR_", "VECLIB_", "NPY_",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """The properties in which fork servers differ."""

    #: What the kernel itself needs: functions of modules.
    modules: tuple[tuple[str, str], ...]
    #: Variables of the environment that have an effect only before the fork.
    variables: tuple[tuple[str, str], ...]
    #: Modules that the user wants preloaded, which may be in the working directory, and the paths
    #: of scripts that are run.
    preload: tuple[str, ...] = ()
    #: What the kernel needs, for when all is loaded.
    prepare: tuple[tuple[str, str], ...] = ()

    @property
    def scripts(self) -> list[str]:
        """The scripts among what is preloaded: only a forked engine has what they have made."""
        return [name for name in self.preload if name.endswith(".py")]

    @property
    def preload_items(self) -> list[Any]:
        """What is preloaded, as ``zygote.py`` takes it."""
        scripts = self.scripts
        return [[*RUN_SCRIPT, name] if name in scripts else name for name in self.preload]


def kind_of(preload: Sequence[str], env: Mapping[str, str]) -> Kind:
    """The kind of fork server for kernels with this preload and environment."""
    prefixes = _START_UP_PREFIXES + (_PRELOAD_PREFIXES if preload else ())
    variables = tuple(sorted(item for item in env.items() if item[0].startswith(prefixes)))
    # The code of the configuration is run by each engine, which so makes its shell itself.
    prepare = () if _configured(env) else (BUILD_ENGINE,)
    prepare = (MAKE_PRELOAD_IMMORTAL, *prepare) if preload else prepare
    return Kind((LOAD_ENGINE, MAKE_IMMORTAL), variables, tuple(preload), prepare)


def _configured(env: Mapping[str, str]) -> bool:
    """Whether IPython runs code of the user's, or of the machine's administrator, at its start."""
    return "PYTHONSTARTUP" in env or any(map(_has_entries, _IPYTHON_DIRECTORIES))


def _has_entries(directory: str) -> bool:
    try:
        return bool(os.listdir(directory))
    except OSError:
        return False


def environment_of(kind: Kind) -> dict[str, str]:
    """The environment of a fork server; a kernel's other variables are set after the fork."""
    prefixes = _START_UP_PREFIXES + (_PRELOAD_PREFIXES if kind.preload else ())
    # A preloaded library of MPI must not take the fork server for a rank.
    inherited = without_rank(os.environ)
    ours = {name: value for name, value in inherited.items() if not name.startswith(prefixes)}
    # ipykernel 7.4 reads it at import, and would then end with that process.
    ours.pop("JPY_PARENT_PID", None)
    return {**ours, **dict(kind.variables)}
