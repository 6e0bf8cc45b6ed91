"""Reports of runs: tables, images, plots, pages, comparisons."""

from srbench.interfaces import SRBenchError


class ReportError(SRBenchError):
    """Raised for a report, comparison or page that cannot be made."""
