"""Texts with placeholders: templates of input files, arguments and variables of the environment.

``{name}`` is a placeholder where the braces hold a name and nothing else, so that XML, JSON and C keep their own
braces; ``{name:.3f}`` writes the number by that format, ``{{name}}`` stands for the text ``{name}``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_PLACEHOLDER = re.compile(
    rf"\{{\{{(?P<literal>{_NAME})\}}\}}|\{{(?P<name>{_NAME})(?::(?P<form>[+0-9.]*[efgEG]))?\}}"
)


@dataclass(frozen=True)
class Text:
    """A text with placeholders, and where it stands, for errors.

    Examples
    --------
    >>> from hetcal.simulators.command_text import Text
    >>> text = Text('{"rate": {beta}, "days": {days:.0f}, "unit": "{{day}}"}', "template 'sir.json'")
    >>> sorted(text.names)
    ['beta', 'days']
    >>> text.fill({"beta": 0.1, "days": 14.0})
    '{"rate": 0.1, "days": 14, "unit": "{day}"}'
    """

    text: str
    where: str

    @property
    def names(self) -> set[str]:
        """Names of the placeholders."""
        return {match["name"] for match in _PLACEHOLDER.finditer(self.text) if match["name"]}

    def fill(self, values: Mapping[str, Any]) -> str:
        """The text with values for its placeholders; a float is written so that it reads back as the same number."""

        def written(match: re.Match[str]) -> str:
            if match["literal"]:
                return "{" + match["literal"] + "}"
            value = values[match["name"]]
            return format(float(value), match["form"]) if match["form"] else str(value)

        return _PLACEHOLDER.sub(written, self.text)

    def check_formats(self, numbers: set[str]) -> None:
        """Raise ``ValueError`` where a value that is no number has a format of numbers."""
        for match in _PLACEHOLDER.finditer(self.text):
            if match["form"] and match["name"] not in numbers:
                raise ValueError(
                    f"{self.where}: {match[0]} gives a number's format to a text: write {{{match['name']}}}"
                )


def read_template(path: Path) -> Text:
    """The template in a file.

    Raises
    ------
    ValueError
        When the file cannot be read, is not UTF-8 text or has no placeholder.
    """
    where = f"template {str(path)!r}"
    try:
        text = Text(path.read_bytes().decode("utf-8"), where)
    except OSError as error:
        raise ValueError(
            f"{where} cannot be read ({error.strerror}): give the path of a text file"
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{where} is not UTF-8 text: give fixed binary inputs by files=") from error
    if not text.names:
        raise ValueError(
            f"{where} has no placeholder: write {{name}} where a parameter's value goes, or give fixed inputs by files="
        )
    return text
