"""SRFlow: the space of high-resolution images behind a low-resolution one, as a conditional normalizing flow."""

from srflow.config import SRFlowConfig
from srflow.model import SRFlow
from srflow.zoo import load_official

__all__ = ["SRFlow", "SRFlowConfig", "load_official"]
