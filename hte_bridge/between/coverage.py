"""What coverage and error to expect from each engine on the user's own covariates, sizes, overlap and clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

from hte_bridge.arrays import Array
from hte_bridge.between.compared import Reading
from hte_bridge.between.draws import Store, marks
from hte_bridge.between.world import SHAPES, Shape, World, split
from hte_bridge.cores import replaceable
from hte_bridge.engine import Engine, Fit, HeldOut
from hte_bridge.errors import HteBridgeError, InvalidOption, NotIdentified
from hte_bridge.estimands.averages import ate
from hte_bridge.options import whole
from hte_bridge.progress import steps
from hte_bridge.scores import scores
from hte_bridge.study import Folds, Study
from hte_bridge.table import Ends, Estimate, check_level, interval

LEVEL = 0.95  # of the Monte-Carlo intervals of what was counted
BLOCK = 20  # tasks between two writings of the file


def coverage(
    study: Study,
    engines: Sequence[Engine],
    *,
    draws: int = 100,
    shapes: Iterable[Shape] = SHAPES,
    scale: float = 0.5,
    reference: Fit | None = None,
    level: float = 0.95,
    seed: int = 0,
    jobs: int = 1,
    path: str | Path | None = None,
) -> Reading:
    """Simulate outcomes on a study's own covariates with known effects, refit every engine, and count.

    An outcome is what the reference fit says of a unit without treatment, plus treatment times a known effect, plus the
    unit's held-out residual with a sign drawn by cluster (wild bootstrap: Cameron, Gelbach and Miller 2008, REStat
    90(3)). A binary treatment is drawn from the reference's propensity, by cluster where it was assigned so; a dose, and
    one with fixed effects, stay. Covariates stay too, so that intervals that allow for the draw of units cover the
    average effect somewhat more often than their level.

    Parameters
    ----------
    study : Study
    engines : sequence of Engine
    draws, scale : int and float
        Data sets of each shape, the same for any engines and jobs; mean and sd of the effect in sds of the noise.
    shapes : iterable of {"none", "linear", "threshold", "smooth"}
        True effects, functions of one index of all covariates.
    reference : Fit, optional
        What outcomes and propensities are built from; by default the engine of least held-out loss on the data.
    level, seed, jobs : float, int, int
        Of the intervals that are counted; of the draws; processes, by joblib.
    path : str or Path, optional
        Parquet file of single results: written as they come, and read when the same call is made again.

    Returns
    -------
    Reading
        By engine, term "shape: of what": ``coverage`` of ``ate`` (``ape``) and of ``cate`` (on the tenth of units left
        out of each fit), ``bias``, ``rmse`` and ``error_ratio`` (mean standard error over the spread of estimates) of
        the average effect, and ``cate_rmse``, each with its Monte-Carlo error.

    Raises
    ------
    InvalidOption, NotIdentified, UnreadableFile
        If an option is not what it must be; no engine has held-out predictions; ``path`` is damaged, or holds draws of another
        study, reference, seed, level or code, or of an engine of the same name with another option, which is named.

    Examples
    --------
    Three data sets, to see the shape of the answer; a hundred tell something:

    >>> import hte_bridge as hb
    >>> from hte_bridge.simulate import grf_table1
    >>> df = grf_table1(120, seed=1).frame()
    >>> study = hb.Study.from_frame(df, outcome="y", treatment="t", covariates=["x1", "x2"])
    >>> found = hb.coverage(study, [hb.Feols()], draws=3, shapes=["linear"], seed=1)
    >>> [(row.estimand, row.term) for row in found.rows if row.estimand == "coverage"]
    [('coverage', 'linear: ate'), ('coverage', 'linear: cate')]
    """
    chosen, kinds = list(engines), list(shapes)
    _check(chosen, kinds, draws, level)
    kept, judged = split(study, seed)
    world = World.of(study, _reference(study, chosen, reference, seed), scale)
    tasks = [(kind, draw) for draw in range(draws) for kind in kinds]
    store = Store(
        None if path is None else Path(path), {} if path is None else marks(world, chosen, level, seed)
    )
    for engine in chosen:
        done = store.done(engine.name)
        missing = [task for task in tasks if task not in done]
        _work(Job(world, engine, kept, judged, level, seed), missing, jobs, store)
    frame = store.frame[store.frame["shape"].isin(kinds) & (store.frame["draw"] < draws)]
    return _table(study, frame, [each.name for each in chosen], kinds, level, seed, world.redraws)


def _check(engines: Sequence[Engine], shapes: Sequence[str], draws: int, level: float) -> None:
    check_level(level)
    unknown = next((shape for shape in shapes if shape not in SHAPES), None)
    if unknown is not None or not shapes:
        raise InvalidOption(
            f"`shapes` must be some of {', '.join(SHAPES)}. {unknown or 'None'} was given. Choose from these."
        )
    whole("draws", draws, 2, advice="A hundred is usual.")
    names = [each.name for each in engines]
    if not names or len(set(names)) < len(names):
        raise InvalidOption(
            f"`engines` must be engines with names of their own. {names} were given. Label them."
        )


def _reference(study: Study, engines: Sequence[Engine], given: Fit | None, seed: int) -> HeldOut:
    """Held-out predictions to build a world from: those given, or those of least loss."""
    if given is not None:
        if given.heldout is None:
            raise NotIdentified(
                given.reasons.get("*", "The reference has no held-out predictions for this study.")
            )
        return given.heldout
    folds = Folds.make(study, 5, seed)
    found, reasons = [], []
    for engine in steps(engines, "coverage: reference", total=len(engines)):
        fit = engine.fit(study, folds)
        if fit.heldout is None:
            reasons.append(f"{engine.name}: {fit.reasons.get('*', '')}")
            continue
        left = study.treatment - fit.heldout.propensity
        residual = study.outcome - fit.heldout.outcome_mean - left * fit.heldout.cate
        found.append((float(np.average(residual**2, weights=study.weight)), fit.heldout))
    if not found:
        raise NotIdentified(
            f"A simulation needs one engine with held-out predictions for this study. None has any: {'; '.join(reasons)}"
        )
    return min(found, key=lambda pair: pair[0])[1]


@dataclass(frozen=True, eq=False)
class Job:
    """One engine in one world; called with a shape and a draw."""

    world: World
    engine: Engine
    kept: npt.NDArray[np.int64]
    judged: npt.NDArray[np.int64]
    level: float
    seed: int

    def __call__(self, shape: Shape, draw: int) -> list[tuple[str, str, int, str, float]]:
        """Results (engine, shape, draw, quantity, value) of one data set."""
        rng = np.random.default_rng([self.seed, 2, draw, SHAPES.index(shape)])
        drawn, tau = self.world.draw(shape, rng), self.world.tau(shape)
        study = drawn.subset(self.kept)
        truth = float(np.average(tau[self.kept], weights=study.weight))
        try:
            fit = self.engine.fit(study, Folds.make(study, 5, self.seed))
            found = {**self._average(fit, truth), **self._cate(fit, drawn, tau)}
        except HteBridgeError:
            found = {"failed": 1.0}
        return [(self.engine.name, shape, draw, quantity, value) for quantity, value in found.items()]

    def _average(self, fit: Fit, truth: float) -> dict[str, float]:
        if fit.heldout is None:
            return {"failed": 1.0}
        row = ate(scores(fit.study, fit.heldout), level=self.level)
        covered = float(row.conf_low <= truth <= row.conf_high)
        return {"covered": covered, "error": row.estimate - truth, "std_error": row.std_error}

    def _cate(self, fit: Fit, drawn: Study, tau: Array) -> dict[str, float]:
        """Error and coverage of the CATE at units that were not fitted."""
        if drawn.frame is None:
            return {}
        try:
            made = fit.cate(drawn.frame.iloc[self.judged], level=self.level)
        except HteBridgeError:  # columns given from elsewhere know no other rows
            return {}
        true = tau[self.judged]
        out = {"cate_rmse": float(np.sqrt(np.mean((made["estimate"] - true) ** 2)))}
        if made["std_error"].notna().all():
            out["cate_covered"] = float(np.mean((made["conf_low"] <= true) & (true <= made["conf_high"])))
        return out


def _work(
    job: Callable[[Shape, int], list[Any]], tasks: Sequence[tuple[Shape, int]], jobs: int, store: Store
) -> None:
    """Run tasks in blocks, each written before the next begins."""
    blocks = [tasks[begin : begin + BLOCK] for begin in range(0, len(tasks), BLOCK)]
    for block in steps(blocks, "coverage: draws", total=len(blocks)):
        if jobs == 1:
            made = [job(*task) for task in block]
        else:
            from joblib import Parallel, delayed

            with replaceable():
                made = Parallel(n_jobs=jobs)(delayed(job)(*task) for task in block)
        store.add([line for lines in made for line in lines])


def _table(
    study: Study,
    frame: pd.DataFrame,
    engines: Sequence[str],
    shapes: Sequence[str],
    level: float,
    seed: int,
    redraws: bool,
) -> Reading:
    average = "ate" if study.binary and not study.fixed_effects.shape[1] else "ape"
    rows: list[Estimate] = []
    for engine in engines:
        for shape in shapes:
            mine = frame[(frame["engine"] == engine) & (frame["shape"] == shape)]
            found = {str(name): part["value"].to_numpy() for name, part in mine.groupby("quantity")}
            rows += [row.with_(engine=engine) for row in _cell(shape, average, found)]
    meta = {"seed": seed, "level": level, "reading": paragraph(rows, level, average, redraws)}
    return Reading(tuple(rows), meta)


def _cell(shape: str, average: str, found: Mapping[str, Array]) -> list[Estimate]:
    """Rows of one engine and one shape."""
    failed = len(found.get("failed", ()))
    errors = found.get("error", np.empty(0))
    if len(errors) < 2:
        return [Estimate.missing("coverage", f"{failed} draws failed", term=f"{shape}: {average}")]
    note = f"{failed} draws failed" if failed else ""
    spread = float(np.std(errors, ddof=1))
    ratio = float(np.mean(found["std_error"])) / spread

    def row(estimand: str, of: str, estimate: float, error: float) -> Estimate:
        term, n = f"{shape}: {of}", len(errors)
        if estimand == "bias":
            return Estimate(estimand, estimate, error, term=term, n_obs=n, note=note)
        ends = partial(share_ends, estimate, n) if (estimand, of) == ("coverage", average) else None
        ends = ends or partial(_within, estimate, error, 1.0 if estimand == "coverage" else np.inf)
        test = (np.nan, np.nan)  # that an rmse is not zero is no news
        made = Ends(ends, LEVEL) if error > 0 else None
        return Estimate(estimand, estimate, error, term=term, n_obs=n, note=note, test=test, interval=made)

    def mean(values: Array) -> tuple[float, float]:
        return float(np.mean(values)), float(np.std(values, ddof=1) / len(values) ** 0.5)

    share = float(np.mean(found["covered"]))
    squared, squared_error = mean(errors**2)
    rows = [
        row("coverage", average, share, _binomial_error(share, len(errors))),
        row("bias", average, *mean(errors)),
        row("rmse", average, squared**0.5, squared_error / (2 * squared**0.5)),
        row("error_ratio", average, ratio, ratio / (2 * (len(errors) - 1)) ** 0.5),
    ]
    if "cate_rmse" in found:
        rows.append(row("cate_rmse", "cate", *mean(found["cate_rmse"])))
    if "cate_covered" in found:
        rows.append(row("coverage", "cate", *mean(found["cate_covered"])))
    return rows


def _binomial_error(share: float, draws: int) -> float:
    """Error of a share, not zero where all or none were counted: Agresti and Coull (1998), American Statistician 52(2)."""
    middle = (share * draws + 2) / (draws + 4)
    return float((middle * (1 - middle) / (draws + 4)) ** 0.5)


def share_ends(share: float, draws: int, level: float) -> tuple[float, float]:
    """Score interval of a share, which never leaves [0, 1]: Wilson (1927), JASA 22(158)."""
    z = float(norm.ppf((1 + level) / 2))
    middle = (share + z**2 / (2 * draws)) / (1 + z**2 / draws)
    half = z / (1 + z**2 / draws) * (share * (1 - share) / draws + (z / (2 * draws)) ** 2) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def _within(estimate: float, error: float, most: float, level: float) -> tuple[float, float]:
    """Normal interval of a mean of draws, cut off at what no draw can be: below 0, and above ``most``."""
    low, high = interval(np.array([estimate]), np.array([error]), level)
    return max(0.0, float(low[0])), min(most, float(high[0]))


def paragraph(rows: Sequence[Estimate], level: float, average: str, redraws: bool) -> str:
    """What to expect of each engine, in words."""
    lines = []
    for engine in dict.fromkeys(row.engine for row in rows):
        mine = [row for row in rows if row.engine == engine and row.estimand == "coverage"]
        for of in (average, "cate"):
            found = [row for row in mine if row.term.endswith(f": {of}") and np.isfinite(row.estimate)]
            if not found:
                lines.append(f"{engine} gives no interval for the {of}.")
                continue
            worst = min(found, key=lambda row: row.estimate)
            short = worst.estimate + 2 * max(worst.std_error, 0.0) < level
            said = (
                "expect intervals that are too short"
                if short
                else "its intervals hold here, as far as these draws tell"
            )
            lines.append(
                f"{engine}, {of}: {level:.0%} intervals cover {worst.estimate:.0%} where the effect is "
                f"{worst.term.split(':')[0]}, their worst; {said}."
            )
    drawn = "and treatment are" if redraws else "is"
    lines.append(f"The outcome {drawn} drawn anew in each data set; covariates stay.")
    return " ".join(lines)
