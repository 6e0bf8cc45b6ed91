"""Published numbers that ``srbench reproduce`` measures again: tables, and logs of published outputs."""

from srbench.interfaces import SRBenchError


class ReproduceError(SRBenchError):
    """Published numbers that cannot be reproduced or compared."""
