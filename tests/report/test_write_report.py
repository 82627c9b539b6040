"""The report as a reader, a browser and a program meet it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

import hetcal as hc
from hetcal.report import write_report
from hetcal.report.words import number

VOID = {"meta", "img", "br", "link", "hr"}


class Page(HTMLParser):
    """Tags, images and text of a page; every tag must be closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "title"} & set(self.open):
            self.text += data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def written(tmp_path_factory, several_targets):
    folder = tmp_path_factory.mktemp("several")
    return SimpleNamespace(folder=folder, path=write_report(several_targets, folder), result=several_targets)


@pytest.fixture(scope="module")
def page(written):
    return Page(written.path.read_text(encoding="utf-8"))


def strict(path):
    """JSON without NaN or Infinity."""

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_page_is_one_accessible_file(written, page):
    assert written.path == written.folder / "report.html"
    assert written.path.stat().st_size < 3_000_000
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    assert all(
        image["alt"] and image["src"].startswith("data:image/png;base64,") for image in page.all("img")
    )
    assert len(page.all("caption")) == len(page.all("table")) > 0
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    anchors = {a["href"] for a in page.all("a")}
    identities = {"#" + attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert anchors and anchors <= identities
    assert "@media print" in written.path.read_text(encoding="utf-8")


def test_every_figure_is_a_png_beside_it(written, page):
    files = list((written.folder / "figures").glob("*.png"))
    assert len(files) == len(page.all("img"))
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_the_same_result_gives_the_same_files(written, tmp_path):
    write_report(written.result, tmp_path)
    files = [p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) > 10
    assert [f for f in files if (tmp_path / f).read_bytes() != (written.folder / f).read_bytes()] == []


def test_summary_holds_the_numbers(written):
    numbers, best = strict(written.folder / "summary.json"), written.result.best
    keys = "study seed versions runs best ranges noise_floor sobol emulators seconds"
    assert set(keys.split()) <= set(numbers)
    assert numbers["study"] == written.result.study
    assert set(numbers["runs"]) == {"total", "failed", "reused"}
    assert numbers["runs"]["failed"] > 0
    assert numbers["best"]["theta"] == best.theta
    assert [numbers["best"][k] for k in ("loss", "loss_se", "optimism")] == [
        best.loss,
        best.loss_se,
        best.optimism,
    ]
    assert numbers["noise_floor"] == best.noise_floor
    assert numbers["not_ruled_out_volume"] == written.result.ranges.volume
    assert set(numbers["ranges"]) == {"a", "b"}
    assert numbers["ranges"]["b"]["unit"] == "per day"
    assert [row["parameter"] for row in numbers["sobol"]["indices"]] == ["a", "b"]
    assert set(numbers["emulators"]) == {"matrix", "count", "end of walk"}
    assert {"R", "hetGP", "numpy", "hetcal"} <= set(numbers["versions"])


def test_what_the_model_misses_is_named(written, page):
    numbers = strict(written.folder / "summary.json")
    # The end of the walk was observed at 2.0, 15 standard deviations from anything that a <= 1 gives.
    assert [1] in numbers["misfit"]["end of walk"]["outside"]
    assert "above every run" in page.text
    assert "end of walk (data point 1)" in page.text.replace("\n", " ")


def test_failed_runs_are_told_with_reason_and_place(written, page):
    assert "RuntimeError" in page.text and "the model <em>broke</em>" in page.text
    assert "em" not in {tag for tag, _ in page.tags}
    failed = written.result.runs["failed"]
    assert f"{failed:,} of {written.result.runs['total']:,} runs failed" in page.text
    places = re.search(r"Where runs failed.*?a(\d[^<]*?)b\d", page.text.replace("\n", ""), re.S)
    counts = [int(n) for n in re.findall(r"(\d+) of \d+ \(", places.group(1))]
    assert len(counts) == 4 and sum(counts) == failed
    # Runs fail only where a > .75, the highest quarter of its prior.
    assert counts[:3] == [0, 0, 0]


def test_a_target_of_weight_0_is_shown_but_has_no_emulator(written, page):
    assert (written.folder / "figures" / "data-all_of_walk.png").exists()
    assert not (written.folder / "emulators" / "all_of_walk").exists()
    assert "was not fitted" in page.text


def test_emulators_come_back(written):
    X = np.random.default_rng(0).random((5, 2))
    for name, folder in (("matrix", "matrix"), ("end of walk", "end_of_walk")):
        loaded = hc.load_emulator(written.folder / "emulators" / folder)
        expected = written.result.emulators[name].predict(X).mean
        np.testing.assert_allclose(loaded.predict(X).mean, expected, rtol=1e-12)


def test_one_parameter_gives_a_curve_and_odd_names_do_no_harm(one_parameter, tmp_path):
    page = Page(write_report(one_parameter, tmp_path / "deep" / "folder").read_text(encoding="utf-8"))
    inside = tmp_path / "deep" / "folder"
    assert [file.name for file in (inside / "figures").glob("loss*.png")] == ["loss.png"]
    assert [file.name for file in (inside / "emulators").iterdir()] == ["i_weird_i"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep"]
    assert "mass of $x_1 <b>" in page.text and "../<i>weird</i>" in page.text
    assert not {"b", "i"} & {tag for tag, _ in page.tags}
    assert "0 of " in page.text and "Where runs failed" not in page.text
    # An output that no target compares is told all the same.
    assert re.search(r"What else the model says.*z", page.text, re.S)


def test_many_parameters_show_the_pairs_of_the_most_sensitive(six_parameters, tmp_path):
    page = Page(write_report(six_parameters, tmp_path).read_text(encoding="utf-8"))
    assert len(list((tmp_path / "figures").glob("loss-*.png"))) == 6
    indices = strict(tmp_path / "summary.json")["sobol"]["indices"]
    largest = sorted(indices, key=lambda row: -row["total"])[:4]
    shown = ", ".join(sorted(row["parameter"] for row in largest))
    assert shown.startswith("p0, p1, p2")
    assert f"Of 6 parameters the 4 to which the loss is most sensitive are shown: {shown}." in page.text


def test_a_study_tells_its_story(several_targets, tmp_path):
    study = SimpleNamespace(
        name="walks",
        title="Walks & counts",
        source="A book, 1978.",
        story="It was <cold>.\nVery.\n\nThen warm.",
        look_at=("Look at the end.",),
    )
    page = Page(write_report(several_targets, tmp_path, study=study).read_text(encoding="utf-8"))
    for text in ("Walks & counts", "A book, 1978.", "It was <cold>. Very.", "Then warm.", "Look at the end."):
        assert text in page.text
    # A study does not know its file: a command is printed only where one is given.
    assert "hetcal run" not in page.text and "hc.BayesianCalibration" in page.text


def test_the_given_command_is_printed_as_it_is(one_parameter, tmp_path):
    command = "hetcal run 'my study.py' --seed 0 --budget quick"
    page = Page(write_report(one_parameter, tmp_path, command=command).read_text(encoding="utf-8"))
    assert command in page.text and "import hetcal" not in page.text


def test_sections_are_numbered_in_their_order_and_seconds_are_those_of_the_ledger(written, page):
    headings = re.findall(r"^(\d)\. (.+)$", page.text, re.M)
    assert [int(n) for n, _ in headings] == list(range(1, len(headings) + 1))
    assert ("6", "Can the emulator be trusted?") in headings
    seconds = written.result.ledger.runs(written.result.problem.simulator, written.result.study)[
        "seconds"
    ].sum()
    # Those that the ledger has; nothing is timed.
    assert f"Simulating took {number(seconds)} s, summed" in page.text
    assert "0 runs were there before" not in page.text


def test_settings_name_the_transform_that_was_used(page):
    assert re.search(r"emulator of end of walk\s*HetGP\([^)]*transform=log\(y", page.text)


def test_a_parameter_set_that_was_asked_for_twice_is_explained(written, page):
    asks = written.result.ledger.asks(written.result.study)
    asks = asks[asks["purpose"].isin(["design", "search"])]
    distinct = len(asks[["a", "b"]].drop_duplicates())
    told = f"asked {len(asks)} times for {distinct} different parameter sets"
    assert (told in page.text) == (distinct < len(asks))


def test_drawing_leaves_matplotlib_as_it_was(one_parameter, tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    matplotlib.rcParams["font.size"] = 33.0
    try:
        write_report(one_parameter, tmp_path / "large")
        assert matplotlib.rcParams["font.size"] == 33.0
    finally:
        matplotlib.rcParams.update(before)
    write_report(one_parameter, tmp_path / "usual")
    large, usual = (tmp_path / name / "figures" / "loss.png" for name in ("large", "usual"))
    assert large.read_bytes() == usual.read_bytes()


def test_importing_the_report_does_not_import_matplotlib():
    code = (
        "import sys, hetcal.report; print([m for m in ('matplotlib', 'jinja2', 'rpy2') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "[]", run.stderr
