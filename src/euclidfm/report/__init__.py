"""The report: one self-contained page, and the same numbers as JSON."""

from euclidfm.report.build import build_report
from euclidfm.report.inputs import ReportInputs

__all__ = ["ReportInputs", "build_report"]
