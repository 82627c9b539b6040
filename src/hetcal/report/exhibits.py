"""Exhibits: what a study shows beside its answer, each a finding in words with figures, a table or both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from hetcal.report.canvas import Picture, picture
from hetcal.report.part import Part, file_names
from hetcal.report.tables import Table
from hetcal.report.words import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SECTION = "What the study shows"


@dataclass(frozen=True, eq=False)
class Exhibit:
    """One thing that a study shows.

    Parameters
    ----------
    title : str
        A few words; the heading in the report.
    text : str
        What it shows, in a sentence or two that a reader without statistics understands; `code` between backticks.
    figures : dict, optional
        Captions with functions that draw on the matplotlib axes they are given, one panel each. They are called when
        the report is written, in its style; ``axes.figure.set_figheight`` makes a figure higher.
    table : pandas.DataFrame, optional
        Its first column names the rows; numbers are printed with three digits, texts as they are.
    note : str
        What stands over the table.

    Raises
    ------
    TypeError, ValueError
        For an empty title or text, figures that are no functions, a table that is no frame, or neither of the two.

    Examples
    --------
    >>> import hetcal as hc
    >>> hc.Exhibit("Two days", "Most fell ill on the second.", {"Cases by day": lambda axes: axes.plot([1, 2], [3, 9])})
    Exhibit('Two days': 1 figure)
    """

    title: str
    text: str
    figures: Mapping[str, Callable[[Axes], Any]] = field(default_factory=dict)
    table: pd.DataFrame | None = None
    note: str = ""

    def __post_init__(self) -> None:
        for name in ("title", "text"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"{name} of exhibit {self.title!r} is {value!r}: give a text")
        if not isinstance(self.figures, Mapping) or not all(map(callable, self.figures.values())):
            raise TypeError(
                f"figures of exhibit {self.title!r} is {self.figures!r}: give a dict of captions with functions that "
                "draw on axes"
            )
        if self.table is not None and not isinstance(self.table, pd.DataFrame):
            raise TypeError(
                f"table of exhibit {self.title!r} is a {type(self.table).__name__}: give a DataFrame"
            )
        if not self.figures and self.table is None:
            raise ValueError(f"exhibit {self.title!r} shows nothing: give figures, a table or both")

    def __repr__(self) -> str:
        shown = [f"{len(self.figures)} figure{'s' * (len(self.figures) > 1)}"] * bool(self.figures)
        shown += ["a table"] * (self.table is not None)
        return f"Exhibit({self.title!r}: {' and '.join(shown)})"


def checked_exhibits(exhibits: Any) -> tuple[Exhibit, ...]:
    """What a study's function gave, as a tuple.

    Raises
    ------
    TypeError
        When it is no sequence of exhibits.
    ValueError
        When two have the same title.
    """
    listed = isinstance(exhibits, Sequence) and not isinstance(exhibits, str)
    if not listed or not all(isinstance(exhibit, Exhibit) for exhibit in exhibits):
        raise TypeError(f"a study's exhibits are a list of hetcal.Exhibit, not {exhibits!r}")
    titles = [exhibit.title for exhibit in exhibits]
    twice = [title for title in dict.fromkeys(titles) if titles.count(title) > 1]
    if twice:
        raise ValueError(f"two exhibits are called {twice[0]!r}: give each a title of its own")
    return tuple(exhibits)


def exhibits_part(exhibits: Sequence[Exhibit]) -> Part:
    """The section of a report that holds a study's exhibits."""
    files = file_names([exhibit.title for exhibit in exhibits])
    drawn = {exhibit.title: _pictures(exhibit, files[exhibit.title]) for exhibit in exhibits}
    return Part(
        template="exhibits.html",
        sections={"exhibits": SECTION},
        answer=[],
        cautions=[],
        pictures={"exhibits": [each for group in drawn.values() for each in group]},
        context={
            "exhibits": [
                {
                    "anchor": f"exhibit-{files[exhibit.title]}",
                    "exhibit": exhibit,
                    "pictures": drawn[exhibit.title],
                    "table": _table(exhibit),
                }
                for exhibit in exhibits
            ]
        },
        summary={
            "exhibits": {
                exhibit.title: {"text": exhibit.text}
                | ({} if exhibit.table is None else {"table": exhibit.table.to_dict("records")})
                for exhibit in exhibits
            }
        },
        emulators={},
        settings=[],
        studies=[],
    )


def _pictures(exhibit: Exhibit, file: str) -> list[Picture]:
    return [
        picture(f"exhibit-{file}-{count}", f"{exhibit.title}: {caption}", caption, paint)
        for count, (caption, paint) in enumerate(exhibit.figures.items(), start=1)
    ]


def _table(exhibit: Exhibit) -> Table | None:
    if exhibit.table is None:
        return None
    rows = [[_cell(value) for value in row] for row in exhibit.table.itertuples(index=False, name=None)]
    return Table(exhibit.note or exhibit.title, [str(name) for name in exhibit.table.columns], rows)


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "–" if pd.isna(value) else number(float(value))
