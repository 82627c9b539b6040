"""Shared by all tests."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session")
def needs_r():
    """R with hetGP. On a user's machine without them the test is skipped; in CI that is a failure."""
    from hetcal import rbridge

    try:
        rbridge.start()
        if rbridge.versions()["hetGP"] is None:
            raise rbridge.RMissing("R's package hetGP is not installed: run `hetcal install-r`")
    except rbridge.RMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
