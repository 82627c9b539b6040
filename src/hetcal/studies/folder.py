"""A study's folder of results: the ledger, a note of what was last run in it, and the report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from hetcal.ledger import Ledger
from hetcal.studies.study import SHIPPED, Study, StudyError, load


@dataclass(frozen=True)
class Folder:
    """Where `hetcal run` keeps a study: ``ledger.sqlite`` and ``study.json`` beside the report.

    Studies with other seeds or budgets in the same folder share the ledger; ``study.json`` tells the latest.

    Parameters
    ----------
    path : pathlib.Path

    Examples
    --------
    >>> Folder(Path("results/flu1978")).ledger_path.name
    'ledger.sqlite'
    """

    path: Path

    @property
    def ledger_path(self) -> Path:
        """The ledger's file."""
        return self.path / "ledger.sqlite"

    @property
    def _note(self) -> Path:
        return self.path / "study.json"

    def open_ledger(self) -> Ledger:
        """The ledger; made, with the folder, where there is none."""
        return Ledger(self.ledger_path)

    def remember(self, which: str, seed: int, budget: str | None) -> None:
        """Note which study, as given on the command line, was run here."""
        which = which if which in SHIPPED else str(Path(which).resolve())
        self.path.mkdir(parents=True, exist_ok=True)
        self._note.write_text(
            json.dumps({"study": which, "seed": seed, "budget": budget}) + "\n", encoding="utf-8"
        )

    def recall(self) -> tuple[Study, int]:
        """The study that was last run or asked here, and its seed.

        Raises
        ------
        StudyError
            If none was, or its note cannot be read.
        """
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            which, seed, budget = note["study"], note["seed"], note["budget"]
        except OSError:
            raise StudyError(
                f"{self.path} holds no study: give a folder that `hetcal run` or `hetcal ask` wrote"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise StudyError(
                f"{self._note} is no note of a study: `hetcal run STUDY --out {self.path}` writes it again"
            ) from None
        if not self.ledger_path.is_file():
            raise StudyError(
                f"{self.path} holds no ledger.sqlite: `hetcal run STUDY --out {self.path}` makes one"
            )
        return load(which, budget), seed
