"""The report: one HTML file a colleague can read, its figures, and its numbers for programs."""

from hetcal.report.exhibits import Exhibit
from hetcal.report.html import write_report
from hetcal.report.models import write_comparison

__all__ = ["Exhibit", "write_comparison", "write_report"]
