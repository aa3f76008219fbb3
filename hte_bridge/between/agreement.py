"""Do two engines say the same of the same people, and where do they part?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import numpy.typing as npt
from sklearn.tree import DecisionTreeRegressor

from hte_bridge.between.compared import Compared, Reading, able, guard_of, read, study_scores
from hte_bridge.engine import HeldOut
from hte_bridge.errors import HteBridgeError, TooFewClusters
from hte_bridge.estimands.averages import ate
from hte_bridge.estimands.moments import row_from_influence
from hte_bridge.faults import Fault
from hte_bridge.options import whole
from hte_bridge.scores import Scores
from hte_bridge.study import Study
from hte_bridge.table import Estimate, check_level

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
TOP = 0.2
TOP_NOTE = (
    "share of the one's top fifth that is in the other's; 0.2 by chance; a description, without an interval"
)
GROUP_NOTE = "doubly robust effect, mean of both engines' scores; groups by held-out CATE"


def agreement(table: Compared, *, depth: int = 2, level: float | None = None) -> Reading:
    """Correlation and signs of the CATEs of each two engines, who is in the top fifth of both, and where they part.

    Parameters
    ----------
    table : Comparison
    depth : int, default 2
        Splits on a path of the tree that describes where two CATEs differ. It is grown on half of the folds; its leaves
        are measured on the other half.
    level : float, optional
        Coverage of the intervals; the table's by default.

    Returns
    -------
    Reading
        ``correlation``; ``same_sign`` (share of units); ``top_fifth``: ``overlap``, and the doubly robust effect of units
        in the top fifth of both, of one alone, and of neither; ``parting``: mean difference of the CATEs by leaf. Errors
        are those of the units drawn, by cluster, with predictions taken as they are.

    Raises
    ------
    InvalidOption
        If fewer than two engines have held-out predictions, or the depth is not a positive whole number.
    """
    level = check_level(table.level if level is None else level)
    whole("depth", depth, advice="Two is easy to read.")
    held = {name: fit.heldout for name, fit in able(table).items() if fit.heldout is not None}
    rows: list[Estimate] = []
    said: list[str] = []
    guard = guard_of(table)
    for first, second in combinations(held, 2):
        label = f"{second} & {first}"
        try:
            with guard(label, f"The agreement of {label}"):
                made = _pair(table, first, second, held, depth, level)
                said.append(_sentence(first, second, made))
        except Fault as fault:
            made = [
                Estimate.missing("correlation", str(fault), engine=label, level=level, n_obs=table.study.n)
            ]
            said.append(f"{label}: {fault}.")
        rows += made
    return read(rows, table.meta, " ".join(said), guard)


def _pair(
    table: Compared, first: str, second: str, held: dict[str, HeldOut], depth: int, level: float
) -> list[Estimate]:
    study, one, two = table.study, held[first].cate, held[second].cate
    units = study_scores(study)
    label = f"{second} & {first}"
    rows = [correlation(one, two, units, level), _same_sign(one, two, units, level)]
    both = study_scores(study, (table.scores(first).gamma + table.scores(second).gamma) / 2)
    rows += _top(first, second, top(one, study.weight), top(two, study.weight), both, level)
    rows = [row.with_(engine=label) for row in rows]
    return rows + _parting(table, first, second, one, two, both, depth, level)


def correlation(one: Array, two: Array, units: Scores, level: float) -> Estimate:
    """Weighted correlation of two columns (n,), by its influence function: z w - r (z^2 + w^2) / 2 of standard values."""
    share = units.weight / units.weight.sum()
    spread = [float(share @ (each - share @ each) ** 2) ** 0.5 for each in (one, two)]
    if not min(spread) > 1e-12 * max(1e-300, np.abs(one).max(), np.abs(two).max()):
        return Estimate.missing(
            "correlation", "one of the two effects is the same for all", n_obs=units.n, level=level
        )
    z, w = ((each - share @ each) / sd for each, sd in zip((one, two), spread, strict=True))
    estimate = float(share @ (z * w))
    return row_from_influence(
        "correlation", estimate, share * (z * w - estimate * (z**2 + w**2) / 2), units, level=level
    )


def _same_sign(one: Array, two: Array, units: Scores, level: float) -> Estimate:
    share = units.weight / units.weight.sum()
    same = (np.sign(one) == np.sign(two)).astype(np.float64)
    estimate = float(share @ same)
    row = row_from_influence("same_sign", estimate, share * (same - estimate), units, level=level)
    if same.all() or not same.any():
        return Estimate(
            "same_sign", estimate, note="no unit differs from the rest", level=level, n_obs=units.n
        )
    return row.with_(test=(np.nan, np.nan))  # that some agree is no news


def top(cate: Array, weight: Array) -> Mask:
    """Units (n,) in the top fifth by ``cate``, a fifth of all weight.

    Examples
    --------
    >>> top(np.array([1.0, 5.0, 2.0, 3.0, 4.0]), np.ones(5)).tolist()
    [False, True, False, False, False]
    """
    order = np.argsort(-cate, kind="stable")
    above = np.cumsum(weight[order]) <= TOP * weight.sum() * (1 + 1e-12)
    inside = np.zeros(len(cate), dtype=bool)
    inside[order[above]] = True
    return inside


def _top(first: str, second: str, one: Mask, two: Mask, both: Scores, level: float) -> list[Estimate]:
    shared = float(both.weight[one & two].sum() / max(both.weight[one].sum(), 1e-300))
    rows = [Estimate("top_fifth", shared, term="overlap", note=TOP_NOTE, level=level, n_obs=both.n)]
    groups = {
        "both": one & two,
        f"{second} alone": two & ~one,
        f"{first} alone": one & ~two,
        "neither": ~one & ~two,
    }
    return rows + [_effect(name, inside, both, level) for name, inside in groups.items()]


def _effect(name: str, inside: Mask, both: Scores, level: float) -> Estimate:
    """Doubly robust effect of a group."""
    count = int(inside.sum())
    try:
        row = ate(both.where(inside), level=level, estimand="top_fifth")
    except TooFewClusters as error:
        note = str(error) if count else "no unit is in this group"
        return Estimate.missing("top_fifth", note, term=name, level=level, n_obs=count)
    influence = np.zeros(both.n)
    influence[inside] = row.influence
    return row.with_(term=name, influence=influence, note=GROUP_NOTE)


def _parting(
    table: Compared, first: str, second: str, one: Array, two: Array, both: Scores, depth: int, level: float
) -> list[Estimate]:
    """Mean difference of the CATEs in the leaves of a tree, grown on half of the folds and measured on the rest."""
    study = table.study
    grow = table.folds.fold < (table.folds.n_folds + 1) // 2
    gap = two - one
    least = max(20, int(0.1 * grow.sum()))
    tree = DecisionTreeRegressor(max_depth=depth, min_samples_leaf=least, random_state=0)
    tree.fit(study.filled[grow], gap[grow], sample_weight=study.weight[grow])
    leaf = tree.apply(study.filled)
    names = rules(tree, study.filled_names)
    rows = []
    for number, rule in names.items():
        inside = ~grow & (leaf == number)
        rows.append(
            _leaf(rule, f"{second} - {first}", inside, gap, (first, one, second, two), both, level, study)
        )
    return sorted(rows, key=lambda row: -abs(row.estimate) if np.isfinite(row.estimate) else 0.0)


def _leaf(
    rule: str,
    label: str,
    inside: Mask,
    gap: Array,
    sides: tuple[str, Array, str, Array],
    both: Scores,
    level: float,
    study: Study,
) -> Estimate:
    first, one, second, two = sides
    count = int(inside.sum())
    units = study_scores(study, gap).where(inside)
    try:
        row = ate(units, level=level, estimand="parting")
        effect = ate(both.where(inside), level=level)
    except HteBridgeError as error:
        return Estimate.missing("parting", str(error), term=rule, engine=label, level=level, n_obs=count)
    means = [float(np.average(each[inside], weights=study.weight[inside])) for each in (one, two)]
    note = (
        f"{first} {means[0]:.3g}, {second} {means[1]:.3g}; doubly robust effect there {effect.estimate:.3g} "
        f"({effect.std_error:.2g})"
    )
    return replace(row, term=rule, engine=label, note=note, influence=None)


def rules(tree: DecisionTreeRegressor, names: Sequence[str]) -> dict[int, str]:
    """Leaf -> its conditions, such as ``18 < age <= 30 & town[b] > 0.5``; "everyone" where nothing was split."""
    inner = tree.tree_
    out: dict[int, str] = {}

    def walk(node: int, bounds: dict[str, tuple[float, float]]) -> None:
        if inner.children_left[node] < 0:
            out[node] = " & ".join(_bounded(name, *ends) for name, ends in bounds.items()) or "everyone"
            return
        name, cut = names[inner.feature[node]], float(inner.threshold[node])
        low, high = bounds.get(name, (-np.inf, np.inf))
        walk(inner.children_left[node], bounds | {name: (low, cut)})
        walk(inner.children_right[node], bounds | {name: (cut, high)})

    walk(0, {})
    return out


def _bounded(name: str, low: float, high: float) -> str:
    """``x <= 2``, ``x > 1`` or ``1 < x <= 2``."""
    if np.isinf(low):
        return f"{name} <= {high:.3g}"
    return f"{name} > {low:.3g}" if np.isinf(high) else f"{low:.3g} < {name} <= {high:.3g}"


def _sentence(first: str, second: str, rows: Sequence[Estimate]) -> str:
    found = {(row.estimand, row.term): row for row in rows}
    lines = []
    alike = found["correlation", ""]
    if np.isfinite(alike.estimate):
        lines.append(f"{second} and {first} correlate {alike.estimate:.2f}")
    else:
        lines.append(f"{second} and {first} do not correlate, as one of them is the same for all")
    lines.append(f"agree in sign for {found['same_sign', ''].estimate:.0%} of units")
    lines.append(f"share {found['top_fifth', 'overlap'].estimate:.0%} of their top fifths (20 % by chance)")
    text = f"{', '.join(lines[:-1])} and {lines[-1]}."
    clear = next((row for row in rows if row.estimand == "parting" and row.p_value < 1 - row.level), None)
    if clear is not None:
        text += f" They part most where {clear.term}: {clear.note}."
    return text
