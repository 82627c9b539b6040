"""Random streams: every use of randomness has a branch of its own, fixed by (seed, purpose, index).

Nothing here keeps a state, so adding a worker or a replicate, or resuming a killed study, never changes
the numbers of another part.
"""

from __future__ import annotations

import numpy as np

PURPOSES = {
    "design": 0,
    "candidates": 1,
    "calibration": 2,
    "finalists": 3,
    "validation": 4,
    "truth": 5,
    "ensemble": 6,
    "sensitivity": 7,
    "emulator": 8,
    "bootstrap": 9,
    "reporting": 10,
    "predictive": 11,
    "scenarios": 12,
    "recovery": 13,
    "placement": 14,
    "cascade": 15,
    "exhibits": 16,
    "cheap": 17,
}

_HASH_BITS = 48


def check_seed(seed: int) -> int:
    """Return ``seed`` as a Python int; anything but a whole number of at least 0 raises ``ValueError``.

    Examples
    --------
    >>> from hetcal.streams import check_seed
    >>> check_seed(0)
    0
    """
    if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"a seed is a whole number of at least 0, not {seed!r}")
    return int(seed)


def _sequence(seed: int, purpose: str, index: tuple[int, ...]) -> np.random.SeedSequence:
    if purpose not in PURPOSES:
        raise ValueError(f"unknown purpose {purpose!r}: choose one of {', '.join(PURPOSES)}")
    return np.random.SeedSequence(check_seed(seed), spawn_key=(PURPOSES[purpose], *index))


def generator(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """Random generator of one branch of a study.

    Use it wherever the package itself needs randomness (designs, candidates, bootstraps).

    Parameters
    ----------
    seed : int
        The study's seed, at least 0.
    purpose : str
        One of `PURPOSES`.
    *index : int
        Position within the purpose, for instance the round.

    Returns
    -------
    numpy.random.Generator

    Examples
    --------
    >>> from hetcal.streams import generator
    >>> generator(1, "candidates", 3).random() == generator(1, "candidates", 3).random()
    True
    """
    return np.random.default_rng(_sequence(seed, purpose, index))


def simulator_seeds(seed: int, purpose: str, round: int, location: int, n: int) -> np.ndarray:
    """Seeds for the `n` replicates of one location.

    The purpose stands in the top bits, so seeds of different purposes can never meet; the other 48 bits are
    a hash of (seed, round, location, replicate). All are below 2**53 and so cross into R and CSV unchanged.
    The first seeds stay the same when `n` grows.

    Parameters
    ----------
    seed : int
        The study's seed, at least 0.
    purpose : str
        One of `PURPOSES`.
    round, location : int
        Where in the study the location stands.
    n : int
        Number of replicates.

    Returns
    -------
    numpy.ndarray
        int64, shape (n,).

    Examples
    --------
    >>> from hetcal.streams import simulator_seeds
    >>> three, two = (simulator_seeds(1, "calibration", 0, 0, n) for n in (3, 2))
    >>> bool((three[:2] == two).all())
    True
    """
    words = _sequence(seed, purpose, (round, location)).generate_state(n, np.uint64)
    hashed = (words >> np.uint64(64 - _HASH_BITS)).astype(np.int64)
    return hashed + (PURPOSES[purpose] << _HASH_BITS)
