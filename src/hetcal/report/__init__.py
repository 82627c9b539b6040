"""Report: one HTML file that a colleague can read, its figures, and the numbers behind it."""

from hetcal.report.html import write_report

__all__ = ["write_report"]
