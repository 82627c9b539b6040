"""A study's folder of results: the ledger, notes of what was run in it, and the report."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from hetcal.ledger import Ledger
from hetcal.studies.answers import Answers
from hetcal.studies.study import SHIPPED, Study, StudyError, load


@dataclass(frozen=True)
class Note:
    """What was run or asked in a folder.

    Attributes
    ----------
    study : str
        A shipped study's name or the whole path of a file.
    seed : int
    budget : str or None
    command : str
        The `hetcal run` that gives the same result, as its user would type it.
    """

    study: str
    seed: int
    budget: str | None
    command: str


@dataclass(frozen=True)
class Folder:
    """Where `hetcal run` keeps a study: ``ledger.sqlite`` and ``study.json`` beside the report.

    Studies with other seeds or budgets in the same folder share the ledger; ``study.json`` lists them, the latest
    last.

    Parameters
    ----------
    path : pathlib.Path

    Examples
    --------
    >>> from pathlib import Path
    >>> from hetcal.studies.folder import Folder
    >>> Folder(Path("results/flu1978")).ledger_path.name
    'ledger.sqlite'
    """

    path: Path

    @property
    def ledger_path(self) -> Path:
        """The ledger's file."""
        return self.path / "ledger.sqlite"

    @property
    def _file(self) -> Path:
        return self.path / "study.json"

    def open_ledger(self) -> Ledger:
        """The ledger; made, with the folder, where there is none."""
        return Ledger(self.ledger_path)

    def notes(self) -> list[Note]:
        """What was run or asked here, the latest last; none where the folder is new.

        Raises
        ------
        StudyError
            If ``study.json`` cannot be understood.
        """
        try:
            return [Note(**note) for note in json.loads(self._file.read_text(encoding="utf-8"))]
        except OSError:
            return []
        except (ValueError, TypeError):
            raise StudyError(
                f"{self._file} is no note of a study: `hetcal run STUDY --out {self.path}` writes it again"
            ) from None

    def latest(self, which: str, budget: str | None) -> Note | None:
        """The latest note of a study and budget, as given on the command line."""
        same = (_whole(which), budget)
        return next((note for note in reversed(self.notes()) if (note.study, note.budget) == same), None)

    def seeds(self) -> str:
        """The seeds that were run or asked here, as a sentence names them."""
        seeds = sorted({note.seed for note in self.notes()})
        return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"

    def remember(self, which: str, seed: int, budget: str | None, command: str) -> None:
        """Note which study, as given on the command line, was run here."""
        note = Note(_whole(which), seed, budget, command)
        same, notes = (note.study, seed, budget), []
        with contextlib.suppress(StudyError):  # an unreadable note is written anew
            notes = [n for n in self.notes() if (n.study, n.seed, n.budget) != same]
        notes.append(note)
        self.path.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps([asdict(n) for n in notes], indent=1) + "\n", encoding="utf-8")

    def recall(self, seed: int | None = None) -> tuple[Study, Note]:
        """The study that was last run or asked here, or last with a seed, and its note.

        Raises
        ------
        StudyError
            If none was, or its note cannot be read.
        """
        notes = self.notes()
        if not notes:
            raise StudyError(
                f"{self.path} holds no study: give a folder that `hetcal run` or `hetcal ask` wrote"
            )
        if not self.ledger_path.is_file():
            raise StudyError(
                f"{self.path} holds no ledger.sqlite: `hetcal run STUDY --out {self.path}` makes one"
            )
        fitting = [note for note in notes if seed in (None, note.seed)]
        if not fitting:
            raise StudyError(f"{self.path} holds no study with seed {seed}: it holds {self.seeds()}")
        return load(fitting[-1].study, fitting[-1].budget), fitting[-1]


def finished(study: Study, ledger: Ledger, note: Note, folder: Folder) -> Answers:
    """What a finished study found.

    Raises
    ------
    ValueError
        Where runs are missing, with the command that makes them.
    """
    todo = study.ask(ledger, note.seed)
    if len(todo):
        raise ValueError(
            f"{folder.path} holds no finished study with seed {note.seed}: {len(todo)} runs of round "
            f"{todo['round'].iloc[0]} ({todo['purpose'].iloc[0]}) are missing; to go on: `{note.command}`"
        )
    return study.result(ledger, note.seed)


def _whole(which: str) -> str:
    return which if which in SHIPPED else str(Path(which).resolve())
