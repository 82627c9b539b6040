"""The shipped data are the published series."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd

from hetcal import data

README = Path(__file__).parents[1] / "data" / "README.md"


def test_flu1978_is_the_published_series():
    flu = data.flu1978()
    assert flu["in_bed"].tolist() == [3, 8, 26, 76, 225, 298, 258, 233, 189, 128, 68, 29, 14, 4]
    assert flu["convalescent"].tolist() == [0, 0, 0, 0, 9, 17, 105, 162, 176, 166, 150, 85, 47, 20]
    assert flu["day"].tolist() == list(range(14))
    assert flu["date"].tolist() == pd.date_range("1978-01-22", "1978-02-04").tolist()


def test_flu1978_tells_where_it_comes_from():
    attrs = data.flu1978().attrs
    assert attrs["population"] == 763
    assert attrs["ill"] == 512
    assert "1978;1:587" in attrs["source"]
    assert "outbreaks" in attrs["licence"]


def test_flu1978_never_counts_more_boys_than_the_school_has():
    flu = data.flu1978()
    assert (flu["in_bed"] + flu["convalescent"]).max() <= flu.attrs["population"]


def three_cluster_recipe() -> np.ndarray:
    """pop, lat, lon, mcv1 of the 45 patches, as data/README.md tells it."""
    rng, latitude, spread = np.random.default_rng(42), 40.0, 30 / 111
    kilometre = 1 / (111 * np.cos(np.radians(latitude)))
    clusters = []
    for longitude in (4.0, 4.0 + 400 * kilometre, 4.0 + 600 * kilometre):
        lat, lon = rng.normal(latitude, spread, 15), rng.normal(longitude, 30 * kilometre, 15)
        rows = []
        for d, place in zip(np.hypot(lat - latitude, lon - longitude), zip(lat, lon)):
            people = int(rng.integers(30_000, 150_000) * (0.3 + 0.7 * np.exp(-d / (0.5 * spread))))
            rows.append((people, *place, rng.uniform(0.3, 0.6)))
        clusters.append(np.array(rows))
    a, b, c = clusters
    order = np.argsort(np.hypot(b[:, 1] - latitude, b[:, 2] - longitude))  # longitude is that of C's centre
    return np.concatenate([a, b[order[7:]], b[order[:7]], c])


def test_three_cluster_is_drawn_by_its_recipe():
    frame, drawn = data.three_cluster(), three_cluster_recipe()
    assert frame["pop"].tolist() == drawn[:, 0].astype(int).tolist()
    np.testing.assert_allclose(frame[["lat", "lon"]], drawn[:, 1:3], atol=5.1e-7)
    np.testing.assert_allclose(frame["mcv1"], drawn[:, 3], atol=5.1e-5)


def test_three_cluster_is_the_published_scenario():
    frame = data.three_cluster().set_index("id")
    people = frame.groupby("cluster", sort=False)["pop"]
    assert people.sum().to_dict() == {"A": 626_470, "B_far": 261_724, "B_near": 225_783, "C": 489_282}
    assert people.size().tolist() == [15, 8, 7, 15]
    assert people.min().tolist() == [15_934, 13_823, 12_047, 13_019]
    assert people.median().tolist() == [40_675, 31_665, 30_094, 30_041]
    assert people.max().tolist() == [80_968, 61_496, 57_260, 64_977]
    assert frame.loc["cluster_a:node_1", ["pop", "lat", "lon"]].tolist() == [51_844, 40.082356, 3.696831]
    assert frame.loc["cluster_b:far:node_1", "pop"] == 61_496
    assert frame["pop"].nlargest(3).index[0] == "cluster_a:node_9"


def test_one_callers_change_does_not_reach_the_next():
    first = data.flu1978()
    first["in_bed"] = 0
    first.attrs["population"] = 0
    assert data.flu1978()["in_bed"].sum() == 1559
    assert data.flu1978().attrs["population"] == 763


def test_every_column_of_every_file_is_explained():
    story = README.read_text(encoding="utf-8")
    for file in README.parent.glob("*.csv"):
        section = story.split(f"## {file.name}")[1].split("\n## ")[0]
        with file.open(encoding="utf-8") as lines:
            for column in next(csv.reader(lines)):
                assert f"| `{column}` |" in section, f"{file.name}: data/README.md does not explain {column}"


def test_hagelloch1861_is_the_published_list():
    measles = data.hagelloch1861()
    assert measles["id"].tolist() == list(range(1, 189))
    assert measles["school_class"].value_counts().to_dict() == {
        "preschool": 90,
        "2nd class": 68,
        "1st class": 30,
    }
    assert measles["household"].nunique() == 56 and measles["family"].nunique() == 69
    assert measles["death"].notna().sum() == 12 and measles["sex"].isna().sum() == 11
    # who infected whom: 30 by one child of the first class
    assert measles["infector"].value_counts().iloc[0] == 30
    assert measles.loc[measles["infector"].isna(), "id"].tolist() == [141, 173, 174, 184]
    onsets = measles.loc[measles["school_class"] == "1st class", "prodrome"].value_counts().sort_index()
    assert onsets.to_dict() == {8: 1, 12: 1, 19: 1, 21: 1, 22: 11, 23: 8, 24: 3, 25: 3, 28: 1}


def test_hagelloch1861_holds_together():
    measles = data.hagelloch1861()
    start = measles.attrs["start"]
    assert (measles["date"] == start + pd.to_timedelta(measles["prodrome"], unit="D")).all()
    assert (measles["rash"] >= measles["prodrome"]).all()
    assert (measles["death"].dropna() >= measles["rash"][measles["death"].notna()]).all()
    assert measles.loc[measles["index_case"], ["id", "prodrome"]].to_numpy().tolist() == [[184, 0]]
    assert sorted(measles["prodrome"])[-2:] == [46, 86]
    # one house, one place; infectors fell ill a week or more before those they infected
    assert (measles.groupby("household")[["x", "y"]].nunique() == 1).all(axis=None)
    known = measles.dropna(subset="infector").set_index("id")
    before = measles.set_index("id")["prodrome"].loc[known["infector"].astype(int)].to_numpy()
    assert (known["prodrome"] - before).between(7, 16).all()
    assert measles.attrs["ill"] == len(measles) < measles.attrs["children"]
    assert "Pfeilsticker" in measles.attrs["source"] and "surveillance" in measles.attrs["licence"]
