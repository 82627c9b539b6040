"""Decisions: what a posterior means for a choice between scenarios, and what would change that choice."""

from hetcal.decisions.scenarios import Scenarios, compare_scenarios

__all__ = ["Scenarios", "compare_scenarios"]
