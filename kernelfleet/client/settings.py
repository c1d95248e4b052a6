"""The settings of this process that all of its clients share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Settings:
    """What calls show if neither the call nor the client says; ``%config KernelFleet`` sets it.

    Attributes:
        progress: Whether a blocking call that takes long shows how far it is.
        live: In IPython, whether a blocking call shows what engines print while they run.
    """

    progress: bool = True
    live: bool = True


settings = Settings()
