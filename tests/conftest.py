"""Shared by all tests."""

from __future__ import annotations

import os
import signal

import pytest

# A shell that starts a job in the background has it ignore SIGINT, and so would every child that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
