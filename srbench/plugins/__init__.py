"""Plug-ins: found by name, and identified by a digest of their code."""

from srbench.interfaces import SRBenchError


class PluginError(SRBenchError):
    """A plug-in that cannot be found or used."""
