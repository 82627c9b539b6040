"""Self-tests as a ledger keeps them, so that a report can tell one that was run before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hetcal.simulators.identity import content_hash

if TYPE_CHECKING:
    from hetcal.checks.recovery import RecoveryTest

_NAME = "self-test"
_PARTS = ("table", "ranks", "says", "trusted", "power", "draws")


def keep_recovery(post: Any, test: RecoveryTest) -> None:
    """Note the result of a self-test beside the study's runs."""
    note = {
        "table": test.table.to_dict("list"),
        "ranks": test.ranks.to_dict("list"),
        "says": list(test.says),
        "trusted": test.trusted,
        "power": test.power,
        "draws": test.draws,
    }
    post.ledger.checkpoint(post.study, f"{_NAME} {content_hash(note, _NAME)[:12]}", note)


def known_recovery(post: Any) -> RecoveryTest | None:
    """The latest self-test of a posterior that its ledger holds; None where there was none.

    Its data sets are not kept: `recovery_test` makes them again from the runs that are there.

    Parameters
    ----------
    post : PosteriorResult

    Returns
    -------
    RecoveryTest or None

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import hetcal as hc
    >>> from hetcal.checks.kept import known_recovery
    >>> known_recovery(SimpleNamespace(ledger=hc.Ledger(), study="none yet")) is None
    True
    """
    import pandas as pd

    from hetcal.checks.recovery import RecoveryTest

    notes = [note for name, note in post.ledger.checkpoints(post.study).items() if name.startswith(_NAME)]
    if not notes:
        return None
    note = {name: notes[-1][name] for name in _PARTS}
    frames = {name: pd.DataFrame(note.pop(name)) for name in ("table", "ranks")}
    return RecoveryTest(**frames, **note, sets={})
