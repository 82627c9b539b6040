"""A process that outlives its owner by a moment: it kills what the owner's commands left running.

Run as a script, by path and without site packages, so that it starts in milliseconds: standard library only. Its
standard input is a pipe that the owner holds; a line, or its end, tells that the owner has ended, however that is.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time

VARIABLE = "HETCAL_RUN"


def marked(mark: str) -> list[int]:
    """Processes whose environment holds a mark that begins so; none where there is no /proc."""
    wanted = f"\0{VARIABLE}={mark}".encode()
    found = []
    for name in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else []):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if wanted in b"\0" + file.read():
                    found.append(int(name))
        except OSError:
            pass  # of another user, or gone
    return found


def kill_marked(mark: str) -> None:
    """Kill the processes with a mark that begins so, until two looks in a row find none.

    Children inherit the mark, also those that left the process group; one look can miss a process that is being born.
    """
    empty = 0
    while empty < 2:
        found = marked(mark)
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        empty = 0 if found else empty + 1
        time.sleep(0.02)


def main(mark: str, folder: str) -> None:
    """Wait for the owner's end, kill what is left of its commands, remove the folder of its working directories."""
    sys.stdin.buffer.readline()
    kill_marked(mark)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
