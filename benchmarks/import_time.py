"""How long `import hetcal` takes, against `import numpy` and `import pandas`, each in fresh processes."""

from __future__ import annotations

import statistics
import subprocess
import sys

REPEATS = 9


def milliseconds(module: str) -> float:
    """Milliseconds that the import of a module takes in a process of its own."""
    clock = "time.perf_counter()"
    code = f"import time; start = {clock}; import {module}; print(1000 * ({clock} - start))"
    return float(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )


def main() -> None:
    """Print the median of each import; taking turns, so that a busy machine slows all alike."""
    names = ("hetcal", "numpy", "pandas")
    times = [[milliseconds(name) for name in names] for _ in range(REPEATS)]
    ours, numpy, pandas = (statistics.median(column) for column in zip(*times))
    print(
        f"import hetcal: {ours:.0f} ms, import numpy: {numpy:.0f} ms, import pandas: {pandas:.0f} ms, "
        f"ratio {ours / pandas:.3f}x pandas (median of {REPEATS} processes)"
    )


if __name__ == "__main__":
    main()
