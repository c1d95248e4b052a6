"""What a fleet is to be: one class of options for ``Fleet`` and for ``kernelfleet start``.

``FleetOptions.of`` makes them from what users write; whatever they can get wrong is checked here,
before anything is started.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from kernelfleet.controller.limits import make_limits
from kernelfleet.controller.ranks import Ranks, check_gpus, gpu_variables, gpus_of
from kernelfleet.wire.files.addresses import LOOPBACK
from kernelfleet.wire.files.fleet_paths import DEFAULT_NAME
from kernelfleet.wire.launcher_variables import without_rank
from kernelfleet.wire.platforms import HERE, number_of_cores

RESTART_POLICIES = ("never", "on-death")

#: Variables, where None unsets one that the engines would inherit.
Variables = Mapping[str, str | None]
#: What users give as ``env``: variables, or a function of the engine id.
Environment = Variables | Callable[[int], Variables] | None


@dataclass(frozen=True)
class FleetOptions:
    """The options of one fleet, checked.

    Raises:
        TypeError: a value is of the wrong kind.
        ValueError: a value is not among those that are allowed.
    """

    #: One kernelspec per engine; None is kernelfleet's own kernel.
    kernels: tuple[str | None, ...]
    #: An embedded fleet is named when it starts.
    name: str = DEFAULT_NAME
    #: Whether controller and client share a process.
    embedded: bool = False
    #: Who has it (``FleetFile.owner``), and the path of that notebook or script.
    owner: str = "daemon"
    owner_path: str | None = None
    #: The whole environment of an engine, by its id; None unsets what it would get otherwise.
    environment: Callable[[int], Variables] = field(default=lambda _: without_rank(os.environ))
    #: Of those, what the user adds.
    added_variables: Callable[[int], Variables] = field(default=lambda _: {}, compare=False)
    #: The kernelspec of engines whose number the nodes of a cluster say.
    kernel: str | None = field(default=None, compare=False)
    #: The cluster on whose nodes the engines run, as ``clusters/`` takes it; None is this machine.
    cluster: object = None
    #: How many engines a node of it may have, or which resource of a node says so; None leaves it
    #: to the node's threads.
    per_node: int | str | None = None
    #: Allow a cluster whose traffic others can read and change.
    insecure: bool = False
    #: Kept absolute: engines that start later are to find it, wherever this process goes. Of a
    #: cluster, a folder of its nodes.
    cwd: str | None = None
    #: Code that every engine runs before its first command.
    on_start: str | None = None
    #: Start kernelfleet's own kernels by forking them from a warm process (Linux).
    fork: bool = True
    #: Modules that process loads besides the engine's own.
    preload: tuple[str, ...] = ()
    #: Start the engines as the ranks of one MPI world.
    mpi: bool = False
    #: The command that starts them, with ``{n}`` for how many; None looks for mpiexec.
    mpiexec: str | None = None
    #: Whether this is a node of a cluster, whose head starts what is common to all.
    of_a_head: bool = False
    #: Where the engines are the ranks of a job of torch or JAX.
    ranks: Ranks | None = None
    #: The same on the nodes of a cluster, whose head knows where they meet.
    ranks_on_nodes: bool = False
    #: Of a cluster, how many GPUs a node has; True has the node look for them, False for none.
    gpus_of_nodes: bool | int = False
    #: Allow kernels that can neither use Unix sockets nor encrypt: every local user reads along.
    insecure_kernel: bool = False
    #: What becomes of an engine that died: ``'never'`` or ``'on-death'``.
    restart: str = "never"
    #: Traits of ``Limits`` that differ from their defaults.
    limits: Mapping[str, int | None] = field(default_factory=dict)
    #: Whether a daemon listens on TCP as well as on a Unix socket.
    tcp: bool = True
    #: That TCP port; None is 10105 or the next free one.
    port: int | None = None
    #: The address of this machine that it listens on.
    host: str = LOOPBACK
    #: Called now and then while a start takes long: how many engines answer, of how many.
    on_progress: Callable[[int, int], object] | None = None

    @classmethod
    def of(
        cls,
        n: int | None = None,
        *,
        kernel: str | list[str | None] | None = None,
        env: Environment = None,
        ranks: bool = False,
        gpus: bool | int = False,
        **fields: Any,
    ) -> Self:
        """The options of ``n`` engines (by default one per core), or of one per kernel in a list.

        Args:
            n: How many engines.
            kernel: The kernelspec of all of them, or a list of one name (or None) per engine.
            env: Variables added to the engines' environment, where None unsets one, or a function
                of the engine id.
            ranks: Tell each engine by variables that it is a rank of one job, as torch and JAX
                look for them.
            gpus: Give each engine one of the GPUs: those that are found, or so many.
            **fields: The other fields of this class.
        """
        if not isinstance(ranks, bool):
            raise TypeError(f"ranks is True or False, not {ranks!r}")
        check_gpus(gpus)
        on_cluster = fields.get("cluster") is not None
        given = [] if on_cluster else gpus_of(gpus)
        if given and n is None and not isinstance(kernel, list):
            n = len(given)
        kernels = _wanted(n, kernel) if on_cluster else _kernels(n, kernel)
        job = Ranks(len(kernels)) if ranks and not on_cluster else None
        added = _added_variables(env)

        def environment(engine_id: int) -> Variables:
            of_job = job.variables(engine_id) if job is not None else {}
            of_gpu = gpu_variables(engine_id, given)
            return {**without_rank(os.environ), **of_job, **of_gpu, **added(engine_id)}

        return cls(
            kernels=kernels,
            kernel=None if isinstance(kernel, list) else kernel,
            environment=environment,
            added_variables=added,
            ranks=job,
            ranks_on_nodes=ranks and on_cluster,
            gpus_of_nodes=gpus if on_cluster else False,
            **fields,
        )

    @property
    def cluster_name(self) -> str | None:
        """The cluster as people know it: what they have typed, or what kind of object it is."""
        if self.cluster is None or isinstance(self.cluster, str):
            return self.cluster
        if isinstance(self.cluster, os.PathLike):
            return str(self.cluster)
        return type(self.cluster).__name__

    def __post_init__(self) -> None:
        if self.on_start is not None and not isinstance(self.on_start, str):
            raise TypeError(
                f"on_start is the text of some code, not {type(self.on_start).__name__}"
            )
        object.__setattr__(self, "preload", _preload(self.preload))
        for flag in ("fork", "insecure_kernel", "insecure", "mpi"):
            if not isinstance(getattr(self, flag), bool):
                raise TypeError(f"{flag} is True or False, not {getattr(self, flag)!r}")
        self._check_mpi()
        if self.scripts:
            self._check_scripts()
        if self.restart not in RESTART_POLICIES:
            raise ValueError(
                f"restart is {' or '.join(map(repr, RESTART_POLICIES))}, not {self.restart!r}"
            )
        if not isinstance(self.limits, Mapping):
            raise TypeError(f"limits is a dict of limits by name, not {self.limits!r}")
        make_limits(self.limits)
        self._check_cluster()
        if self.cwd is not None and self.cluster is None:
            object.__setattr__(self, "cwd", os.path.abspath(self.cwd))

    @property
    def scripts(self) -> list[str]:
        """The scripts among what is preloaded."""
        return [name for name in self.preload if name.endswith(".py")]

    def _check_scripts(self) -> None:
        script = f"preload: {self.scripts[0]} is run once, in the process that engines are forked"
        if not self.fork or not HERE.fork_server or self.mpi:
            raise ValueError(f"{script} from, and these engines are not forked: use on_start")
        if any(kernel is not None for kernel in self.kernels):
            raise ValueError(
                f"{script} from, for kernelfleet's own engines: kernel= cannot be given"
            )

    def _check_mpi(self) -> None:
        if self.mpiexec is not None:
            if not isinstance(self.mpiexec, str):
                raise TypeError(f"mpiexec is the text of a command, not {self.mpiexec!r}")
            if not self.mpiexec.strip():
                raise ValueError("mpiexec is a command such as 'srun -n {n}', not an empty text")
            object.__setattr__(self, "mpi", True)
        if not self.mpi:
            return
        if any(kernel is not None for kernel in self.kernels):
            raise ValueError(
                "the ranks of an MPI world are kernelfleet's own engines: kernel= cannot be given "
                "with mpi (another kernel would not be told which rank it is)"
            )
        if not HERE.pidfds:
            raise ValueError("mpi needs Linux: nothing else tells at once that a rank has ended")

    def _check_cluster(self) -> None:
        per_node = self.per_node
        if self.cluster is None and (per_node is not None or self.insecure):
            what = "insecure" if per_node is None else "per_node"
            raise TypeError(f"{what} is for the nodes of a cluster: give cluster= as well")
        if isinstance(per_node, bool) or not isinstance(per_node, int | str | None):
            raise TypeError(
                f"per_node is how many engines a node may have, or the name of a resource of its "
                f"worker, not {per_node!r}"
            )
        if isinstance(per_node, int) and per_node < 1:
            raise ValueError(f"a node has at least one engine, not {per_node}")


def _preload(given: object) -> tuple[str, ...]:
    """The names of modules, and the whole paths of scripts."""
    if isinstance(given, os.PathLike) or (isinstance(given, str) and given.endswith(".py")):
        given = (given,)
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"preload is a list of modules' names or a script (.py), not {given!r}")
    return tuple(map(_preload_item, given))


def _preload_item(given: object) -> str:
    name = os.fspath(given) if isinstance(given, os.PathLike) else given
    if not isinstance(name, str):
        raise TypeError(f"preload is a list of modules' names and scripts (.py), not of {given!r}")
    if not name.endswith(".py"):
        return name
    if not os.path.isfile(name):
        raise FileNotFoundError(f"preload: there is no script {os.path.abspath(name)}")
    return os.path.abspath(name)


def _kernels(n: int | None, kernel: str | list[str | None] | None) -> tuple[str | None, ...]:
    if isinstance(kernel, list):
        if n is not None and n != len(kernel):
            raise ValueError(f"n={n}, but {len(kernel)} kernels are named")
        return tuple(kernel)
    if n is None:
        n = number_of_cores()
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"n is how many engines, not {n!r}")
    if n < 1:
        raise ValueError(f"a fleet has at least one engine, not {n}")
    return (kernel,) * n


def _wanted(n: int | None, kernel: str | list[str | None] | None) -> tuple[str | None, ...]:
    """As ``_kernels``, but none if the nodes of a cluster are to say how many."""
    return () if n is None and not isinstance(kernel, list) else _kernels(n, kernel)


def _added_variables(env: Environment) -> Callable[[int], Variables]:
    if env is not None and not callable(env) and not isinstance(env, Mapping):
        raise TypeError(f"env is a dict or a function of the engine id, not {type(env).__name__}")

    def added(engine_id: int) -> Variables:
        extra: Mapping[Any, Any] = env(engine_id) if callable(env) else env or {}
        if not isinstance(extra, Mapping):
            raise TypeError(f"env({engine_id}) is to be a dict, not {type(extra).__name__}")
        for name, value in extra.items():
            if not isinstance(name, str) or not isinstance(value, str | None):
                raise TypeError(
                    f"env is of strings, or None to unset a variable: {name!r} cannot be {value!r}"
                )
        return extra

    return added
