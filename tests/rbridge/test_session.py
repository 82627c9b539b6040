"""Calls: errors, warnings, and what a call must leave as it was."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from hetcal import rbridge


def test_an_error_has_the_call_the_message_and_the_shapes(r):
    with pytest.raises(rbridge.RError) as caught:
        r("fails", X=np.ones((4, 3)), Z=np.ones((2, 2)))
    error = caught.value
    assert error.call == "X %*% Z"
    assert "non-conformable" in error.message
    assert error.shapes == {"X": "(4, 3) float64", "Z": "(2, 2) float64"}
    assert "X: (4, 3) float64" in str(error) and "non-conformable" in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (again.call, again.message, again.shapes) == (error.call, error.message, error.shapes)


def test_an_error_without_a_call(r):
    with pytest.raises(rbridge.RError, match="R stopped: no call here"):
        r("fails_without_call")


def test_wrong_arguments_are_r_errors_that_stay_short(r):
    with pytest.raises(rbridge.RError, match="unused argument") as caught:
        r("fails", X=np.ones((500, 20)), Z=1.0, y=np.arange(5000.0))
    assert len(str(caught.value)) < 400


def test_warnings_arrive_once_with_their_call(r):
    with pytest.warns(rbridge.RWarning, match=r"y is 2 \(in R's inner\(x\)\)") as caught:
        assert r("warns", x=2) == 2
    assert len(caught) == 1


def test_an_unknown_function_is_refused(r):
    with pytest.raises(ValueError, match="no function 'mean'"):
        r("mean", x=1)


def test_a_missing_r_package_names_the_command(r):
    with pytest.raises(
        rbridge.RMissing, match=r"""nosuchpackage is not.*install.packages\("nosuchpackage"\)"""
    ):
        r("uses_absent_package")


def test_without_hetgp_the_command_is_hetcals_own(needs_r, run_python, evaluate, tmp_path):
    # An R that does not look into the folder of hetGP.
    home = evaluate("R.home()")[0]
    profile = tmp_path / "profile.R"
    profile.write_text(f".libPaths('{home}/library', include.site = FALSE)\n")
    done = run_python(
        "load_probes()\ntry:\n    rbridge.call('raw_fit', X=1, Z=1)\n"
        "except rbridge.RMissing as missing:\n    print(missing)",
        R_PROFILE_USER=str(profile),
    )
    assert done.stdout == "R's package hetGP is not installed: run `hetcal install-r`\n", done.stderr


def test_the_console_stays_silent(r, capfd):
    assert r("wordy") == 1
    assert capfd.readouterr() == ("", "")


def test_a_question_is_answered_and_not_waited_for(r, capfd):
    assert r("asks") == ""
    assert capfd.readouterr() == ("", "")


def test_the_users_workspace_is_not_seen(r, evaluate):
    evaluate("left_by_a_user <- 1")
    try:
        assert r("sees_workspace") is False
    finally:
        evaluate("rm(left_by_a_user)")


def test_the_random_seed_is_restored(r, evaluate):
    evaluate("set.seed(11)")
    before = list(evaluate(".Random.seed"))
    first = r("draws")
    assert list(evaluate(".Random.seed")) == before
    np.testing.assert_array_equal(r("draws"), first)


def test_an_absent_seed_stays_absent(r, evaluate):
    evaluate("if (exists('.Random.seed', globalenv())) rm('.Random.seed', envir = globalenv())")
    assert not np.array_equal(r("draws"), r("draws"))
    assert not evaluate("exists('.Random.seed', globalenv())")[0]


def test_the_seed_is_restored_after_an_error(r, evaluate):
    evaluate("set.seed(12)")
    before = list(evaluate(".Random.seed"))
    with pytest.raises(rbridge.RError):
        r("fails_without_call")
    assert list(evaluate(".Random.seed")) == before


def test_blas_has_one_thread_inside_a_call_and_its_own_number_afterwards(r):
    def threads():
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    seen, done = [], threading.Event()

    def look():
        while not done.is_set():
            seen.append(threads())

    with threadpool_limits(2, user_api="blas"):
        watcher = threading.Thread(target=look)
        watcher.start()
        r("sleeps", seconds=0.5)
        done.set()
        watcher.join()
        assert {1} in seen
        assert threads() == {2}


def test_threads_are_served_one_after_the_other(r):
    answers = {}

    def work(k):
        answers[k] = [r("echo", x=np.full(50, k)).sum() for _ in range(40)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {k: [50.0 * k] * 40 for k in range(6)}


def test_a_fit_in_a_thread_equals_one_on_the_main_thread(r):
    X = np.random.default_rng(1).random((40, 2))
    Z = X.sum(axis=1)
    there = []
    thread = threading.Thread(target=lambda: there.append(r("raw_fit", X=X, Z=Z)))
    thread.start()
    thread.join()
    assert there == [r("raw_fit", X=X, Z=Z)]


def test_a_runaway_recursion_is_an_error_on_every_thread(run_python):
    done = run_python(
        """
import threading
load_probes()
def dive():
    try:
        rbridge.call("recurses", n=1)
    except rbridge.RError as error:
        print(error.message[:13])
dive()
thread = threading.Thread(target=dive)
thread.start()
thread.join()
print(rbridge.call("echo", x=4))
"""
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 3 and lines[2] == "4.0", done.stderr
    assert all(line.startswith(("C stack usage", "evaluation ne")) for line in lines[:2])


def test_the_sigint_handler_and_the_dates_are_as_before_the_start(run_python):
    done = run_python(
        """
import locale, os, signal
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, locale.setlocale(locale.LC_TIME))
load_probes()
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, locale.setlocale(locale.LC_TIME))
""",
        LC_ALL="C.UTF-8",
    )
    before, after = done.stdout.splitlines()
    assert before == after and before.startswith("True"), done.stderr


@pytest.mark.parametrize("function", ["computes_forever", "prints_forever", "fits_forever"])
def test_ctrl_c_stops_r_and_the_next_call_works(start_python, function, needs_r):
    child = start_python(
        f"""
import sys
import numpy as np
load_probes()
X = np.random.default_rng(1).random((200, 3))
data = {{"X": X, "Z": X.sum(axis=1)}} if "{function}" == "fits_forever" else {{}}
rbridge.call("raw_fit", X=X[:20], Z=X[:20, 0])
print("computing")
try:
    rbridge.call("{function}", **data)
except KeyboardInterrupt:
    print("interrupted")
print(rbridge.call("echo", x=5))
"""
    )
    assert child.stdout.readline() == "computing\n", child.stderr.read()
    with pytest.raises(Exception, match="timed out"):
        child.wait(0.5)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (out, err) == ("interrupted\n5.0\n", "")


def test_ctrl_c_at_any_moment_of_a_call_leaves_the_bridge_whole(needs_r, run_python):
    done = run_python(
        """
import os, random, signal, threading, time
import numpy as np
load_probes()
rng, X, inside, over = random.Random(1), np.ones((50, 3)), [], threading.Event()

def handler(number, frame):
    if inside:
        inside.clear()
        raise KeyboardInterrupt

def interrupt():
    while not over.is_set():
        time.sleep(0.003 * rng.random())
        os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, handler)
sender = threading.Thread(target=interrupt)
sender.start()
answered = interrupted = 0
while answered < 100 or interrupted < 100:
    try:
        inside.append(True)
        answered += np.array_equal(rbridge.call("sums", X=X), X)
        inside.clear()
    except KeyboardInterrupt:
        interrupted += 1
over.set()
sender.join()
print(signal.getsignal(signal.SIGINT) is handler, signal.set_wakeup_fd(-1), rbridge.call("echo", x=6))
"""
    )
    assert (done.stdout, done.stderr) == ("True -1 6.0\n", "")


def test_a_users_own_handler_is_called_after_r_has_unwound(r, evaluate):
    calls = []
    before = signal.signal(signal.SIGINT, lambda number, frame: calls.append(number))
    try:
        with pytest.raises(KeyboardInterrupt):
            r("signals_itself", signal=int(signal.SIGINT))
        assert calls == [signal.SIGINT]
        assert r("echo", x=1) == 1
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_ignored_sigint_stays_ignored(r):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert r("signals_itself", signal=int(signal.SIGINT)) == 2
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_event_loop_still_learns_of_its_signals(r):
    loop_side, our_side = socket.socketpair()
    our_side.setblocking(False)
    handler = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    before = signal.set_wakeup_fd(our_side.fileno())
    try:
        r("signals_itself", signal=int(signal.SIGUSR1))
        loop_side.settimeout(10)
        assert loop_side.recv(1) == bytes([signal.SIGUSR1])
        assert signal.set_wakeup_fd(our_side.fileno()) == our_side.fileno()
    finally:
        signal.set_wakeup_fd(before)
        signal.signal(signal.SIGUSR1, handler)
        loop_side.close()
        our_side.close()


def test_a_forked_child_is_refused_and_told_to_spawn(needs_r, run_python):
    done = run_python(
        """
import os
load_probes()
child = os.fork()
if child == 0:
    try:
        rbridge.call("echo", x=1)
    except RuntimeError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(rbridge.call("echo", x=2))
"""
    )
    refusal, answer = done.stdout.splitlines()
    assert "forked" in refusal and "spawn" in refusal and answer == "2.0"


def test_a_start_from_another_thread_is_refused(needs_r, run_python):
    done = run_python(
        """
import threading
def work():
    try:
        rbridge.call("echo", x=1)
    except RuntimeError as error:
        print(error)
thread = threading.Thread(target=work)
thread.start()
thread.join()
load_probes()
print(rbridge.call("echo", x=2))
"""
    )
    refusal, answer = done.stdout.splitlines()
    assert "main thread" in refusal and "hetcal.rbridge.start()" in refusal and answer == "2.0"


def test_importing_the_bridge_starts_no_r(run_python):
    done = run_python("import sys; print('rpy2' in sys.modules, session._session)")
    assert done.stdout == "False None\n"


def test_a_workspace_in_the_current_folder_is_not_loaded(needs_r, run_python, tmp_path, evaluate):
    evaluate(f"local({{ echo <- 9; save(echo, file = '{tmp_path / '.RData'}') }})")
    done = run_python(
        f"""
import os
os.chdir({os.fspath(tmp_path)!r})
load_probes()
print(session._session.rinterface.evalr("exists('echo')")[0])
"""
    )
    assert done.stdout == "False\n", done.stderr
