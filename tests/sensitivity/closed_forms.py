"""Functions whose Sobol' indices are known: (function, space, first, total)."""

from __future__ import annotations

import numpy as np
from scipy import stats

from hetcal.parameters import Parameter, Space, uniform


def ishigami():
    """sin x1 + 7 sin^2 x2 + .1 x3^4 sin x1; the first-order index of x3 is 0, its total is not."""
    a, b = 7.0, 0.1
    space = Space([Parameter(f"x{i}", uniform(-np.pi, np.pi)) for i in (1, 2, 3)])
    first = np.array([(1 + b * np.pi**4 / 5) ** 2 / 2, a**2 / 8, 0.0])
    interaction = b**2 * np.pi**8 * (1 / 18 - 1 / 50)
    variance = first.sum() + interaction
    total = first + [interaction, 0.0, interaction]
    return (
        lambda x: np.sin(x[:, 0]) * (1 + b * x[:, 2] ** 4) + a * np.sin(x[:, 1]) ** 2,
        space,
        first / variance,
        total / variance,
    )


def sobol_g():
    """Product of (|4 x_i - 2| + a_i) / (1 + a_i): from important to next to nothing."""
    a = np.array([0.0, 1.0, 4.5, 9.0])
    space = Space([Parameter(f"x{i}", uniform(0, 1)) for i in range(1, 5)])
    own = 1 / (3 * (1 + a) ** 2)
    variance = np.prod(1 + own) - 1
    return (
        lambda x: np.prod((np.abs(4 * x - 2) + a) / (1 + a), axis=1),
        space,
        own / variance,
        own * np.prod(1 + own) / (1 + own) / variance,
    )


def linear_normals():
    """Weighted sum of normals far from 0: each index is the parameter's share of the variance."""
    weights, sd = np.array([1.0, -2.0, 0.5]), np.array([1.0, 0.4, 0.3])
    space = Space([Parameter(f"x{i}", stats.norm(50.0 * i, s)) for i, s in enumerate(sd)])
    share = (weights * sd) ** 2 / np.sum((weights * sd) ** 2)
    return lambda x: x @ weights, space, share, share
