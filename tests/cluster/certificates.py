"""A certificate authority and one certificate for all hosts, for the mutual TLS of Dask."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.hosts import sh


class Certificates:
    """Makes them, in a folder that all hosts see."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.authority, self.certificate, self.key = (
            str(folder / name) for name in ("ca.pem", "node.pem", "node.key")
        )
        authority_key, request = str(folder / "ca.key"), str(folder / "node.csr")
        new = ("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
        sh(*new, "-nodes", "-x509", "-keyout", authority_key, "-out", self.authority, "-days", "2",
           "-subj", "/CN=kernelfleet tests")  # fmt: skip
        sh(*new, "-nodes", "-keyout", self.key, "-out", request, "-subj", "/CN=node")
        sh("openssl", "x509", "-req", "-in", request, "-CA", self.authority, "-CAkey",
           authority_key, "-CAcreateserial", "-out", self.certificate, "-days", "2")  # fmt: skip

    @property
    def options(self) -> list[str]:
        """For the command lines of Dask's scheduler and workers."""
        files = {"ca-file": self.authority, "cert": self.certificate, "key": self.key}
        return [word for name, path in files.items() for word in (f"--tls-{name}", path)]

    @property
    def settings(self) -> dict[str, object]:
        """The same for Dask in this process, as `dask.config.set` takes it."""
        tls, whose = "distributed.comm.tls", ("client", "scheduler", "worker")
        return {
            "distributed.comm.require-encryption": True,
            f"{tls}.ca-file": self.authority,
            **{f"{tls}.{each}.cert": self.certificate for each in whose},
            **{f"{tls}.{each}.key": self.key for each in whose},
        }

    @property
    def environment(self) -> dict[str, str]:
        """For Dask's clients, as its configuration reads it."""
        tls = "DASK_DISTRIBUTED__COMM__TLS__"
        return {
            f"{tls}CA_FILE": self.authority,
            f"{tls}CLIENT__CERT": self.certificate,
            f"{tls}CLIENT__KEY": self.key,
            "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True",
        }
