"""Observed data that travel with hetcal, read as pandas frames; data/README.md tells each file's story."""

from __future__ import annotations

from importlib.resources import files

import pandas as pd


def flu1978() -> pd.DataFrame:
    """
    Influenza in an English boarding school, 22 January to 4 February 1978.

    Use it to try a calibration on a real outbreak that is small and closed: 763 boys lived in the school
    and 512 of them fell ill.

    Returns
    -------
    DataFrame, 14 rows, one a day
        ``day`` (days since 22 January 1978), ``date`` (Timestamp), ``in_bed`` (boys confined to bed on that
        day) and ``convalescent`` (boys convalescing on that day). ``attrs`` holds ``source`` and ``licence``
        (str), ``population`` (boys in the school) and ``ill`` (boys who fell ill in all).

    Notes
    -----
    A boy is counted on each of his days in bed, so ``in_bed`` adds up to 1,559 bed-days, 3.0 for each ill
    boy. In bed is not the same as infectious.

    References
    ----------
    Influenza in a boarding school. *British Medical Journal* 1978;1:587. The same series is
    ``influenza_england_1978_school`` in the R package `outbreaks`.

    Examples
    --------
    >>> import hetcal as hc
    >>> flu = hc.data.flu1978()
    >>> int(flu["in_bed"].max()), flu.attrs["population"]
    (298, 763)
    """
    with (files("hetcal") / "resources" / "data" / "flu1978.csv").open(encoding="utf-8") as file:
        frame = pd.read_csv(file, parse_dates=["date"])
    frame.attrs = {
        "source": "Influenza in a boarding school. British Medical Journal 1978;1:587",
        "licence": "published counts; as in the R package outbreaks, GPL (>= 2)",
        "population": 763,
        "ill": 512,
    }
    return frame
