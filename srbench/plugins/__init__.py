"""Plug-ins: lookup by name, and identification by a digest of their code."""

from srbench.interfaces import SRBenchError


class PluginError(SRBenchError):
    """A plug-in that cannot be found or used."""
