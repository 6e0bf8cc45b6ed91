"""SRFlow: the space of high-resolution pictures behind a low-resolution one, as a conditional normalizing flow."""

from srflow.config import SRFlowConfig
from srflow.convert import load_official
from srflow.model import SRFlow

__all__ = ["SRFlow", "SRFlowConfig", "load_official"]
