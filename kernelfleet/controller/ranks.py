"""Ranks: what tells libraries such as torch and JAX that engines are the processes of one job.

Such a library is started in each process with its rank, and meets the others at an address and a
port. The launchers that people use for it (``torchrun``) say so by environment variables, and so do
fleets with ``ranks=True``. A process that still listens at a port after its job would take the next
one for its own, so each start of all engines gets ports of its own.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

LOOPBACK = "127.0.0.1"

VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
#: A folder per GPU of NVIDIA's driver.
_NVIDIA = "/proc/driver/nvidia/gpus"

NO_GPUS = (
    "no GPU was found: there is neither CUDA_VISIBLE_DEVICES nor NVIDIA's driver; gpus=4 says how "
    "many there are"
)


class MeetingPoint(NamedTuple):
    """Where the ranks of a job meet.

    Attributes:
        address: That of rank 0, as the others reach it.
        port: Where torch's rank 0 listens.
        jax_port: Where JAX's rank 0 listens.
    """

    address: str
    port: int
    jax_port: int


def meeting_point(address: str = LOOPBACK) -> MeetingPoint:
    """An address of this machine with two ports that are free at this moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for each in sockets:
            each.bind((address, 0))
        port, jax_port = (each.getsockname()[1] for each in sockets)
    return MeetingPoint(address, port, jax_port)


def rank_variables(
    rank: int, size: int, local_rank: int, local_size: int, meeting: MeetingPoint
) -> dict[str, str]:
    """The variables that tell a process which rank it is, and where the ranks meet.

    Args:
        rank: Its number among all.
        size: How many there are.
        local_rank: Its number among those of its machine.
        local_size: How many are there.
        meeting: Where they meet.
    """
    host = f"[{meeting.address}]" if ":" in meeting.address else meeting.address
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(local_rank),
        "LOCAL_WORLD_SIZE": str(local_size),
        "MASTER_ADDR": meeting.address,
        "MASTER_PORT": str(meeting.port),
        "JAX_COORDINATOR_ADDRESS": f"{host}:{meeting.jax_port}",
        "JAX_PROCESS_ID": str(rank),
        "JAX_NUM_PROCESSES": str(size),
    }


class Ranks:
    """The ranks of a fleet on this machine.

    Args:
        n: How many.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self._meeting = meeting_point()

    def renew(self) -> None:
        """All engines are about to start: they meet at ports that nobody has used before."""
        self._meeting = meeting_point()

    def variables(self, engine_id: int) -> dict[str, str]:
        """The variables of one engine."""
        return rank_variables(engine_id, self.n, engine_id, self.n, self._meeting)


def find_gpus(
    environment: Mapping[str, str] = os.environ, driver: str | Path = _NVIDIA
) -> list[str]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    if VISIBLE_GPUS in environment:
        names = (name.strip() for name in environment[VISIBLE_GPUS].split(","))
        return [name for name in names if name and name != "-1"]
    return [str(number) for number in range(len(list(Path(driver).glob("*"))))]


def check_gpus(asked: bool | int) -> None:
    """Whether it is True, False, or a number of GPUs.

    Raises:
        ValueError: the number is too small.
        TypeError: it is no number.
    """
    if not isinstance(asked, int):
        raise TypeError(f"gpus is True, or how many there are, not {asked!r}")
    if not isinstance(asked, bool) and asked < 1:
        raise ValueError(f"gpus={asked}: there is at least one, or leave it out")


def gpus_of(asked: bool | int) -> list[str]:
    """The GPUs of a machine: those that are found, or as many as the user says.

    Raises:
        ValueError: there are none.
        TypeError: it is no number.
    """
    check_gpus(asked)
    if asked is False:
        return []
    if asked is True:
        found = find_gpus()
        if not found:
            raise ValueError(NO_GPUS)
        return found
    return find_gpus()[:asked] if len(find_gpus()) >= asked else [*map(str, range(asked))]


def gpu_variables(local_rank: int, gpus: Sequence[str]) -> dict[str, str]:
    """One GPU for an engine; several engines share one where there are fewer."""
    return {VISIBLE_GPUS: gpus[local_rank % len(gpus)]} if gpus else {}
