"""PartOfWorld: the ranks of a world that are on this node, whose launcher the head has started.

The head hears what the ranks say, and tells who has ended the world: it may have been a rank of
another node.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from kernelfleet.provisioners.mpi import command
from kernelfleet.provisioners.mpi.ranks import Ranks, WorldError
from kernelfleet.provisioners.mpi.verdict import Verdict, judge
from kernelfleet.wire.launcher_variables import of_launcher

#: How long the head may take to say who has ended the world.
VERDICT_SECONDS = 3.0


class PartOfWorld(Ranks):
    """The ranks of this node.

    Args:
        n: How many ranks the world has.
        path: The socket at which those of this machine report.
        names: The variables of the launcher's environment.
        tell: Gets what they say, with the number of the rank, for the head.

    Raises:
        OSError: somebody listens there already.
    """

    def __init__(
        self,
        n: int,
        path: Path,
        names: Iterable[str],
        tell: Callable[[dict[str, Any]], None],
    ) -> None:
        super().__init__(n, path)
        self._names = list(names)
        self._tell = tell
        self._judged: asyncio.Future[Verdict] = self._loop.create_future()
        self._listen()

    def start(
        self, environment: Mapping[str, str], cwd: str | None, watch: Callable[[int], object]
    ) -> None:
        """Nothing: the head has started the launcher, and the ranks are there."""

    def _check(self) -> None:
        if self._listener is None or self._judged.done():
            raise WorldError("its MPI world has ended")

    def _variables(self, environment: Mapping[str, str]) -> dict[str, Any]:
        # The launcher may have given its ranks its own environment, that of another machine.
        wanted = {**command.settings_of_ranks(self.n), **environment}
        foreign = (name for name in self._names if name not in wanted)
        return {"set": wanted, "unset": [name for name in foreign if not of_launcher(name)]}

    def _hear(self, connection: Any, message: dict[str, Any]) -> None:
        super()._hear(connection, message)
        rank = self._connections.get(connection)
        if "ended" in message and rank in self._killed:
            message = {**message, "told": True}
        self._tell({"of": rank, **message})

    def _gone(self, rank: int | None) -> None:
        self._tell({"of": rank, "gone": True})

    def judge(self, verdict: Verdict) -> None:
        """The head knows who has ended the world: end what is left of it here."""
        self.end_all()
        if not self._judged.done():
            self._judged.set_result(verdict)

    async def verdict(self, kernels_words: Callable[[], str]) -> Verdict:
        """Who has ended the world, as the head says.

        Args:
            kernels_words: Gives what the kernels of this node have written to their logs.
        """
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(asyncio.shield(self._judged), VERDICT_SECONDS)
        return judge(self._endings, kernels_words(), None, launcher_lost=self._launcher_lost)

    async def close(self) -> None:
        """Let the ranks go."""
        await super().close()
        self.judge(Verdict(None, "it was ended"))
