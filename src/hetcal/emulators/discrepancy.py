"""Emulators of what a cheap model leaves: its discrepancy from the dear one, learned from runs of the latter.

    y(x) = cheap(x) + discrepancy(x) + noise

after Kennedy and O'Hagan (2000), without their factor on the cheap model: estimated from few runs it was often a
third too large, and intervals a third too narrow. The emulated mean of the cheap model is taken as a known function:
where it errs, the discrepancy of the dear model from it differs, and is learned like the rest. So nothing need be
assumed of how far the cheap model is right, and one without sense, which is left out, costs its own runs only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.emulators.base import Prediction
from hetcal.emulators.bernoulli import BernoulliGP, fit_bernoulli
from hetcal.emulators.function_draws import FunctionDraws
from hetcal.emulators.hetgp import HetGP
from hetcal.streams import generator

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "hetcal DiscrepancyGP 1"


@dataclass(eq=False)
class DiscrepancyGP(HetGP):
    """A HetGP of what is left of a dear model beside a cheap one.

    Fitted, asked and drawn from like a HetGP; its `state` is that of the discrepancy.

    Parameters
    ----------
    covariance, noise, transform, bounds
        See `HetGP`; transform is None.
    cheap : HetGP
        Fitted to runs of the cheap model. Its mean is taken off before the fit and added again afterwards.

    References
    ----------
    Kennedy and O'Hagan (2000), Predicting the output from a complex computer code when fast approximations are
    available, Biometrika 87.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> from hetcal.emulators.discrepancy import DiscrepancyGP
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat(np.linspace(0, 1, 40), 5)[:, None]
    >>> cheap = hc.HetGP(noise="homoskedastic").fit(X, np.sin(9 * X[:, 0]) + rng.normal(0, 0.1, 200))
    >>> few = np.repeat(np.linspace(0, 1, 6), 5)[:, None]
    >>> y = np.sin(9 * few[:, 0]) + few[:, 0] + rng.normal(0, 0.1, 30)
    >>> dear = DiscrepancyGP(noise="homoskedastic", cheap=cheap).fit(few, y)
    >>> bool(abs(dear.predict(np.array([[0.5]])).mean[0] - np.sin(4.5) - 0.5) < 0.15)
    True
    """

    cheap: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.transform is not None:
            raise ValueError(
                f"a discrepancy is emulated on the scale of y, not by transform={self.transform!r}"
            )
        if not isinstance(self.cheap, HetGP):
            raise TypeError(f"cheap is {self.cheap!r}: give a fitted HetGP")

    def trend(self, X: np.ndarray) -> np.ndarray:
        """What the cheap model says at points (m, d), (m,)."""
        return self.cheap.predict(X).mean

    def fit(
        self,
        X: Any,
        y: Any,
        seeds: Any = None,
        start: dict[str, Any] | None = None,
        name: str = "emulator",
    ) -> DiscrepancyGP:
        """As `HetGP.fit`."""
        X = np.asarray(X, dtype=float)
        super().fit(X, np.asarray(y, dtype=float) - self.trend(X), seeds, start, name)
        return self

    def update(self, X: Any, y: Any) -> DiscrepancyGP:
        """As `HetGP.update`."""
        X = np.atleast_2d(np.asarray(X, dtype=float))
        super().update(X, np.asarray(y, dtype=float) - self.trend(X))
        return self

    def predict(self, X: Any, cov: bool = False, scale: str = "natural") -> Prediction:
        """As `HetGP.predict`; ``scale="latent"`` gives the discrepancy's own."""
        own = super().predict(X, cov, scale)
        if scale == "latent":
            return own
        return Prediction(own.mean + self.trend(self._points(X)), own.mean_var, own.noise_var, own.cov)

    def sample_from(self, X: np.ndarray, normals: np.ndarray, scale: str = "natural") -> np.ndarray:
        """As `HetGP.sample_from`."""
        own = super().sample_from(X, normals, scale)
        return own if scale == "latent" else own + self.trend(X)

    def draw(self, n: int = 100, seed: int = 0) -> FunctionDraws:
        """As `HetGP.draw`."""

        def back(draws: np.ndarray, X: np.ndarray) -> np.ndarray:
            return draws + self.trend(X)

        _ = self._fitted
        return FunctionDraws(self.process, n, generator(seed, "emulator", 1), back)

    def leave_one_out(self) -> pd.DataFrame:
        """As `HetGP.leave_one_out`, in y's own numbers."""
        frame, trend = super().leave_one_out(), self.trend(self._fitted.X0)
        return frame.assign(observed=frame["observed"] + trend, mean=frame["mean"] + trend)

    def save(self, folder: str | Path) -> None:
        """Write two HetGPs, in the folders ``discrepancy`` and ``cheap``; R reads each of them."""
        folder = Path(folder)
        super().save(folder / "discrepancy")
        self.cheap.save(folder / "cheap")
        note = {"format": FORMAT}
        (folder / "emulator.json").write_text(json.dumps(note, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> DiscrepancyGP:
        """Read what `save` wrote; see `hetcal.load_emulator`."""
        folder = Path(folder)
        own, cheap = (HetGP.load(folder / part) for part in ("discrepancy", "cheap"))
        emulator = beside_cheap(own, cheap)
        emulator.choice, emulator._homoskedastic_g = own.choice, own._homoskedastic_g
        assert own.state is not None
        emulator._condition(own.state)
        return emulator

    def __repr__(self) -> str:
        return f"{super().__repr__()} beside the cheap model"


def location_means(emulator: HetGP) -> np.ndarray:
    """Means of the replicates of each location, (n,), in the numbers that were fitted to."""
    assert emulator.state is not None
    own = emulator.state.Z0
    return own + emulator.trend(emulator.state.X0) if isinstance(emulator, DiscrepancyGP) else own


def beside_cheap(pattern: HetGP, cheap: HetGP) -> DiscrepancyGP:
    """A pattern with the settings of another, unfitted, for what is left beside a cheap model."""
    return DiscrepancyGP(**{f.name: getattr(pattern, f.name) for f in fields(HetGP) if f.init}, cheap=cheap)


def better_left_out(one: HetGP, other: HetGP) -> HetGP:
    """That of two fits to the same runs which predicts locations better that it has not seen."""
    return max((one, other), key=lambda emulator: emulator.leave_one_out()["log_score"].mean())


def fit_bernoulli_beside(
    cheap: BernoulliGP | None, X: np.ndarray, events: np.ndarray, trials: np.ndarray
) -> BernoulliGP:
    """Fit a Bernoulli emulator with the cheap model's logit or without it, by evidence.

    Parameters
    ----------
    cheap : BernoulliGP or None
        Fitted to counts of the cheap model, where there is one.
    X, events, trials : numpy.ndarray
        Of the dear one, as in `fit_bernoulli`.

    Returns
    -------
    BernoulliGP
    """
    alone = fit_bernoulli(X, events, trials)
    if cheap is None:
        return alone
    return max(alone, fit_bernoulli(X, events, trials, cheap.logit), key=lambda fit: fit.evidence)
