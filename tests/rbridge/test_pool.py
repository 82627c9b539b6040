"""Worker processes with an R each: what dies is replaced, what fails says where, Ctrl-C leaves nothing behind."""

from __future__ import annotations

import os
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from hetcal import rbridge

pytestmark = pytest.mark.usefixtures("needs_r")

RUNNING = """
from hetcal.rbridge import RPool

def spin(marker):
    import os, pathlib
    from hetcal import rbridge
    rbridge.call("package_versions", packages=["stats"])
    pathlib.Path(marker, str(os.getpid())).touch()
    from hetcal.rbridge import session
    session._session.rinterface.evalr("while (TRUE) sqrt(2)")
"""


def calls(function, *arguments, names=None):
    """A call for each argument, made in a worker."""
    return [(f"'t{i}'", lambda a=a: function(a)) for i, a in enumerate(arguments)]


def alive(pid):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except FileNotFoundError:
        return False


def process_id(_):
    """Number of the process, with R started in it."""
    rbridge.call("package_versions", packages=["stats"])
    return os.getpid()


def test_values_come_in_order_from_workers_that_are_kept():
    def slow_first(x):
        time.sleep(0.5 if x == 0 else 0.0)
        return x, process_id(x)

    with rbridge.RPool(2) as pool:
        first = pool.run(calls(slow_first, 0, 1, 2, 3))
        again = pool.run(calls(process_id, 0, 1, 2, 3))
    assert [x for x, _ in first] == [0, 1, 2, 3]
    pids = {pid for _, pid in first}
    assert len(pids) == 2 and os.getpid() not in pids
    assert set(again) <= pids
    assert not any(alive(pid) for pid in pids)


def quits(first_time):
    """End R, and with it the process."""
    if not first_time.exists():
        first_time.touch()
        from hetcal.rbridge import session

        rbridge.start()
        session._session.rinterface.evalr("quit('no')")
    return "done"


def kills(first_time):
    if not first_time.exists():
        first_time.touch()
        rbridge.start()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def starves(first_time):
    """Ask R for more memory than this process may have."""
    import resource

    if not first_time.exists():
        first_time.touch()
        from hetcal.rbridge import session

        rbridge.call("package_versions", packages=["stats"])
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, resource.RLIM_INFINITY))
        session._session.environment["echo_large"] = session._session.rinterface.evalr(
            "function() sum(numeric(2^28))"
        )
        rbridge.call("echo_large")
    return "done"


@pytest.mark.parametrize("dies", [quits, kills, starves])
def test_a_worker_that_dies_is_replaced_and_its_task_tried_once_more(dies, tmp_path):
    with rbridge.RPool(2) as pool:
        assert pool.run(calls(dies, tmp_path / "a", tmp_path / "b")) == ["done", "done"]


class Never:
    """A marker that is never there: every time is the first."""

    def exists(self):
        return False

    def touch(self):
        """Leave no trace."""


@pytest.mark.parametrize(
    "dies, cause",
    [
        (quits, r"it killed its process \(exit code 0\)"),
        (kills, "it was killed, as the system does for want of memory"),
        (starves, "it ran out of memory: use fewer workers"),
    ],
)
def test_a_task_that_kills_twice_is_named_with_the_cause(dies, cause):
    with rbridge.RPool(1) as pool:
        with pytest.raises(rbridge.RWorkerDied, match=f"fitted 't0' died, and again .*: {cause}"):
            pool.run(calls(dies, Never()))
        assert pool.run(calls(str, 1)) == ["1"]


def test_an_error_of_r_comes_back_whole_and_with_the_name():
    def fails(_):
        from hetcal.rbridge import session

        rbridge.start()
        session._session.environment["fails"] = session._session.rinterface.evalr("function(X, Z) X %*% Z")
        rbridge.call("fails", X=np.ones((4, 3)), Z=np.ones((2, 2)))

    with rbridge.RPool(1) as pool, pytest.raises(rbridge.RError) as caught:
        pool.run(calls(fails, 0))
    error = caught.value
    assert error.call == "X %*% Z" and "non-conformable" in error.message
    assert error.shapes == {"X": "(4, 3) float64", "Z": "(2, 2) float64"}
    assert error.__notes__ == ["in the fit of 't0'"]


def test_a_failed_task_stops_the_others(tmp_path):
    def fails_or_sleeps(x):
        if x == 0:
            raise ValueError("no such thing")
        time.sleep(30)
        (tmp_path / "slept").touch()

    with rbridge.RPool(2) as pool, pytest.raises(ValueError, match="no such thing"):
        pool.run(calls(fails_or_sleeps, 0, 1))
    assert not (tmp_path / "slept").exists()


def test_warnings_are_given_again_with_the_name_once():
    def warns(x):
        for _ in range(2):
            warnings.warn("hot", rbridge.RWarning, stacklevel=2)
        warnings.warn("'t1' is odd", UserWarning, stacklevel=2)

    with rbridge.RPool(1) as pool, pytest.warns(UserWarning) as caught:
        pool.run([("'t1'", lambda: warns(0))])
    assert [(w.category, str(w.message)) for w in caught] == [
        (rbridge.RWarning, "'t1': hot"),
        (UserWarning, "'t1' is odd"),
    ]


@pytest.mark.parametrize("workers", [0, 1.5, True, "2"])
def test_workers_are_a_whole_number(workers):
    with pytest.raises(ValueError, match="give a whole number of at least 1"):
        rbridge.RPool(workers)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_an_interrupt(number, start_python, tmp_path):
    """Ctrl-C ends all in order; where the parent itself is killed, its workers die with it."""
    parent = start_python(
        RUNNING
        + f"""
try:
    with RPool(2) as pool:
        pool.run([(str(i), lambda: spin({str(tmp_path)!r})) for i in range(3)])
except KeyboardInterrupt:
    print("interrupted")
"""
    )
    until = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    pids = [int(path.name) for path in tmp_path.iterdir()]
    assert len(pids) == 2 and all(alive(pid) for pid in pids)
    time.sleep(0.3)
    parent.send_signal(number)
    out, err = parent.communicate(timeout=30)
    until = time.monotonic() + 10
    while any(alive(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)
    if number == signal.SIGINT:
        assert (out, parent.returncode) == ("interrupted\n", 0), err
