"""Plug-ins: found by name, and identified by a digest of their code."""
