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


def three_cluster() -> pd.DataFrame:
    """
    The patches of the three-cluster chain: 45 invented places with 1,603,259 people.

    Use them with `hetcal.simulators.SpatialABM` and its relatives, to see what a calibration can find out when the
    truth is known. They were drawn once, by a recipe that data/README.md tells and a test repeats.

    Returns
    -------
    DataFrame, 45 rows, one a patch
        ``id``, ``cluster`` ("A", "B_far", "B_near" or "C"; far and near as seen from C), ``pop`` (people), ``lat``,
        ``lon`` (degrees) and ``mcv1`` (share of newborns reached by routine vaccination). ``attrs`` holds
        ``source`` and ``licence`` (str).

    References
    ----------
    The three-cluster scenario of the calibration tutorial of the package laser-measles.

    Examples
    --------
    >>> import hetcal as hc
    >>> hc.data.three_cluster().groupby("cluster")["pop"].sum().to_dict()
    {'A': 626470, 'B_far': 261724, 'B_near': 225783, 'C': 489282}
    """
    with (files("hetcal") / "resources" / "data" / "three_cluster.csv").open(encoding="utf-8") as file:
        frame = pd.read_csv(file)
    names = {"cluster_a": "A", "cluster_b:far": "B_far", "cluster_b:near": "B_near", "cluster_c": "C"}
    frame.insert(1, "cluster", frame["id"].str.rsplit(":", n=1).str[0].map(names))
    frame.attrs = {
        "source": "three-cluster scenario of the calibration tutorial of laser-measles, drawn anew by its recipe",
        "licence": "MIT, as the package",
    }
    return frame
