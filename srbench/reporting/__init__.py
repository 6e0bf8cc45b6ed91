"""Reports of runs: tables, images, plots, pages, comparisons."""

from srbench.interfaces import SRBenchError


class ReportError(SRBenchError):
    """A report, comparison or page that cannot be made."""
