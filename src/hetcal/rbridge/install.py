"""Find R and rpy2, say what is missing and the command that mends it, and install R's packages."""

from __future__ import annotations


def check_installation() -> None:
    """Placeholder until the checks land."""
