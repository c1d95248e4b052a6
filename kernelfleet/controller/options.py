"""What a fleet is to be: the options of ``Fleet`` and ``kernelfleet start``, for the controller."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kernelfleet.controller.limits import make_limits

RESTART_POLICIES = ("never", "on-death")


@dataclass(frozen=True)
class HostOptions:
    """What a fleet is to be."""

    name: str
    kernels: list[str | None]
    environment: Callable[[int], Mapping[str, str]]
    #: Kept absolute: engines that start later are to find it, wherever this process goes.
    cwd: str | None = None
    on_start: str | None = None
    embedded: bool = False
    #: Start kernelfleet's own kernels by forking them from a warm process (Linux).
    fork: bool = True
    #: Modules that process loads besides the engine's own.
    preload: tuple[str, ...] = ()
    #: Allow kernels that can neither use Unix sockets nor encrypt: every local user reads along.
    insecure_kernel: bool = False
    #: What becomes of an engine that died: ``'never'`` or ``'on-death'``.
    restart: str = "never"
    #: Traits of ``Limits`` that differ from their defaults.
    limits: Mapping[str, int | None] = field(default_factory=dict)
    #: Called now and then while a start takes long: how many engines answer, of how many.
    on_progress: Callable[[int, int], object] | None = None

    def __post_init__(self) -> None:
        if self.restart not in RESTART_POLICIES:
            raise ValueError(
                f"restart is {' or '.join(map(repr, RESTART_POLICIES))}, not {self.restart!r}"
            )
        make_limits(self.limits)
        if self.cwd is not None:
            object.__setattr__(self, "cwd", os.path.abspath(self.cwd))
