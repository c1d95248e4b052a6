"""A backend of joblib: ``Parallel`` of joblib and of scikit-learn on the engines of a fleet.

Importing this registers it, and so does ``%load_ext kernelfleet`` once joblib is there::

    import joblib, kernelfleet.joblib

    with joblib.parallel_config("kernelfleet", fleet=mec):
        GridSearchCV(model, grid).fit(X, y)

Where things are::

    the client's side    backend  pace  large_arguments
    on an engine         worker
"""

from __future__ import annotations

from typing import Any

from joblib.parallel import register_parallel_backend

NAME = "kernelfleet"


def make_backend(**options: Any) -> Any:
    """What joblib calls for each ``parallel_config("kernelfleet", ...)``."""
    # An engine imports this package as well, and needs nothing of the client.
    from kernelfleet.joblib.backend import FleetBackend

    return FleetBackend(**options)


register_parallel_backend(NAME, make_backend)
