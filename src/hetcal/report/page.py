"""Puts the parts of a report on a page: figures as PNG, the numbers as JSON, and one HTML file that holds all."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from hetcal.report import tables
from hetcal.report.findings import versions
from hetcal.report.part import Part
from hetcal.report.summary import plain

# Base64 makes a third more of it, and the file is to stay below 3 MB.
_EMBEDDED_BYTES = 2_000_000
NUMBERS = {"report": "summary.json"}


def write_page(
    folder: Path,
    name: str,
    title: str,
    parts: list[Part],
    simulators: list[Any],
    code: str,
    study: Any = None,
) -> Path:
    """Write <name>.html and its figures, numbers and emulators into a folder.

    Parameters
    ----------
    folder : pathlib.Path
    name, title : str
    parts : list of Part
    simulators : list of simulator
        What was simulated.
    code : str
        Lines, or the command, that make the result again.
    study : Study, optional
        Its source, story and what to look at are told.

    Returns
    -------
    pathlib.Path
        Of the page.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for picture in (p for part in parts for p in part.all_pictures):
        (folder / "figures" / f"{picture.name}.png").write_bytes(picture.png)
    summary: dict[str, Any] = {"versions": versions()}
    for part in reversed(parts):  # the first part has the last word
        summary |= part.summary
        for place, emulator in part.emulators.items():
            emulator.save(folder / place)
        for file, text in part.extra_files.items():
            (folder / file).write_text(text, encoding="utf-8")
    numbers = json.dumps(plain(summary), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / NUMBERS.get(name, f"{name}.json")).write_text(numbers + "\n", encoding="utf-8")
    path = folder / f"{name}.html"
    path.write_text(_html(title, parts, simulators, code, study), encoding="utf-8")
    return path


def _html(title: str, parts: list[Part], simulators: list[Any], code: str, study: Any) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("hetcal.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    sections = {name: heading for part in parts for name, heading in part.sections.items()}
    sections["reproduce"] = "How to reproduce it"
    if study is not None:
        sections["story"] = "What this study is about"
    shared = {"sections": sections, "embedded": _embedded(parts)}
    bodies = [
        environment.get_template(part.template).render(**part.context, **shared, pictures=part.pictures)
        for part in parts
    ]
    return environment.get_template("page.html").render(
        **shared,
        title=title,
        study=study,
        story=_paragraphs(study),
        answer=[sentence for part in parts for sentence in part.answer],
        cautions=[note for part in parts for note in part.cautions],
        bodies=bodies,
        studies=[study for part in parts for study in part.studies],
        emulated=any(part.emulators for part in parts),
        settings=[table for part in parts for table in part.settings],
        simulators=[tables.simulator(simulator) for simulator in simulators],
        versions=tables.versions(versions()),
        code=code,
    )


def _code(text: str) -> Any:
    """A text for HTML in which what stands between backticks is code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _embedded(parts: list[Part]) -> dict[str, str]:
    """Base64 of the figures that the file has room for, by name."""
    embedded, size = {}, 0
    for picture in (p for part in parts for p in part.all_pictures):
        size += len(picture.png)
        if size <= _EMBEDDED_BYTES:
            embedded[picture.name] = base64.b64encode(picture.png).decode("ascii")
    return embedded


def _paragraphs(study: Any) -> list[str]:
    if study is None:
        return []
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", study.story) if part.strip()]
