"""A real sshd on each host, which lets root in with a key of the test."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess

from tests.cluster.hosts import Host, Network, sh
from tests.fleets import eventually

_CONF = """\
Port 22
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin yes
LogLevel ERROR
"""

#: For OpenSSH's client.
_CLIENT = """\
Host *
    IdentityFile {folder}/user
    UserKnownHostsFile {folder}/known
    StrictHostKeyChecking yes
    BatchMode yes
    LogLevel ERROR
"""


def why_not() -> str:
    """Why there can be no sshd here; empty if there can."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [name for name in ("sshd", "ssh", "ssh-keygen") if not shutil.which(name, path=path)]
    return f"sshd needs {', '.join(missing)} (openssh-server)" if missing else ""


class Sshd:
    """An sshd on each host of a network, until the hosts are cleaned."""

    def __init__(self, network: Network) -> None:
        self.folder = network.folder / f"ssh-{secrets.token_hex(4)}"
        self.folder.mkdir(mode=0o700)
        for name in ("host", "user"):
            sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name))
        conf = self.folder / "sshd_config"
        conf.write_text(_CONF.format(folder=self.folder))
        self.client_conf = self.folder / "ssh_config"
        self.client_conf.write_text(_CLIENT.format(folder=self.folder))
        key = (self.folder / "host.pub").read_text()
        names = (name for host in network.hosts for name in (host.address, host.name))
        (self.folder / "known").write_text("".join(f"{name} {key}" for name in names))
        for host in network.hosts:
            host.popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(conf)], stderr=subprocess.DEVNULL)
        for host in network.hosts:
            eventually(lambda host=host: _answers(host), 20)  # type: ignore[misc]

    @property
    def for_asyncssh(self) -> dict[str, object]:
        """Options for asyncssh, which Dask's SSHCluster uses."""
        return {
            "known_hosts": str(self.folder / "known"),
            "client_keys": [str(self.folder / "user")],
            "username": "root",
        }


def _answers(host: Host) -> bool:
    try:
        with socket.create_connection((host.address, 22), 1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
