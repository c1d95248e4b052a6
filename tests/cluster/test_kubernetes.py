"""The commands of docs/kubernetes.yaml, on hosts in the place of pods."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.certificates import Certificates
from tests.cluster.hosts import ROOT, Network, Running
from tests.fleets import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

#: What stands in the image's PATH.
PROGRAMS = {
    "dask": [sys.executable, "-m", "dask"],
    "kernelfleet": [sys.executable, "-m", "kernelfleet.cli"],
}


@pytest.fixture
def containers() -> dict[str, dict[str, Any]]:
    """The container of each Deployment."""
    yaml = pytest.importorskip("yaml", reason="the manifest is YAML, which Dask reads as well")
    documents = list(yaml.safe_load_all((ROOT / "docs" / "kubernetes.yaml").read_text()))
    return {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]["containers"][0]
        for each in documents
        if each["kind"] == "Deployment"
    }


@pytest.fixture
def secret(network: Network, certificates: Certificates) -> Path:
    """What is mounted at /tls."""
    folder = network.folder / "tls"
    folder.mkdir(exist_ok=True)
    for source, name in (
        ("authority", "ca.pem"),
        ("certificate", "node.cert"),
        ("key", "node.key"),
    ):
        shutil.copy(getattr(certificates, source), folder / name)
    return folder


class Pods:
    """Runs containers on hosts; names and paths are those of this machine."""

    def __init__(self, network: Network, secret: Path) -> None:
        self._network, self._secret = network, secret

    def _here(self, text: str) -> str:
        scheduler = self._network.hosts[0].name
        return text.replace("/tls/", f"{self._secret}/").replace("fleet-scheduler", scheduler)

    def run(self, host: int, container: dict[str, Any], **instead: str) -> Running:
        argv = [instead.get(word.lstrip("-"), self._here(word)) for word in container["args"]]
        argv = [*PROGRAMS[argv[0]], *argv[1:]]
        env = {each["name"]: self._here(each["value"]) for each in container.get("env", ())}
        log = (self._network.folder / f"pod-{host}.log").open("w")
        with log:
            return self._network.hosts[host].popen(argv, env=env, stdout=log, stderr=log)

    def said(self, host: int) -> str:
        return (self._network.folder / f"pod-{host}.log").read_text()


@pytest.fixture
def pods(network: Network, secret: Path) -> Pods:
    pytest.importorskip("distributed")
    return Pods(network, secret)


def test_the_manifest_makes_a_fleet(pods: Pods, network: Network, containers: Any) -> None:
    assert sorted(containers) == ["fleet-head", "fleet-scheduler", "fleet-worker"]
    assert len({each["image"] for each in containers.values()}) == 1
    pods.run(0, containers["fleet-scheduler"])
    eventually(lambda: "Scheduler at" in pods.said(0), 20)
    pods.run(1, containers["fleet-worker"])
    eventually(lambda: "Registered to" in pods.said(1), 30)
    head = containers["fleet-head"]
    sixteen = head["args"].index("16")  # are many for two cores
    pods.run(2, {**head, "args": [*head["args"][:sixteen], "4", *head["args"][sixteen + 1 :]]})
    eventually(lambda: "is ready" in pods.said(2), 60)
    runtime = {each["name"]: each["value"] for each in head["env"]}["JUPYTER_RUNTIME_DIR"]
    code = (
        "from kernelfleet import MultiEngineClient; mec = MultiEngineClient(); "
        "print(*mec.execute('import socket; socket.gethostname()').values())"
    )
    client = network.hosts[2].python(code, env={"JUPYTER_RUNTIME_DIR": runtime})
    assert client.communicate(timeout=30)[0].split() == [network.hosts[1].name] * 4


def test_the_page_leads_to_the_connection_file(containers: Any) -> None:
    env = {each["name"]: each["value"] for each in containers["fleet-head"]["env"]}
    page = (ROOT / "docs" / "clusters.md").read_text()
    assert f"{env['JUPYTER_RUNTIME_DIR']}/kernelfleet/default/fleet.json" in page
