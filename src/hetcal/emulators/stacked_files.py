"""The folder of a saved stack: settings and numbers, R's file of the learners, and level 1's own folder."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hetcal.emulators.hetgp import HetGP
from hetcal.emulators.stacked_fit import Scaling, StackFit
from hetcal.emulators.stacked_learners import FittedLearners
from hetcal.emulators.stacked_variance import MeanVariance

FORMAT = "hetcal StackedGP 1"
_BY_LOCATION = ("held_out_var", "held_out_noise_var")


def write_stack(folder: str | Path, fit: StackFit, settings: dict[str, Any]) -> None:
    """Write a fit with the emulator's settings to a folder; R reads it by ``read_emulator``."""
    target = Path(folder)
    fit.level1.save(target / "level1")
    meta = {
        "format": FORMAT,
        "settings": settings,
        "learners": list(fit.level0.names),
        "failed": fit.failed,
        "rows": fit.rows.tolist(),
        "count": fit.count.tolist(),
        "scaling": _plain(asdict(fit.scaling)),
        "with_parameters": fit.with_parameters,
        "mean_variance": None if fit.mean_variance is None else _plain(asdict(fit.mean_variance)),
        **{name: _plain(vars(fit))[name] for name in _BY_LOCATION},
        "sha256": {"learners": fit.level0.key, "level1": _sum_of_level1(target)},
    }
    # An .rds file is R's serialised object, compressed; the time is left out so that equal stacks are equal files.
    contents = {
        "learners.rds": gzip.compress(fit.level0.models, 6, mtime=0),
        "emulator.json": json.dumps(meta).encode(),
    }
    for name, content in contents.items():
        (target / f"{name}.new").write_bytes(content)
        os.replace(target / f"{name}.new", target / name)


def read_stack(folder: str | Path) -> tuple[dict[str, Any], StackFit]:
    """Settings and fit from what `write_stack` wrote; parts of two saves raise ``ValueError``."""
    source = Path(folder)
    meta = json.loads((source / "emulator.json").read_text(encoding="utf-8"))
    level0 = FittedLearners(tuple(meta["learners"]), gzip.decompress((source / "learners.rds").read_bytes()))
    if meta["sha256"] != {"learners": level0.key, "level1": _sum_of_level1(source)}:
        raise ValueError(
            f"learners.rds, level1 and emulator.json in {source} are of different saves: save the emulator again"
        )
    fit = StackFit(
        rows=np.array(meta["rows"]),
        count=np.array(meta["count"]),
        level0=level0,
        failed=meta["failed"],
        scaling=Scaling(**_arrays(meta["scaling"])),
        level1=HetGP.load(source / "level1"),
        with_parameters=meta["with_parameters"],
        mean_variance=(
            None if meta["mean_variance"] is None else MeanVariance(**_arrays(meta["mean_variance"]))
        ),
        **_arrays({name: meta[name] for name in _BY_LOCATION}),
    )
    return meta["settings"], fit


def _sum_of_level1(folder: Path) -> str:
    return hashlib.sha256((folder / "level1" / "emulator.json").read_bytes()).hexdigest()


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}


def _arrays(values: dict[str, Any]) -> dict[str, Any]:
    return {k: np.array(v) if isinstance(v, list) else v for k, v in values.items()}
