"""What Jupyter Server loads, and that it costs nothing until it is used."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import kernelfleet

ROOT = Path(__file__).resolve().parents[2]


def test_importing_what_the_server_names_loads_neither_client_nor_server() -> None:
    code = (
        "import sys, time; began = time.process_time(); import kernelfleet.server;"
        "took = time.process_time() - began; print(took, *sys.modules)"
    )
    took: list[float] = []
    for _ in range(5):  # the quickest, since a busy machine makes any of them slower
        run = subprocess.run(
            [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
        )
        seconds, *modules = run.stdout.split()
        assert not {"zmq", "tornado", "jupyter_server", "kernelfleet.client"} & set(modules)
        took.append(float(seconds))
    assert min(took) < 0.03


def test_loading_the_extension_loads_nothing_of_the_client() -> None:
    pytest.importorskip("jupyter_server", reason="jupyter_server is not installed")
    code = (
        "import sys, kernelfleet, jupyter_server.serverapp, jupyter_server.extension.application\n"
        "kernelfleet._jupyter_server_extension_points()\n"
        "import kernelfleet.server.handlers, kernelfleet.server.web_socket\n"
        "print(*(name for name in sys.modules if name.startswith('kernelfleet')))\n"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    ours = {name.split(".")[1] for name in run.stdout.split() if "." in name}
    assert ours == {"server"}


def test_the_package_says_where_its_extensions_are() -> None:
    pytest.importorskip("jupyter_server", reason="jupyter_server is not installed")
    (point,) = kernelfleet._jupyter_server_extension_points()
    assert point["module"] == "kernelfleet.server"
    (paths,) = kernelfleet._jupyter_labextension_paths()
    folder = ROOT / "kernelfleet" / paths["src"]
    package = json.loads((folder / "package.json").read_text())
    assert paths["dest"] == package["name"] == "kernelfleet"
    assert package["version"] == kernelfleet.__version__
    assert (folder / package["jupyterlab"]["_build"]["load"]).is_file()
    assert json.loads((folder / "install.json").read_text())["packageName"] == "kernelfleet"


def test_the_configuration_file_switches_it_on() -> None:
    file = ROOT / "jupyter-config" / "server-config" / "kernelfleet.json"
    enabled = json.loads(file.read_text())["ServerApp"]["jpserver_extensions"]
    assert enabled == {"kernelfleet": True}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_an_installation_has_what_the_servers_look_for(tmp_path: Path, kind: str) -> None:
    """From a clone, without Node, and from an editable installation of one."""
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    code = f"from hatchling.build import build_{kind}; build_{kind}({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    data = f"kernelfleet-{kernelfleet.__version__}.data/data"
    shipped = {name.removeprefix(data) for name in names if name.startswith(data)}
    source = ROOT / "kernelfleet" / "labextension"
    files = {str(each.relative_to(source)) for each in source.rglob("*") if each.is_file()}
    extension = "/share/jupyter/labextensions/kernelfleet/"
    assert {f"{extension}{name}" for name in files} <= shipped
    assert "/etc/jupyter/jupyter_server_config.d/kernelfleet.json" in shipped
    assert not [name for name in names if name.startswith("kernelfleet/labextension")]
