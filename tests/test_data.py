"""The shipped data are the published series."""

from __future__ import annotations

import csv
from pathlib import Path

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
