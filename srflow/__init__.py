"""SRFlow: the space of high-resolution images behind a low-resolution one, as a conditional normalizing flow."""

import srbench.machine.threads  # noqa: F401 - before torch
from srflow.config import SRFlowConfig
from srflow.model import SRFlow
from srflow.zoo import load_official

__all__ = ["SRFlow", "SRFlowConfig", "load_official"]
