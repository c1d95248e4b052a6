"""Strangers: other users of the machine, and whoever reaches the TCP port without the keys."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import stat
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq

from kernelfleet import Fleet, MultiEngineClient
from kernelfleet.controller.timing import HANDSHAKE_SECONDS
from kernelfleet.errors import ControllerUnreachable, StartError
from kernelfleet.wire.codec import Codec
from kernelfleet.wire.files import fleet_paths
from tests.fleets import SharedFleets, eventually
from tests.journeys.daemons import MARK, OwnFleet, marked

#: Two users who are not us.
SOMEBODY, ATTACKER = 65534, 65533

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can play another user")
ROOT = Path(__file__).parents[2]

CLIENT = """
import sys
from kernelfleet import MultiEngineClient
with MultiEngineClient("private") as mec:
    mec.push({"large": bytes(3_000_000)})
    kept = mec.pull("large", block=False).r  # in shared memory, with the controller too
    print("ready", flush=True)
    sys.stdin.read()
"""


#: Becomes another Python, with fewer descriptors.
LIMITED = """
import os, resource, sys
n = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@cache
def interpreter(uid: int) -> tuple[str, dict[str, str]] | None:
    """A Python of this version that another user can run kernelfleet with, and its environment."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    path = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])
    for python in (sys.executable, shutil.which(version, path="/usr/bin:/usr/local/bin")):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run(
                [python or "/nowhere", "-c", "import kernelfleet.controller.daemon"],
                env={"PYTHONPATH": path}, user=uid, group=uid, extra_groups=[], cwd="/",
                check=True, capture_output=True, timeout=60,
            )  # fmt: skip
            return str(python), {"PYTHONPATH": path}
    return None


class PrivateFleet:
    """A daemon with Jupyter directories that others can get to, run by whom and as is wanted."""

    #: How many each of its processes may have, if that matters.
    descriptors: int | None = None

    def __init__(self, user: int | None = None, umask: int = 0o022, *options: str) -> None:
        self.user = user
        self.home = Path(tempfile.mkdtemp(prefix="kf-s-", dir="/tmp"))
        self.home.chmod(0o755)  # the fleet's own directories are what has to keep others out
        self.python, more = sys.executable, dict[str, str]()
        if user is not None:
            found = interpreter(user)
            assert found is not None
            self.python, more = found
            os.chown(self.home, user, user)
        self.environment = {
            **os.environ,
            **more,
            "HOME": str(self.home),
            "JUPYTER_RUNTIME_DIR": str(self.home / "run"),
            "JUPYTER_DATA_DIR": str(self.home / "data"),
            "JUPYTER_CONFIG_DIR": str(self.home / "config"),
            "IPYTHONDIR": str(self.home / "ipython"),
            MARK: str(self.home),
        }
        self.umask = umask
        self.started: list[subprocess.Popen[str]] = []
        command = ["-m", "kernelfleet.cli", "start", "-n", "2", "--name", "private", *options]
        controller = self.run(*command)
        assert controller.stdout is not None
        if not any("is ready" in line for line in controller.stdout):
            self.clean_up()
            raise AssertionError("the daemon did not start")

    def run(self, *command: str) -> subprocess.Popen[str]:
        """Start a Python as the fleet's user."""
        who: dict[str, Any] = {}
        if self.descriptors is not None:
            command = ("-c", LIMITED, str(self.descriptors), *command)
        if self.user is not None:
            who = {"user": self.user, "group": self.user, "extra_groups": []}
        process = subprocess.Popen(
            [self.python, *command], env=self.environment, umask=self.umask, cwd="/", text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **who,
        )  # fmt: skip
        self.started.append(process)
        return process

    def start_client(self) -> None:
        """A client that holds large data."""
        client = self.run("-c", CLIENT)
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"

    @property
    def file(self) -> dict[str, Any]:
        """The connection file."""
        path = self.home / "run" / "kernelfleet" / "private" / "fleet.json"
        return dict(json.loads(path.read_text()))

    def paths(self) -> list[Path]:
        """Everything the fleet has made."""
        return sorted(self.home.rglob("*"))

    def processes(self) -> list[psutil.Process]:
        """All of the fleet, and its clients."""
        return marked(str(self.home))

    def clean_up(self) -> None:
        for process in self.started:
            process.terminate()
        for process in self.started:
            try:
                process.wait(20)
            finally:
                process.kill()
                process.communicate()
        for each in self.processes():
            each.kill()
        shutil.rmtree(self.home)


@pytest.fixture
def private_fleet() -> Iterator[Callable[..., PrivateFleet]]:
    started: list[PrivateFleet] = []

    def start(user: int | None = None, umask: int = 0o022, *options: str) -> PrivateFleet:
        started.append(PrivateFleet(user, umask, *options))
        return started[-1]

    yield start
    for fleet in started:
        fleet.clean_up()


# -- files ------------------------------------------------------------------------------------


def too_open(paths: list[Path]) -> list[str]:
    """What is not 0700 (directories) or 0600 (all else)."""
    found = []
    for path in paths:
        mode = path.lstat().st_mode
        wanted = 0o700 if stat.S_ISDIR(mode) else 0o600
        if mode & 0o777 != wanted and path.name != "README":  # IPython's, on its startup folder
            found.append(f"{stat.filemode(mode)} {path}")
    return found


@pytest.mark.parametrize(
    ("umask", "options"),
    [
        (0o000, []),
        pytest.param(0o077, [], marks=pytest.mark.slow),
        pytest.param(0o000, ["--no-fork"], marks=pytest.mark.slow),
        pytest.param(0o077, ["--no-fork"], marks=pytest.mark.slow),
    ],
)
def test_files_and_sockets_are_private_whatever_the_umask(
    private_fleet: Callable[..., PrivateFleet], umask: int, options: list[str]
) -> None:
    fleet = private_fleet(None, umask, *options)
    paths = fleet.paths()
    kinds = {stat.S_IFMT(path.lstat().st_mode) for path in paths}
    assert kinds == {stat.S_IFDIR, stat.S_IFREG, stat.S_IFSOCK}
    assert sum(path.is_socket() for path in paths) == 1 + 2 * 6  # client; channels, forks
    assert {"controller.log", "engine-0.log", "fleet.json"} <= {path.name for path in paths}
    assert too_open(paths) == []
    # what users make is their own affair
    with MultiEngineClient(fleet.home / "run/kernelfleet/private/fleet.json") as mec:
        assert mec.execute("import os; m = os.umask(0); os.umask(m); print(m)")[0].stdout == (
            f"{umask}\n"
        )
        mec.restart(0)
    assert too_open(fleet.paths()) == []


@pytest.mark.slow
@pytest.mark.parametrize("fork", [True, False])
def test_an_embedded_fleet_is_as_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fork: bool
) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", f"{tmp_path}/{'long' * 25}")
    monkeypatch.setenv("JUPYTER_DATA_DIR", f"{tmp_path}/data")
    before = os.umask(0)
    try:
        with Fleet(2, fork=fork) as mec:
            mec.execute("1")
            short = Path(str(mec.engines()[0].connection_file)).parent
            assert short.parent == Path("/tmp")
            assert too_open([*tmp_path.rglob("*"), short, *short.rglob("*")]) == []
        assert not short.exists()
    finally:
        os.umask(before)


def secrets_of(fleet: PrivateFleet) -> set[str]:
    """Every key of the fleet."""
    kernels = fleet.home.glob("run/kernelfleet/private/e*.json")
    keys = {json.loads(path.read_text())["key"] for path in kernels}
    return keys | {fleet.file["key"], fleet.file["client_secret_key"]}


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--fork", "--no-fork"])
def test_keys_are_in_the_connection_files_and_nowhere_else(
    private_fleet: Callable[..., PrivateFleet], option: str
) -> None:
    options = ["--debug"] + (["--no-fork"] if option == "--no-fork" else [])
    fleet = private_fleet(None, 0o022, *options)
    fleet.start_client()
    secrets = secrets_of(fleet)
    assert len(secrets) == 3
    said = [path.read_text() for path in fleet.home.rglob("*.log")]
    for command in ("status", "list"):
        said += [fleet.run("-m", "kernelfleet.cli", command, *each).communicate()[0]
                 for each in ([], ["--json"])]  # fmt: skip
    path = fleet.home / "run/kernelfleet/private/fleet.json"
    with MultiEngineClient(path) as mec:
        said += [repr(mec), str(mec.engines()), repr(vars(mec._connection))]
        kept = mec.execute("import os, sys; print(dict(os.environ), sys.orig_argv, globals())")
        said.append(kept[0].stdout)
    processes = fleet.processes()
    assert len(processes) >= 4
    for process in processes:
        said += [" ".join(process.cmdline()), str(process.environ())]
    assert [text for text in said if any(secret in text for secret in secrets)] == []


# -- ports ------------------------------------------------------------------------------------


def listening(processes: list[psutil.Process]) -> list[tuple[str, int]]:
    """Where processes listen on TCP or wait for UDP."""
    return [
        (each.laddr.ip, each.laddr.port)
        for process in processes
        for each in process.net_connections("inet")
        if each.status in (psutil.CONN_LISTEN, psutil.CONN_NONE)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--no-fork"]], ids=["forked", "ordinary"])
def test_the_one_open_port_is_the_controllers_on_loopback(
    private_fleet: Callable[..., PrivateFleet], options: list[str]
) -> None:
    fleet = private_fleet(None, 0o022, *options)
    fleet.start_client()
    port = int(fleet.file["tcp"].rpartition(":")[2])
    assert listening(fleet.processes()) == [("127.0.0.1", port)]


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--no-fork"]], ids=["forked", "ordinary"])
def test_without_tcp_no_port_is_open(
    private_fleet: Callable[..., PrivateFleet], options: list[str]
) -> None:
    fleet = private_fleet(None, 0o022, "--no-tcp", *options)
    fleet.start_client()
    assert fleet.file["tcp"] is None
    assert listening(fleet.processes()) == []
    # nor a Unix socket outside the fleet's directory, where names are everybody's ("abstract")
    names = [
        str(each.laddr) for process in fleet.processes() for each in process.net_connections("unix")
    ]
    named = list(filter(None, names))
    assert named
    assert [name for name in named if not Path(name).is_relative_to(fleet.home)] == []


@pytest.mark.slow
@pytest.mark.parametrize("fork", [True, False])
def test_an_embedded_fleet_opens_no_port(fork: bool) -> None:
    others = set(psutil.Process().children(recursive=True))
    fleet = OwnFleet("embedded", 2, fork=fork)
    try:
        fleet.client().execute("1")
        family = set(psutil.Process().children(recursive=True)) - others
        assert len(family) >= 2
        assert listening([psutil.Process(), *family]) == []
    finally:
        fleet.clean_up()


#: A kernel whose command does not tell that it is built on ipykernel.
STRANGE = """#!/bin/sh
exec {python} -m ipykernel_launcher "$@"
"""
#: One that knows TCP alone.
TCP_ALONE = """#!{python}
import json, sys
from ipykernel.kernelapp import IPKernelApp
transport = json.load(open(sys.argv[-1]))["transport"]
if transport != "tcp":
    sys.exit("unknown transport: " + transport)
IPKernelApp.launch_instance()
"""
SECRET = "hunter" + "2"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Installs a program as the kernelspec that it gives back."""

    def install(program: str, **metadata: Any) -> str:
        path = tmp_path / "strange-kernel"
        path.write_text(program.format(python=sys.executable))
        path.chmod(0o700)
        spec = {"argv": [str(path), "-f", "{connection_file}"], "display_name": "Strange"}
        folder = tmp_path / "kernels" / "strange"
        folder.mkdir(parents=True)
        whole = {**spec, "language": "x", "metadata": metadata}
        (folder / "kernel.json").write_text(json.dumps(whole))
        monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
        return "strange"

    return install


def overheard(mec: MultiEngineClient, ports: list[tuple[str, int]]) -> bool:
    """Whether somebody without a key, who subscribes to all ports, reads what is printed."""
    with zmq.Context() as context, context.socket(zmq.SUB) as spy:
        spy.linger = 0
        spy.subscribe(b"")
        for ip, port in ports:
            spy.connect(f"tcp://{ip}:{port}")
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            mec.execute(f"print({SECRET!r})")
            while spy.poll(20):
                if any(SECRET.encode() in frame for frame in spy.recv_multipart()):
                    return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "metadata", "allowed", "transport"),
    [
        (STRANGE, {}, False, "ipc"),
        (STRANGE, {"supported_encryption": ["curve"]}, False, "tcp+curve"),
        (TCP_ALONE, {}, True, "tcp"),
    ],
    ids=["tried with Unix sockets", "encrypts", "allowed to be overheard"],
)
def test_a_kernel_that_is_not_ours_is_overheard_only_if_that_is_allowed(
    install: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
    program: str,
    metadata: dict[str, Any],
    allowed: bool,
    transport: str,
) -> None:
    kernel = install(program, **metadata)
    fleet = OwnFleet("embedded", 1, kernel=kernel, insecure_kernel=allowed)
    try:
        mec = fleet.client()
        (engine,) = mec.engines()
        assert engine.transport == transport
        assert stat.S_IMODE(os.stat(str(engine.connection_file)).st_mode) == 0o600
        # with Unix sockets too ipykernel 7.4 has one port, for the words of forked children
        ports = listening(fleet.processes())
        assert {ip for ip, _ in ports} == {"127.0.0.1"}
        assert overheard(mec, ports) == allowed
        assert ("every user of this machine can read" in caplog.text) == allowed
    finally:
        fleet.clean_up()


def test_a_kernel_that_others_could_overhear_is_refused_and_told_with_the_way_out(
    install: Callable[..., str],
) -> None:
    kernel = install(TCP_ALONE)
    with pytest.raises(StartError) as refused:
        Fleet(1, kernel=kernel).start()
    told = str(refused.value)
    assert "'strange' was told to listen on Unix sockets" in told
    assert "insecure_kernel=True (--insecure-kernel)" in told
    assert "unknown transport: ipc" in told, "the kernel's own words"


# -- another user ---------------------------------------------------------------------------------

#: Tries everything as the user given, and prints what succeeded.
ATTACK = """
import ctypes, json, os, signal, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
todo = json.loads(sys.argv[1])
if todo["uid"]:
    os.setgroups([])
    os.setresgid(*[todo["uid"]] * 3)
    os.setresuid(*[todo["uid"]] * 3)
done = []

def attempt(what, function, *args):
    try:
        function(*args)
    except OSError:
        return
    done.append(what)

def read(path):
    with open(path, "rb") as file:
        file.read(1)

def connect(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
        end.connect(path)

def trace(pid):
    if libc.ptrace(16, pid, None, None):
        raise OSError(ctypes.get_errno(), "ptrace")
    os.waitpid(pid, 0x40000000)
    libc.ptrace(17, pid, None, None)

for path in todo["files"]:
    attempt("read", read, path)
    attempt("write", os.close, -1) if not os.access(path, os.W_OK) else done.append("write")
for path in todo["folders"]:
    attempt("list", os.listdir, path)
    attempt("make", os.mkdir, path + "/made")
for path in todo["sockets"]:
    attempt("connect", connect, path)
for path in todo["blocks"]:
    attempt("open a block", read, path)
for pid in todo["pids"]:
    for name in ("environ", "maps"):
        attempt("look at " + name, read, f"/proc/{pid}/{name}")
    attempt("list descriptors", os.listdir, f"/proc/{pid}/fd")
    attempt("signal", os.kill, pid, 0)
    attempt("trace", trace, pid)
print(json.dumps(sorted(set(done))))
"""


def attack(fleet: PrivateFleet, uid: int) -> list[str]:
    """What another user (0: root, who may do everything) can do to a fleet."""
    paths, processes = fleet.paths(), fleet.processes()
    blocks = [
        f"/proc/{process.pid}/fd/{fd}"
        for process in processes
        for fd in os.listdir(f"/proc/{process.pid}/fd")
        if "memfd:kernelfleet" in os.readlink(f"/proc/{process.pid}/fd/{fd}")
    ]
    assert blocks
    todo = {
        "uid": uid,
        "files": [str(path) for path in paths if path.is_file() and path.name != "README"],
        "folders": [str(path) for path in paths if path.is_dir()],
        "sockets": [str(path) for path in paths if path.is_socket()],
        "blocks": blocks,
        "pids": [process.pid for process in processes],
    }
    assert all(todo[what] for what in ("files", "folders", "sockets", "pids"))
    run = subprocess.run(
        [sys.executable, "-c", ATTACK, json.dumps(todo)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return list(json.loads(run.stdout))


@needs_root
@pytest.mark.slow
@pytest.mark.parametrize("user", [None, SOMEBODY], ids=["our own fleet", "somebody's fleet"])
@pytest.mark.parametrize("options", [[], ["--no-fork"]], ids=["forked", "ordinary"])
def test_another_user_can_neither_read_nor_connect_nor_look_into_a_process(
    private_fleet: Callable[..., PrivateFleet], user: int | None, options: list[str]
) -> None:
    if user is not None and interpreter(user) is None:
        pytest.skip("no Python that another user could run")
    fleet = private_fleet(user, 0o000, *options)
    fleet.start_client()
    assert attack(fleet, ATTACKER) == []
    # and the attack is one: who may do everything can do all of it
    assert attack(fleet, 0) == sorted(
        ["connect", "list", "list descriptors", "look at environ", "look at maps",
         "make", "open a block", "read", "signal", "trace", "write"]
    )  # fmt: skip


# -- on the network -----------------------------------------------------------------------------


class Stranger:
    """A peer over TCP with as many keys as it is given."""

    def __init__(self, context: zmq.Context[Any], file: dict[str, Any], keys: str) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.reconnect_ivl = 10
        if keys != "none":
            own = zmq.curve_keypair()
            right = file["client_public_key"].encode(), file["client_secret_key"].encode()
            self.socket.curve_serverkey = file["server_public_key"].encode()
            self.socket.curve_publickey, self.socket.curve_secretkey = (
                own if keys == "own CURVE" else right
            )
        codec = Codec(b"wrong" if keys != "all, but no sense" else bytes.fromhex(file["key"]))
        header = {"type": "hello", "version": 1} if keys != "all, but no sense" else {"type": "x"}
        self.hello = codec.encode(header)
        self.socket.connect(file["tcp"])

    def knock(self) -> None:
        with contextlib.suppress(zmq.Again):
            self.socket.send_multipart(self.hello, zmq.NOBLOCK)


KEYS = ("none", "own CURVE", "CURVE, but another key to sign with", "all, but no sense")


@pytest.fixture
def tcp_fleet(own_fleet: Callable[..., OwnFleet]) -> tuple[OwnFleet, dict[str, Any]]:
    fleet = own_fleet(2, transport="tcp")
    return fleet, json.loads((fleet.directory / "fleet.json").read_text())


def refused(mec: MultiEngineClient) -> dict[str, int]:
    """What the controller says it has refused."""
    return dict(mec._connection.call("ping", 20).header["value"]["refused"])


@pytest.mark.parametrize("keys", KEYS)
def test_a_stranger_gets_nothing_and_is_counted(fleets: SharedFleets, keys: str) -> None:
    context: zmq.Context[Any] = zmq.Context()
    try:
        with fleets.client("tcp") as mec:
            kind = "connections" if keys in KEYS[:2] else "messages"
            before = refused(mec)[kind]
            path = fleet_paths.fleet_dir("shared") / "fleet.json"
            stranger = Stranger(context, json.loads(path.read_text()), keys)
            stranger.knock()
            eventually(lambda: refused(mec)[kind] > before)
            assert mec.execute("1 + 1", timeout=20)[0]["id"] == 0
            assert not stranger.socket.poll(100)
    finally:
        context.destroy(linger=0)


@pytest.mark.slow
def test_fifty_strangers_do_not_disturb_a_client(
    tcp_fleet: tuple[OwnFleet, dict[str, Any]],
) -> None:
    fleet, file = tcp_fleet
    context: zmq.Context[Any] = zmq.Context()
    context.set(zmq.MAX_SOCKETS, 4096)

    def trips(mec: MultiEngineClient, knock: Callable[[], None]) -> list[float]:
        taken = []
        for _ in range(100):
            knock()
            began = time.monotonic()
            mec.execute("a = 1", timeout=20)
            taken.append(time.monotonic() - began)
        return taken

    try:
        with fleet.client() as mec:
            alone = trips(mec, lambda: None)
            strangers = [Stranger(context, file, KEYS[i % 4]) for i in range(50)]

            def all_knock() -> None:
                for stranger in strangers:
                    stranger.knock()

            beside = trips(mec, all_knock)
            counts = refused(mec)
            assert counts["connections"] >= 25
            assert counts["messages"] >= 25
            print(f"alone {statistics.median(alone)}, beside strangers {statistics.median(beside)}")
            assert statistics.median(beside) < 0.5
            assert max(beside) < 5
            assert not any(stranger.socket.poll(0) for stranger in strangers)
    finally:
        context.destroy(linger=0)


@pytest.mark.slow
def test_five_hundred_mute_connections_leave_room_for_clients_and_are_closed(
    tcp_fleet: tuple[OwnFleet, dict[str, Any]],
) -> None:
    fleet, file = tcp_fleet
    assert fleet.process is not None
    controller = psutil.Process(fleet.process.pid)
    before = controller.num_fds()
    port = int(file["tcp"].rpartition(":")[2])
    mute = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(500)]
    try:
        for each in mute:
            each.settimeout(HANDSHAKE_SECONDS + 20)
        with fleet.client() as mec:
            assert mec.execute("1", timeout=20)[0]["id"] == 0
            eventually(lambda: refused(mec)["connections"] >= 500, 20)
            mec.scale(3)  # there are descriptors left for another engine
            for each in mute:
                greeting = b""
                with contextlib.suppress(ConnectionResetError):
                    while said := each.recv(1000):
                        greeting += said
                assert len(greeting) <= 64  # what ZMQ says to everybody
        # a client, and an engine more
        eventually(lambda: controller.num_fds() < before + 50, 20)
    finally:
        for each in mute:
            each.close()


@pytest.mark.slow
def test_connections_without_end_cannot_take_the_last_descriptor(
    private_fleet: Callable[..., PrivateFleet], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one, the next client on the Unix socket would have libzmq abort the controller."""
    monkeypatch.setattr(PrivateFleet, "descriptors", 250)
    fleet = private_fleet()
    path = fleet.home / "run/kernelfleet/private/fleet.json"
    port = int(fleet.file["tcp"].rpartition(":")[2])
    controller = psutil.Process(fleet.file["pid"])
    mute: list[socket.socket] = []
    try:
        with MultiEngineClient(path) as mec:
            address = ("127.0.0.1", port)
            mute.extend(socket.create_connection(address, timeout=20) for _ in range(400))
            for each in mute[:350]:  # all are cut but those that may wait
                with contextlib.suppress(ConnectionResetError):
                    while each.recv(1000):
                        continue
            eventually(lambda: controller.num_fds() < 150)  # (the last ones are being cut)
            with MultiEngineClient(path) as newcomer:
                assert newcomer.execute("1", timeout=20)[0]["id"] == 0
            tcp_only = fleet.home / "tcp.json"
            tcp_only.write_text(json.dumps({**fleet.file, "ipc": None}))
            with contextlib.ExitStack() as stack:
                eventually(lambda: connects(tcp_only, stack), 20)
            assert mec.execute("1", timeout=20)[0]["id"] == 0
            assert refused(mec)["connections"] >= 50
    finally:
        for each in mute:
            each.close()


def connects(path: Path, stack: contextlib.ExitStack) -> bool:
    """Whether a new client gets in."""
    try:
        stack.enter_context(MultiEngineClient(path))
    except ControllerUnreachable:
        return False
    return True
