"""The `hetcal` command: run a study, draw its report again, or run it by file; check and mend the installation."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import click
import typer

if TYPE_CHECKING:
    from hetcal.ledger import Ledger
    from hetcal.studies.folder import Folder
    from hetcal.studies.study import Study

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Calibrate noisy simulators, and say honestly how sure you are.

STUDY is the name of a shipped study (`hetcal studies` lists them) or the path of a Python file of yours that
defines study = hetcal.Study(...).

\b
First steps:
  hetcal doctor                      is everything installed?
  hetcal run flu1978                 a real outbreak, in about a minute
  hetcal run my_study.py --workers 4 your own study
""",
)

STUDY = typer.Argument(
    ..., metavar="STUDY", show_default=False, help="A shipped study's name, or a Python file of yours."
)
OUT = typer.Option(
    None,
    metavar="DIR",
    help="Folder of the ledger and the report; results/<study's name> where none is given.",
    show_default=False,
)
SEED = typer.Option(0, min=0, metavar="N", help="Everything random follows from it.")
BUDGET = typer.Option(
    None,
    metavar="quick|full",
    help="For studies that offer the choice; quick where none is given.",
    show_default=False,
)


def main() -> None:
    """Run the command; every fault of the user's is one sentence on stderr and an exit code.

    0: done (for run and report: the report is written); 1: R or the workers failed; 2: a bad study or argument;
    3: R or a part of it is missing; 130: stopped by Ctrl-C.
    """
    warnings.formatwarning = lambda message, *_, **__: f"hetcal: {message}\n"
    try:
        code = app(standalone_mode=False)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "hetcal"
        sys.exit(_say(f"{error.format_message()} `{command} --help` tells more.", 2))
    except (click.Abort, KeyboardInterrupt):
        sys.exit(_say("stopped; run the same command to go on", 130))
    except (ValueError, OSError) as error:
        sys.exit(_say(str(error), 2))
    except RuntimeError as error:
        from hetcal.ledger import LedgerError
        from hetcal.rbridge import RMissing

        sys.exit(
            _say(str(error), 3 if isinstance(error, RMissing) else 2 if isinstance(error, LedgerError) else 1)
        )
    sys.exit(code)


def _say(sentence: str, code: int) -> int:
    print(f"hetcal: {sentence}", file=sys.stderr)
    return code


def _print_version(wanted: bool) -> None:
    if wanted:
        from hetcal import __version__

        print(f"hetcal {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and stop."
    )
) -> None:
    """Options of the command itself."""


@app.command()
def run(
    study: str = STUDY,
    out: Optional[Path] = OUT,
    workers: int = typer.Option(
        1, min=1, metavar="N", help="Processes that simulate; no number depends on it."
    ),
    seed: int = SEED,
    budget: Optional[str] = BUDGET,
    time_limit: Optional[float] = typer.Option(
        None,
        metavar="SECONDS",
        show_default=False,
        help="A run that takes longer is stopped and counts as failed.",
    ),
    quiet: bool = typer.Option(False, "--quiet", help="Print only where the report is."),
) -> None:
    """Calibrate a study and write its report.

    Stopped or killed, the same command goes on where it was, to the same result; run again when it is finished,
    it only draws the report. Other seeds and budgets in the same folder share its ledger.

    \b
    Examples:
      hetcal run flu1978
      hetcal run flu1978 --budget full --seed 2 --out results/flu-full
      hetcal run my_study.py --workers 8 --time-limit 60
    """
    with _opened(study, out, seed, budget) as (found, folder, ledger):
        result = found.run(
            ledger, seed, workers=workers, time_limit=time_limit, progress=False if quiet else None
        )
        _write_report(result, found, folder, quiet)


@app.command()
def report(
    folder: Path = typer.Argument(..., metavar="FOLDER", show_default=False, help="Where `hetcal run` wrote.")
) -> None:
    """Draw the report of a finished study again, without simulating.

    \b
    Example:
      hetcal report results/flu1978
    """
    from hetcal.studies.folder import Folder

    place = Folder(folder)
    found, seed = place.recall()
    with place.open_ledger() as ledger:
        _write_report(found.method.result(ledger, seed), found, place, False)


@app.command()
def ask(
    study: str = STUDY, out: Optional[Path] = OUT, seed: int = SEED, budget: Optional[str] = BUDGET
) -> None:
    """Print the runs that a study needs next, as CSV, to be made elsewhere.

    Run each row with its parameters and its seed, add the outputs as columns (in_bed.0, in_bed.1, ...) and bring
    the table back with `hetcal tell`. Then ask again, until the study is finished.

    \b
    Examples:
      hetcal ask flu1978 > batch.csv
      hetcal tell flu1978 results.csv
      hetcal report results/flu1978
    """
    # What a study's file prints must not end up in the table.
    with contextlib.redirect_stdout(sys.stderr):
        with _opened(study, out, seed, budget) as (found, folder, ledger):
            todo = found.method.ask(ledger, seed)
            columns = ledger.output_columns(found.problem.simulator)
    todo.to_csv(sys.stdout, index=False)
    if len(todo):
        shown = ", ".join(columns if len(columns) < 4 else [*columns[:2], "...", columns[-1]])
        where = "" if out is None else f" --out {out}"
        print(
            f"{len(todo)} runs to make (round {todo['round'].iloc[0]}, {todo['purpose'].iloc[0]}): add the outputs as "
            f"columns {shown}, then `hetcal tell {study} results.csv{where}`",
            file=sys.stderr,
        )
    else:
        print(f"the study is finished: `hetcal report {folder.path}` writes its report", file=sys.stderr)


@app.command()
def tell(
    study: str = STUDY,
    results: Path = typer.Argument(
        ..., metavar="RESULTS.CSV", show_default=False, help="The runs of `hetcal ask` with their outputs."
    ),
    out: Optional[Path] = OUT,
) -> None:
    """Bring back runs that were made elsewhere; part of them will do, the rest may follow.

    Columns: the parameters and seed as `hetcal ask` gave them, the outputs (in_bed.0, in_bed.1, ...), and if you
    like status (ok, partial, failed), seconds and error. An empty output marks a run that failed.

    \b
    Example:
      hetcal tell flu1978 results.csv
    """
    from hetcal.studies.by_file import tell as take
    from hetcal.studies.folder import Folder
    from hetcal.studies.study import load

    named = load(study)
    folder = Folder(out or Path("results") / named.name)
    asked, seed = folder.recall()
    if asked.name != named.name:
        raise ValueError(
            f"{folder.path} is the folder of study {asked.name!r}, not of {study}: give its own by --out"
        )
    with folder.open_ledger() as ledger:
        told = take(asked, ledger, seed, results)
    where = "" if out is None else f" --out {out}"
    rest = (
        f"{told.missing} runs are still missing"
        if told.missing
        else f"none is missing; next: `hetcal ask {study}{where} > batch.csv`"
    )
    print(f"{told.rows} runs came in, {told.new} of them new; {rest}")


@app.command()
def studies() -> None:
    """List the studies that are shipped."""
    from hetcal.studies.study import SHIPPED, load

    for name in SHIPPED:
        found = load(name)
        print(f"{name}: {found.title}\n  {found.source}\n  `hetcal run {name}`")


@app.command()
def doctor() -> None:
    """Check the installation, R included; each failure comes with the command that mends it."""
    from hetcal import rbridge

    raise typer.Exit(0 if rbridge.doctor() else 3)


@app.command("install-r")
def install_r() -> None:
    """Install the R packages that are missing, from CRAN; R itself must be there."""
    from hetcal import rbridge

    rbridge.install_r()


@contextlib.contextmanager
def _opened(
    which: str, out: Path | None, seed: int, budget: str | None
) -> Iterator[tuple[Study, Folder, Ledger]]:
    """A study with its folder, which notes it, and its ledger."""
    from hetcal.studies.folder import Folder
    from hetcal.studies.study import load

    found = load(which, budget)
    folder = Folder(out or Path("results") / found.name)
    with folder.open_ledger() as ledger:
        folder.remember(which, seed, budget)
        yield found, folder, ledger


def _write_report(result: Any, study: Study, folder: Folder, quiet: bool) -> None:
    from hetcal.report import write_report

    path = write_report(result, folder.path, study=study)
    print(f"The report is {path.resolve()}")
    if quiet:
        return
    best = result.best
    units = {parameter.name: parameter.unit for parameter in study.problem.space.parameters}
    point = (f"{name} = {value:.4g} {units[name]}".strip() for name, value in best.theta.items())
    ranges = (f"{row.parameter} {row.low:.3g} to {row.high:.3g}" for row in result.ranges.table.itertuples())
    print(f"best: {', '.join(point)}")
    print(
        f"loss: {best.loss:.4g} ± {best.loss_se:.2g} on {best.replicates} fresh runs; the noise floor is "
        f"{best.noise_floor:.4g}; tied with it: {len(best.ties)}"
    )
    print(f"not ruled out yet: {', '.join(ranges)}")
