"""Hosts on this machine: network namespaces on a bridge, each with its own name, PIDs and /tmp.

What a host shares with the others is what a cluster shares, too: the installed Python, the source
tree and one folder. Its Jupyter directories, its shared memory and its Unix sockets are its own.

Needs root and the programs of ``PROGRAMS``; ``why_not`` says what is missing.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import platform
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.fleets import eventually

PROGRAMS = ("ip", "unshare", "nsenter", "mount", "tc", "ss")
ROOT = Path(__file__).parents[2]

#: The first process of a host. Processes whose parents have ended become its children, and with
#: SIGCHLD ignored the kernel reaps them. As the first process of a PID namespace it takes all
#: others with it.
_INIT = """
import signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("up", flush=True)
while True:
    signal.pause()
"""

#: Makes a file system of its own. What lies in /tmp and is to be seen is kept aside meanwhile.
_SETUP = """
set -e
mount --make-rprivate /
hostname "$1"; shift
seen=(); while [ "$1" != -- ]; do seen+=("$1"); shift; done; shift
mount -t tmpfs none /mnt
for i in "${!seen[@]}"; do mkdir "/mnt/$i"; mount --bind "${seen[$i]}" "/mnt/$i"; done
mount -t tmpfs none /tmp; chmod 1777 /tmp
mount -t tmpfs none /dev/shm; chmod 1777 /dev/shm
mount -t tmpfs none /run; mkdir /run/sshd
printf '%s' "$NAMES" >/run/hosts; mount --bind /run/hosts /etc/hosts
: >/run/resolv.conf; mount --bind /run/resolv.conf /etc/resolv.conf
mount -t proc proc /proc
for i in "${!seen[@]}"; do mkdir -p "${seen[$i]}"; mount --bind "/mnt/$i" "${seen[$i]}"; done
mkdir -p /tmp/home
cd /tmp/home
exec "$@"
"""


def why_not() -> str:
    """Why there can be no hosts here; empty if there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "hosts of network namespaces need root on Linux"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if missing:
        return f"hosts of network namespaces need {', '.join(missing)} (iproute2, util-linux)"
    probe = subprocess.run(
        ["unshare", "-n", "-m", "-p", "-f", "true"], check=False, capture_output=True
    )
    return "" if probe.returncode == 0 else f"no namespaces here: {probe.stderr.decode().strip()}"


def sh(*argv: str) -> str:
    """Run a program that must succeed; returns what it says."""
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(argv)}: {done.stderr}"
    return done.stdout


class Host:
    """One machine of a network. It is up from the start; ``crash`` and ``boot`` when you like."""

    def __init__(self, network: Network, number: int) -> None:
        self.network, self.number = network, number
        self.name = f"{network.name}h{number}"
        #: This machine's end of its cable.
        self.cable = f"{network.name}c{number}"
        self.address = str(network.subnet.network_address + 10 + number)
        self._init: subprocess.Popen[str] | None = None
        self._running: list[Running] = []
        sh("ip", "netns", "add", self.name)
        sh("ip", "link", "add", self.cable, "type", "veth", "peer", "eth0", "netns", self.name)
        sh("ip", "link", "set", self.cable, "master", network.name, "up")
        inside = ("ip", "-n", self.name)
        sh(*inside, "addr", "add", f"{self.address}/{network.subnet.prefixlen}", "dev", "eth0")
        sh(*inside, "link", "set", "lo", "up")
        sh(*inside, "link", "set", "eth0", "up")
        sh(*inside, "route", "add", "default", "via", network.address)
        self.boot()

    def boot(self) -> None:
        """Switch it on."""
        seen = [str(path) for path in self.network.seen if path.is_relative_to("/tmp")]
        self._init = subprocess.Popen(
            [
                *("ip", "netns", "exec", self.name),
                *("unshare", "-m", "-u", "-i", "-p", "-f", "--kill-child=KILL"),
                *("bash", "-c", _SETUP, "_", self.name, *seen, "--", sys.executable, "-c", _INIT),
            ],
            env={**os.environ, "NAMES": self.network.names},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # "unshare: sigprocmask unblock failed" when it is killed
            text=True,
        )
        assert self._init.stdout is not None
        assert self._init.stdout.readline() == "up\n", f"{self.name} did not come up"
        (first,) = psutil.Process(self._init.pid).children()
        self.first = first.pid

    def crash(self) -> None:
        """Switch it off: everything on it is gone at once, and says goodbye to nobody."""
        if self._init is None:
            return
        os.kill(self.first, signal.SIGKILL)
        self._init.wait()
        assert self._init.stdout is not None
        self._init.stdout.close()
        self._init = None

    @property
    def is_up(self) -> bool:
        """Whether it is switched on."""
        return self._init is not None

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a login on this host."""
        ours = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "XDG", "IPY"))}
        home = {"HOME": "/tmp/home", "IPYTHONDIR": "/tmp/home/.ipython"}
        return {**ours, **home, "PYTHONPATH": str(ROOT), **(extra or {})}

    def popen(
        self, argv: Sequence[str], env: Mapping[str, str] | None = None, **options: Any
    ) -> Running:
        """Start a program on this host."""
        enter = ["nsenter", "-t", str(self.first), "-n", "-m", "-u", "-i", "-p"]
        enter += ["sh", "-c", 'cd /tmp/home && exec "$@"', "_"]
        running = Running(self, [*enter, *argv], env=self.environment(env), **options)
        self._running.append(running)
        return running

    def python(self, code: str, *arguments: str, **options: Any) -> Running:
        """Start a Python program on this host, whose output can be read."""
        options = {"stdout": subprocess.PIPE, "text": True, **options}
        return self.popen([sys.executable, "-c", code, *arguments], **options)

    def run(self, *argv: str, timeout: float = 60.0) -> str:
        """Run a program on this host to its end, which must be a good one."""
        process = self.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said, _ = process.communicate(timeout=timeout)
        assert process.returncode == 0, said
        return str(said)

    def processes(self) -> list[psutil.Process]:
        """What runs on this host, besides its first process."""
        found = []
        for pid in sh("ip", "netns", "pids", self.name).split():
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(int(pid))
                starter = self._init is not None and int(pid) == self._init.pid
                outside = starter or process.name() == "nsenter"
                ended = process.status() == psutil.STATUS_ZOMBIE
                if int(pid) != self.first and not outside and not ended:
                    found.append(process)
        return found

    def process(self, pid: int) -> psutil.Process:
        """The process that has this id on the host."""
        for process in self.processes():
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{process.pid}/status").read_text()
                if status.partition("NSpid:")[2].split("\n")[0].split()[-1] == str(pid):
                    return process
        raise AssertionError(f"{self.name} has no process {pid}")

    def find(self, what: str) -> list[psutil.Process]:
        """Those of its processes whose command line has this text."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                if what in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def assert_quiet(self, what: str = "", seconds: float = 5.0) -> None:
        """Nothing (of this kind) runs there any more, or will have ended in some seconds."""
        try:
            eventually(lambda: not self.find(what), seconds)
        except AssertionError:
            left = [(each.pid, " ".join(each.cmdline())[:200]) for each in self.find(what)]
            raise AssertionError(f"left on {self.name} after {seconds} s: {left}") from None

    def clean(self) -> None:
        """As it was at first: on, with its cable plugged in, and nothing running or stored."""
        self.network.cables.mend(self)
        for running in self._running:
            running.end()
        self._running.clear()
        if self.is_up:
            self.crash()
        self.boot()

    def remove(self) -> None:
        """Take it off the network for good."""
        self.crash()
        subprocess.run(["ip", "netns", "del", self.name], check=False)


class Running(subprocess.Popen[Any]):
    """A program on a host; signals go to the program, and not to what has entered the host."""

    def __init__(self, host: Host, argv: list[str], **options: Any) -> None:
        self.host = host
        super().__init__(argv, **options)

    @property
    def inside(self) -> int:
        """The process id of the program, as this machine sees it."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self.poll() is not None:
                raise ProcessLookupError("the program has ended")
            children = psutil.Process(self.pid).children()
            if children:
                return children[0].pid
            time.sleep(0.005)
        raise AssertionError("the program has not begun")

    def send_signal(self, sig: int) -> None:
        """Send a signal to the program."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError, psutil.Error):
                os.kill(self.inside, sig)

    def end(self) -> None:
        """Kill it, if it runs, and close its pipes."""
        self.kill()
        self.wait(10)
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()


class Network:
    """A bridge with hosts; ``close`` takes all of it away.

    Args:
        n: How many hosts.
        folder: A folder that every host sees, as a cluster's shared file system.
    """

    def __init__(self, n: int, folder: Path) -> None:
        self.n, self.folder = n, folder
        #: What each host sees of this machine, also where it lies in /tmp.
        self.seen = [folder, ROOT, Path(sys.prefix), Path(sys.base_prefix)]
        self.hosts: list[Host] = []
        self.cables = Cables(self)
        # Several of these may be made at once, by processes of pytest-xdist.
        with open(Path(tempfile.gettempdir()) / "kernelfleet-networks.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            number, self.subnet = _free_subnet()
            self.name = f"kf{number}"
            sh("ip", "link", "add", self.name, "type", "bridge")
            #: This machine's own address on the network.
            self.address = str(self.subnet.network_address + 1)
            sh("ip", "addr", "add", f"{self.address}/{self.subnet.prefixlen}", "dev", self.name)
        try:
            sh("ip", "link", "set", self.name, "up")
            for number in range(1, n + 1):
                self.hosts.append(Host(self, number))
        except BaseException:
            self.close()
            raise

    @property
    def names(self) -> str:
        """What a host finds in /etc/hosts; there is no other way to look up a name."""
        first = self.subnet.network_address + 10
        known = [f"{first + number} {self.name}h{number}" for number in range(1, self.n + 1)]
        return "\n".join(["127.0.0.1 localhost", f"{self.address} {platform.node()}", *known, ""])

    def close(self) -> None:
        """Remove the hosts and the bridge."""
        for host in self.hosts:
            host.remove()
        subprocess.run(["ip", "link", "del", self.name], check=False)


def _free_subnet() -> tuple[int, ipaddress.IPv4Network]:
    taken = sh("ip", "-o", "-4", "addr")
    for number in range(88, 250):
        if f" 10.88.{number}." not in taken and f" kf{number} " not in taken:
            return number, ipaddress.IPv4Network(f"10.88.{number}.0/24")
    raise AssertionError("no subnet is free: `ip link` shows what earlier runs have left")


class Cables:
    """What can happen to the cables of a network."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._slow: set[str] = set()
        self._unplugged: set[str] = set()

    def unplug(self, host: Host) -> None:
        """Pull out a host's cable: packets vanish, and nobody is told."""
        sh("ip", "link", "set", host.cable, "down")
        self._unplugged.add(host.cable)

    def plug(self, host: Host) -> None:
        """Plug it in again."""
        sh("ip", "link", "set", host.cable, "up")
        self._unplugged.discard(host.cable)

    def slow(self, host: Host, rate: str) -> None:
        """Limit what a host receives and sends: ``'1gbit'``."""
        shape = ("tbf", "rate", rate, "burst", "256k", "latency", "100ms")
        sh("tc", "qdisc", "add", "dev", host.cable, "root", *shape)
        inside = ("ip", "netns", "exec", host.name, "tc")
        sh(*inside, "qdisc", "add", "dev", "eth0", "root", *shape)
        self._slow.add(host.cable)

    def reset(self, host: Host) -> None:
        """Reset every TCP connection between a host and this machine."""
        inside = ("ip", "netns", "exec", host.name)
        sh(*inside, "ss", "-K", "dst", self._network.address)

    def mend(self, host: Host) -> None:
        """Plug it in, at full speed."""
        if host.cable in self._unplugged:
            self.plug(host)
        if host.cable in self._slow:
            sh("tc", "qdisc", "del", "dev", host.cable, "root")
            sh("ip", "netns", "exec", host.name, "tc", "qdisc", "del", "dev", "eth0", "root")
            self._slow.discard(host.cable)

    def into(self, host: Host) -> int:
        """How many bytes have gone into a host so far."""
        return _statistic(host, "tx_bytes")

    def out_of(self, host: Host) -> int:
        """How many bytes have come out of a host so far."""
        return _statistic(host, "rx_bytes")


def _statistic(host: Host, name: str) -> int:
    return int(Path(f"/sys/class/net/{host.cable}/statistics/{name}").read_text())


class Capture:
    """What travels over a network's bridge, until ``stop``.

    Args:
        network: Whose bridge.
        file: Where it is written.
    """

    def __init__(self, network: Network, file: Path) -> None:
        self.file, self._network = file, network
        self._process = subprocess.Popen(
            [
                "tcpdump",
                "-i",
                network.name,
                "-s",
                "0",
                "-U",
                "--immediate-mode",
                "-B",
                "65536",
                "-w",
                str(file),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        while "listening on" not in (line := self._process.stderr.readline()):
            assert line, "tcpdump did not start"

    def stop(self) -> bytes:
        """End the capture; returns it, with everything that was sent before."""
        last = secrets.token_bytes(16)

        def is_complete() -> bool:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(last, (self._network.hosts[0].address, 9))
            return last in self.file.read_bytes()[-100_000:]

        eventually(is_complete)
        self._process.terminate()
        _, said = self._process.communicate(timeout=20)
        assert "0 packets dropped by kernel" in said, said
        return self.file.read_bytes()
