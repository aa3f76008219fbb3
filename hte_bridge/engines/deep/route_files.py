"""Data larger than memory: Parquet read by row groups, one pass of sums, memory that does not grow with the rows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hte_bridge.engines.deep.basis.coefficients import posterior
from hte_bridge.engines.deep.basis.data import Rows, unique_rows
from hte_bridge.engines.deep.basis.design import Design, design
from hte_bridge.engines.deep.basis.mixed_model import Clock
from hte_bridge.engines.deep.basis.normal_equations import SUMS, NormalEquations, normal_equations
from hte_bridge.engines.deep.basis.posterior import EffectPosterior
from hte_bridge.engines.deep.basis.solve import solve
from hte_bridge.engines.deep.options import Options
from hte_bridge.engines.deep.read.answers import answer, recovered_answer
from hte_bridge.engines.deep.route_stream import SAMPLE
from hte_bridge.engines.deep.store.arrays import State
from hte_bridge.engines.deep.store.checkpoint import NOWHERE, Checkpoint, Format
from hte_bridge.engines.deep.store.threads import threads
from hte_bridge.errors import InvalidData, UnreadableFile
from hte_bridge.frames import from_arrow
from hte_bridge.progress import steps
from hte_bridge.study import Folds, Study

BATCH = 100_000  # rows in memory at once
STORED_EVERY = 120.0  # seconds between checkpoints of the sums


@dataclass(frozen=True, eq=False)
class Roles:
    """Names of the columns, as in ``Study.from_frame``."""

    outcome: str
    treatment: str
    covariates: tuple[str, ...]
    fixed_effects: tuple[str, ...]

    @property
    def all(self) -> list[str]:
        """Every column that is read."""
        return [self.outcome, self.treatment, *self.covariates, *self.fixed_effects]


@dataclass(frozen=True, eq=False)
class StreamFit:
    """A panel fitted from files: the effect at new rows, averages and recovered effects.

    Parameters
    ----------
    study : Study
        A sample of the rows, with the encoder of new ones.
    surface : EffectPosterior
        Posterior of tau, from all rows.
    levels : tuple of array
        Labels of each effect's levels.
    info : dict
        Rows, features, noise, nugget, seconds.
    """

    study: Study
    surface: EffectPosterior
    levels: tuple[npt.NDArray[Any], ...]
    info: dict[str, Any]

    def __repr__(self) -> str:
        names = self.study.names
        return (
            f"Deep, fitted to {self.info['rows']:,} rows of files: effect of {names.treatment} on {names.outcome}\n"
            f"  structure found on a sample of {self.study.n:,}, {self.info['features']:,} features"
        )

    def cate(self, new: Any, level: float = 0.95) -> pd.DataFrame:
        """``estimate std_error conf_low conf_high`` for each row of ``new``."""
        frame = self.study.encoder.frame(new)
        x = self.study.fill(self.study.encoder.transform(frame))
        with threads(1):
            estimate, std_error = self.surface.moments(x)
        return answer(estimate, std_error, level, frame.index, converged=self.info["converged"])

    def effects(self, name: str, level: float = 0.95) -> pd.DataFrame:
        """Recovered effect ``name`` by level, as ``DeepFit.effects`` gives it.

        Raises
        ------
        NotIdentified
            If the study has no fixed effect of this name.
        """
        parts, converged = self.surface.recovered, self.info["converged"]
        return recovered_answer(self.study, name, parts, self.levels, level, converged=converged)


def fit_path(
    options: Options,
    path: str | Path,
    *,
    outcome: str,
    treatment: str,
    covariates: Sequence[str],
    fixed_effects: Sequence[str],
) -> StreamFit:
    """Fit a panel from a Parquet file, or a folder of them, larger than memory.

    A first scan reads the effects' levels and draws a sample, on which the networks find the structure; a second
    pass sums the Gram matrix over all rows, a batch at a time. Network columns are left out: rows outside the sample
    have no fold.

    Parameters
    ----------
    options : Options
    path : path
        Parquet file or folder.
    outcome, treatment : str
    covariates, fixed_effects : sequence of str

    Raises
    ------
    UnreadableFile
        If there is no Parquet file at ``path``, or one lacks a column.
    InvalidData
        If the sample breaks a rule of ``Study.from_frame``.
    InvalidOption
        If the folder of checkpoints cannot be made.
    """
    clock = Clock()
    checkpoint = Checkpoint.of(options.checkpoint)
    roles = Roles(outcome, treatment, tuple(covariates), tuple(fixed_effects))
    files = parquet_files(Path(path), roles)
    levels, sample = scan(files, roles, options.seed)
    study = Study.from_frame(
        sample,
        outcome=outcome,
        treatment=treatment,
        covariates=list(covariates),
        fixed_effects=list(fixed_effects),
    ).scored
    clock.done("scan")
    folds = Folds.make(study, options.n_folds, options.seed)
    made = design(study, folds, options, study.treatment, checkpoint)
    made = made.without_networks(replace(made.rows, groups=()))
    clock.done("networks")
    whole = stream_sums(files, roles, levels, study, made, checkpoint)
    clock.done("sums")
    made = with_all_levels(made, study, levels)
    solved = solve(made, whole)
    surface, _ = posterior(study, made, whole, solved)
    clock.done("variances")
    info = {
        "rows": whole.n,
        "sample": study.n,
        "features": made.basis.size,
        "noise": float(solved.layer.noise),
        "nugget": float(solved.nugget),
        "converged": solved.layer.converged,
        "seconds": clock.seconds,
    }
    return StreamFit(study, surface, levels, info)


def parquet_files(path: Path, roles: Roles) -> list[Path]:
    """The file, or the folder's files in order of name; each must have every column."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not files[0].exists():
        raise UnreadableFile(
            f"The path must be a Parquet file or a folder of them. None is at {path}. Check the path."
        )
    for file in files:
        missing = [name for name in roles.all if name not in pq.read_schema(file).names]
        if missing:
            raise UnreadableFile(
                f"Every file must have the columns of the study. {file} lacks `{missing[0]}`. Leave the file out."
            )
    return files


def batches(files: Sequence[Path], columns: Sequence[str], skip: int = 0) -> Iterator[pd.DataFrame]:
    """Rows in batches that fit in memory, but the first ``skip`` batches; rows with a gap in any column included."""
    for file in files:
        with pq.ParquetFile(file) as opened:
            for batch in opened.iter_batches(batch_size=BATCH, columns=list(columns)):
                if skip:
                    skip -= 1
                else:
                    yield _known(from_arrow(pa.Table.from_batches([batch])))


def _known(frame: pd.DataFrame) -> pd.DataFrame:
    """Blank text is missing, as in a ``Study``."""
    text = [name for name in frame.columns if isinstance(frame[name].dtype, pd.StringDtype)]
    return frame.assign(**{name: frame[name].mask(frame[name].str.strip() == "") for name in text})


def scan(files: Sequence[Path], roles: Roles, seed: int) -> tuple[tuple[npt.NDArray[Any], ...], pd.DataFrame]:
    """Sorted levels of each effect, and a random sample of the rows (each row equally likely)."""
    rng = np.random.default_rng(seed)
    total = sum(pq.read_metadata(file).num_rows for file in files)
    if not total:
        raise InvalidData("The files must hold at least one row. They are empty. Check the path.")
    share = min(1.0, SAMPLE.rows / total)
    found: list[set[Any]] = [set() for _ in roles.fixed_effects]
    kept = []
    for frame in steps(batches(files, roles.all), "deep: scan"):
        for seen, name in zip(found, roles.fixed_effects, strict=True):
            seen.update(frame[name].dropna().unique().tolist())
        kept.append(frame[rng.random(len(frame)) < share])
    return tuple(np.array(sorted(seen)) for seen in found), pd.concat(kept, ignore_index=True)


@dataclass(frozen=True, eq=False)
class Running:
    """How far the pass has come: sums of the first ``batches`` batches, ``done`` when there are no more."""

    total: NormalEquations
    batches: int
    done: bool = False

    def state(self) -> State:
        """Arrays and JSON values from which ``restore`` rebuilds it."""
        arrays, values = SUMS.state(self.total)
        return arrays, values | {"batches": self.batches, "done": self.done}

    @classmethod
    def restore(cls, arrays: Mapping[str, Any], values: Mapping[str, Any]) -> Running:
        """Rebuild what ``state`` took apart."""
        return cls(SUMS.restore(arrays, values), values["batches"], values["done"])


RUNNING = Format(Running.state, Running.restore)


def stream_sums(
    files: Sequence[Path],
    roles: Roles,
    levels: tuple[npt.NDArray[Any], ...],
    study: Study,
    made: Design,
    checkpoint: Checkpoint = NOWHERE,
) -> NormalEquations:
    """One pass: sums of each batch, merged by addition; a pass that was killed goes on with its next batch.

    Files larger than memory are known by name, size and time of change, not by their content.
    """
    stamps = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    seen = (study.encoder.to_json(), study.covariates, study.weight)
    kept = checkpoint.under(stamps, BATCH, roles, levels, seen, made.basis, made.drift)
    running = kept.read("sums", RUNNING)
    if running and running.done:
        return running.total
    needed = [roles.outcome, roles.treatment, *roles.fixed_effects]
    rest = batches(files, roles.all, skip=running.batches if running else 0)
    stored = time.monotonic()
    for frame in steps(rest, "deep: sums over rows"):
        frame = frame.dropna(subset=needed)
        part = normal_equations(rows_of_batch(frame, roles, levels, study, made), made.basis, made.drift)
        running = Running(running.total.take(part), running.batches + 1) if running else Running(part, 1)
        if time.monotonic() - stored >= STORED_EVERY:
            kept.say(kept.write("sums", RUNNING, running))
            stored = time.monotonic()
    assert running is not None
    kept.say(kept.write("sums", RUNNING, replace(running, done=True)))
    return running.total


def rows_of_batch(
    frame: pd.DataFrame, roles: Roles, levels: tuple[npt.NDArray[Any], ...], study: Study, made: Design
) -> Rows:
    """A batch as rows, with the levels' global codes."""
    x = study.fill(study.encoder.transform(frame))
    first, place = unique_rows(x)
    blank = np.zeros((len(first), len(made.basis.centre) - x.shape[1]))
    codes = [
        _codes(frame[name].to_numpy(), own) for name, own in zip(roles.fixed_effects, levels, strict=True)
    ]
    n = len(frame)
    return Rows(
        frame[roles.outcome].to_numpy(dtype=np.float64),
        frame[roles.treatment].to_numpy(dtype=np.float64),
        np.ones(n),
        np.column_stack(codes),
        tuple(len(own) for own in levels),
        np.zeros(n, dtype=np.int64),
        place,
        np.hstack([x[first], blank]),
    )


def _codes(labels: npt.NDArray[Any], levels: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return np.searchsorted(levels, labels).astype(np.int64)


def with_all_levels(made: Design, study: Study, levels: tuple[npt.NDArray[Any], ...]) -> Design:
    """The sample's rows with the codes of all rows' levels: the nugget is found on them."""
    columns = enumerate(levels)
    codes = [_codes(study.effect_levels[f][study.fixed_effects[:, f]], labels) for f, labels in columns]
    sizes = tuple(len(labels) for labels in levels)
    return replace(made, rows=replace(made.rows, effects=np.column_stack(codes), sizes=sizes))
