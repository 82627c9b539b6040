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


def hagelloch1861() -> pd.DataFrame:
    """
    Measles in the village of Hagelloch near Tübingen, 1861: the 188 children who fell ill.

    Use it for models of individuals: of every child the house, the school class and the days of the first symptoms and
    of the rash are known.

    Returns
    -------
    DataFrame, 188 rows, one a child
        ``id``; ``household`` and ``family`` (numbers); ``school_class`` ("preschool", "1st class", "2nd class");
        ``age`` (years); ``sex`` (missing for 11); ``x`` and ``y`` (metres, of the house); ``date`` (Timestamp of the
        prodrome); ``prodrome``, ``rash`` and ``death`` (days since 30 October 1861; no death is NA); ``infector`` (id
        of the putative one, NA for 4); ``index_case`` (bool). ``attrs`` holds ``source`` and ``licence`` (str),
        ``start`` (Timestamp of day 0), ``children`` (susceptible children under 14 in the village) and ``ill``
        (children of the file).

    Notes
    -----
    Only children who fell ill are in it: in this file the attack rate is 1 by construction. About a dozen of the
    village's susceptible children escaped and are not described. Child 141 fell ill 40 days after the one before.

    References
    ----------
    Pfeilsticker (1863), Beiträge zur Pathologie der Masern, thesis, Tübingen. Oesterle (1992), Statistische Reanalyse
    einer Masernepidemie 1861 in Hagelloch, thesis, Tübingen. Neal and Roberts (2004), Biostatistics 5, 249. The same
    facts are ``hagelloch.df`` in the R package `surveillance` and ``measles_hagelloch_1861`` in `outbreaks`.

    Examples
    --------
    >>> import hetcal as hc
    >>> measles = hc.data.hagelloch1861()
    >>> len(measles), measles["household"].nunique(), int(measles["death"].notna().sum())
    (188, 56, 12)
    """
    whole = dict.fromkeys(("death", "infector"), "Int64")
    with (files("hetcal") / "resources" / "data" / "hagelloch1861.csv").open(encoding="utf-8") as file:
        frame = pd.read_csv(file, parse_dates=["date"], dtype=whole | {"index_case": bool})
    frame.attrs = {
        "source": "Pfeilsticker (1863), Oesterle (1992), Tübingen; Neal and Roberts, Biostatistics 2004;5:249",
        "licence": "published facts; as in the R packages surveillance, GPL-2, and outbreaks, GPL (>= 2)",
        "start": pd.Timestamp("1861-10-30"),
        "children": 197,
        "ill": 188,
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
