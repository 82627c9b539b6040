"""What one method contributes to a report; the page puts parts one after another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hetcal.report.canvas import Picture
    from hetcal.report.tables import Table


@dataclass(frozen=True, eq=False)
class Part:
    """Sections of a report that tell of one method.

    Attributes
    ----------
    template : str
        File that holds the sections.
    sections : dict of str
        Headings by the name that a link uses, in order.
    answer, cautions : list of str
        Sentences for the top of the page.
    pictures : dict of list of Picture
        By section.
    context : dict
        What the template tells, beside pictures and sections.
    summary : dict
        The same numbers, for summary.json.
    emulators : dict
        Fitted emulators by the folder they are saved in.
    settings : list of Table
        What the method was told.
    code : str
        Lines of Python that make the result again.
    studies : list of (str, int)
        Names of the studies in their ledgers, each with its seed.
    extra_files : dict of str
        Texts to be written beside the page, by file name.
    """

    template: str
    sections: dict[str, str]
    answer: list[str]
    cautions: list[str]
    pictures: dict[str, list[Picture]]
    context: dict[str, Any]
    summary: dict[str, Any]
    emulators: dict[str, Any]
    settings: list[Table]
    studies: list[tuple[str, int]]
    code: str = ""
    extra_files: dict[str, str] = field(default_factory=dict)

    @property
    def all_pictures(self) -> list[Picture]:
        """Pictures in the order of the sections."""
        return [picture for group in self.pictures.values() for picture in group]


def file_names(names: list[str]) -> dict[str, str]:
    """A file name for each name, safe on any file system and without doubles.

    Examples
    --------
    >>> from hetcal.report.part import file_names
    >>> file_names(["in_bed", "a/b", "a b"])
    {'in_bed': 'in_bed', 'a/b': 'a_b', 'a b': 'a_b-2'}
    """
    import re

    files: dict[str, str] = {}
    for name in names:
        base = re.sub(r"[^\w-]+", "_", name).strip("_")[:80] or "target"
        file, count = base, 1
        while file.lower() in (taken.lower() for taken in files.values()):
            count += 1
            file = f"{base}-{count}"
        files[name] = file
    return files
