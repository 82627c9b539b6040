"""The `hetcal` command: run a study, draw its report again, or run it by file; check and mend the installation."""

from __future__ import annotations

import contextlib
import shlex
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import click
import typer

if TYPE_CHECKING:
    from hetcal.studies.answers import Answers
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
SEED = typer.Option("0", metavar="N", help="Everything random follows from it.")
LATEST = typer.Option(
    None,
    "--seed",
    metavar="N",
    help="Seed of the study; the folder's latest where none is given.",
    show_default=False,
)
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
        told = error.format_message()
        stop = "" if told.endswith((".", "?", "!")) else "."
        sys.exit(_say(f"{told}{stop} `{command} --help` tells more.", 2))
    except (click.Abort, KeyboardInterrupt):
        sys.exit(_say("stopped; run the same command to go on", 130))
    except (ValueError, OSError) as error:
        sys.exit(_say(str(error), 2))
    except RuntimeError as error:
        from hetcal.ledger import LedgerError
        from hetcal.rbridge import RMissing

        told = "; ".join([str(error), *getattr(error, "__notes__", [])])
        sys.exit(_say(told, 3 if isinstance(error, RMissing) else 2 if isinstance(error, LedgerError) else 1))
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
    workers: str = typer.Option("1", metavar="N", help="Processes that simulate; no number depends on it."),
    seed: str = SEED,
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
    from hetcal.studies.folder import Folder
    from hetcal.studies.study import load

    number, processes = _whole_number(seed), _whole_number(workers, "--workers", 1)
    found = load(study, budget)
    folder = Folder(out or Path("results") / found.name)
    more = {"workers": None if processes == 1 else processes, "time-limit": time_limit}
    command = _command("run", study, out=out, seed=number, budget=budget, **more)
    with folder.open_ledger() as ledger:
        folder.remember(study, number, budget, command)
        result = found.run(ledger, number, workers=processes, time_limit=time_limit, progress=not quiet)
        _write_report(result, found, folder, command, quiet)


@app.command()
def report(
    folder: Path = typer.Argument(
        ..., metavar="FOLDER", show_default=False, help="Where `hetcal run` wrote."
    ),
    seed: Optional[str] = LATEST,
) -> None:
    """Draw the report of a finished study again, without simulating.

    \b
    Example:
      hetcal report results/flu1978
    """
    from hetcal.studies.folder import Folder, finished

    place = Folder(folder)
    found, note = place.recall(None if seed is None else _whole_number(seed))
    with place.open_ledger() as ledger:
        _write_report(finished(found, ledger, note, place), found, place, note.command, False)


@app.command("self-test")
def self_test(
    study: str = STUDY,
    out: Optional[Path] = OUT,
    seed: Optional[str] = LATEST,
    sets: str = typer.Option("200", "--sets", metavar="N", help="Data sets over the prior."),
    workers: str = typer.Option("1", metavar="N", help="Processes that simulate; no number depends on it."),
) -> None:
    """Test whether a finished study's intervals hold the truth of simulated data sets.

    Simulates outbreaks whose parameters are known, from the prior and from the posterior, and counts how often the
    intervals hold them. The report is drawn again with the result.

    \b
    Example:
      hetcal self-test flu1978
    """
    from hetcal.checks import recovery_test
    from hetcal.studies.folder import Folder, finished
    from hetcal.studies.study import load

    number, processes = _whole_number(sets, "--sets", 2), _whole_number(workers, "--workers", 1)
    named = load(study)
    place = Folder(out or Path("results") / named.name)
    found, note = place.recall(None if seed is None else _whole_number(seed))
    _check_named(named, found, study, place)
    if not hasattr(found.methods[-1], "observation"):
        raise ValueError(
            f"study {found.name!r} has no posterior to test: give it posterior=hetcal.Posterior(...)"
        )
    with place.open_ledger() as ledger:
        answers = finished(found, ledger, note, place)
        assert answers.posterior is not None
        print(recovery_test(answers.posterior, number, note.seed, workers=processes))
        _write_report(answers, found, place, note.command, True)


@app.command()
def compare(
    folders: list[Path] = typer.Argument(
        ..., metavar="FOLDER FOLDER...", show_default=False, help="Where `hetcal run` wrote, one a model."
    ),
    out: Path = typer.Option(
        ..., "--out", metavar="DIR", show_default=False, help="Folder of the page that compares the models."
    ),
) -> None:
    """Compare finished studies of the same data on one page: verdicts, parameters, scores on held-out days.

    \b
    Example:
      hetcal compare results/flu1978 results/flu1978_bed --out results/flu1978-models
    """
    from hetcal.comparison import compare_models
    from hetcal.studies.folder import Folder, finished

    with contextlib.ExitStack() as opened:
        results = {}
        for folder in folders:
            found, note = Folder(folder).recall()
            ledger = opened.enter_context(Folder(folder).open_ledger())
            posterior = finished(found, ledger, note, Folder(folder)).posterior
            if posterior is None:
                raise ValueError(
                    f"study {found.name!r} in {folder} has no posterior: give it posterior=hetcal.Posterior(...)"
                )
            name = found.problem.simulator.name
            if name in results:
                name = f"{name} in {folder}"
            results[name] = posterior
        comparison = compare_models(results)
        path = comparison.report(out)
    print(f"The comparison is {path.resolve()}")
    print("\n".join(comparison.says))


@app.command()
def ask(
    study: str = STUDY,
    out: Optional[Path] = OUT,
    seed: Optional[str] = typer.Option(
        None,
        metavar="N",
        help="Seed of the study; the folder's latest where none is given, 0 where that is new.",
        show_default=False,
    ),
    budget: Optional[str] = BUDGET,
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
    from hetcal.studies.folder import Folder
    from hetcal.studies.study import load

    number = None if seed is None else _whole_number(seed)
    # What a study's file prints must not end up in the table.
    with contextlib.redirect_stdout(sys.stderr):
        found = load(study, budget)
        folder = Folder(out or Path("results") / found.name)
        if number is None:
            latest = folder.latest(study, budget)
            number = 0 if latest is None else latest.seed
        with folder.open_ledger() as ledger:
            folder.remember(
                study, number, budget, _command("run", study, out=out, seed=number, budget=budget)
            )
            todo = found.ask(ledger, number)
            columns = ledger.output_columns(found.problem.simulator)
    todo.to_csv(sys.stdout, index=False)
    if len(todo):
        shown = ", ".join(columns if len(columns) < 4 else [*columns[:2], "...", columns[-1]])
        print(
            f"{len(todo)} runs to make (round {todo['round'].iloc[0]}, {todo['purpose'].iloc[0]}): add the outputs as "
            f"columns {shown}, then `{_command('tell', study, 'results.csv', out=out, seed=number)}`",
            file=sys.stderr,
        )
    else:
        print(
            f"the study is finished: `{_command('report', folder.path, seed=number)}` writes its report",
            file=sys.stderr,
        )


@app.command()
def tell(
    study: str = STUDY,
    results: Path = typer.Argument(
        ..., metavar="RESULTS.CSV", show_default=False, help="The runs of `hetcal ask` with their outputs."
    ),
    out: Optional[Path] = OUT,
    seed: Optional[str] = LATEST,
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
    asked, note = folder.recall(None if seed is None else _whole_number(seed))
    _check_named(named, asked, study, folder)
    with folder.open_ledger() as ledger:
        told = take(asked, ledger, note.seed, results, folder.seeds())
    again = _command("ask", study, out=out, seed=note.seed, budget=note.budget)
    rest = (
        f"{told.missing} runs are still missing"
        if told.missing
        else f"none is missing; next: `{again} > batch.csv`"
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


def _whole_number(text: str, option: str = "--seed", least: int = 0) -> int:
    """What was typed for an option that counts."""
    if not (text.isascii() and text.isdigit() and int(text) >= least):
        raise typer.BadParameter(
            f"{text!r} is not a whole number of at least {least}", param_hint=f"'{option}'"
        )
    return int(text)


def _command(verb: str, *arguments: Any, **options: Any) -> str:
    """A command as its user would type it; options that are None are left out."""
    given = [[f"--{name}", str(value)] for name, value in options.items() if value is not None]
    return shlex.join(["hetcal", verb, *map(str, arguments), *(word for pair in given for word in pair)])


def _check_named(named: Study, held: Study, which: str, folder: Folder) -> None:
    """Refuse a folder that holds another study than the one named."""
    if held.name != named.name:
        raise ValueError(
            f"{folder.path} is the folder of study {held.name!r}, not of {which}: give its own by --out"
        )


def _write_report(answers: Answers, study: Study, folder: Folder, command: str, quiet: bool) -> None:
    from hetcal.report import write_report
    from hetcal.studies.answers import lines

    path = write_report(
        answers.result,
        folder.path,
        study=study,
        command=command,
        posterior=answers.posterior,
        scenarios=answers.scenarios,
        exhibits=answers.exhibits,
    )
    print(f"The report is {path.resolve()}")
    if not quiet:
        print("\n".join(lines(answers)))
