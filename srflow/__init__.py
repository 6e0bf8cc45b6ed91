"""SRFlow: the space of high-resolution images behind a low-resolution one, as a conditional normalizing flow."""

from srflow.config import SRFlowConfig
from srflow.model import SRFlow

__all__ = ["SRFlow", "SRFlowConfig"]
