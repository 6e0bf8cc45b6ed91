"""What is made of a run: tables, images, plots, pages, comparisons."""

from srbench.interfaces import SRBenchError


class ReportError(SRBenchError):
    """A report, comparison or page that cannot be made."""
