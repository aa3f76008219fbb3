"""Do two engines say the same of the same people, and where do they part?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import numpy.typing as npt
from sklearn.tree import DecisionTreeRegressor

from hte_bridge.arrays import Array, Codes
from hte_bridge.between.compared import Compared, Reading, able, guard_of, read, study_scores
from hte_bridge.engine import HeldOut
from hte_bridge.errors import HteBridgeError, TooFewClusters
from hte_bridge.estimands.averages import ate
from hte_bridge.estimands.moments import row_from_influence
from hte_bridge.estimands.sequential import comparable, folds_of
from hte_bridge.estimands.ties import FLAT, ROUNDING, group_shares, tied, varies
from hte_bridge.faults import Fault
from hte_bridge.options import whole
from hte_bridge.scores import Scores
from hte_bridge.study import Study
from hte_bridge.table import Estimate, check_level

Mask = npt.NDArray[np.bool_]
TOP = 5  # groups of equal weight, of which the highest is looked at
TOP_NOTE = (
    "share of the one's top fifth that is in the other's; 0.2 by chance; a description, without an interval"
)
SHARED_NOTE = "tied units are in a top fifth in part"
CORRELATION_NOTE = (
    "tests that the two predictions do not move together over units like these, models as they are; it is no test that effects differ: "
    "two models of one outcome can share its noise"
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
        are those of the units drawn, by cluster, with predictions taken as they are. CATEs are compared within folds: a
        model that predicts one fold higher than another model the next has found nobody whose effect is larger.

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
    fits = [table.fits[name] for name in (first, second)]
    study, (one, two) = table.study, comparable(table.folds, *fits)
    whole = all(folds_of(fit, table.folds) is None for fit in fits)
    fold = np.zeros(study.n, dtype=np.int64) if whole else table.folds.fold
    units = study_scores(study)
    label = f"{second} & {first}"
    rows = [correlation(one, two, units, level), _same_sign(one, two, units, level)]
    both = study_scores(study, (table.scores(first).gamma + table.scores(second).gamma) / 2)
    if varies(one, fold) and varies(two, fold):
        tops = [top(each, fold, study.weight) for each in (one, two)]
        rows += _top(first, second, tops, tied(one, fold) | tied(two, fold), both, level)
    else:
        terms = ("overlap", *_groups(first, second))
        rows += [Estimate.missing("top_fifth", FLAT, term=term, n_obs=both.n, level=level) for term in terms]
    rows = [row.with_(engine=label) for row in rows]
    return rows + _parting(table, first, second, one, two, both, depth, level)


def correlation(one: Array, two: Array, units: Scores, level: float) -> Estimate:
    """Weighted correlation of two columns (n,), by its influence function: z w - r (z^2 + w^2) / 2 of standard values."""
    share = units.weight / units.weight.sum()
    spread = [float(share @ (each - share @ each) ** 2) ** 0.5 for each in (one, two)]
    sizes = [float(np.abs(each).max()) for each in (one, two)]
    if any(not sd > ROUNDING * size for sd, size in zip(spread, sizes, strict=True)):
        return Estimate.missing("correlation", f"one of the two: {FLAT}", n_obs=units.n, level=level)
    z, w = ((each - share @ each) / sd for each, sd in zip((one, two), spread, strict=True))
    estimate = float(share @ (z * w))
    if 1 - abs(estimate) <= ROUNDING:
        note = "the one effect is the other in another unit: no error"
        return Estimate("correlation", float(np.sign(estimate)), note=note, n_obs=units.n, level=level)
    influence = share * (z * w - estimate * (z**2 + w**2) / 2)
    row = row_from_influence("correlation", estimate, influence, units, level=level)
    return row.with_(note="; ".join(filter(None, [row.note, CORRELATION_NOTE])))


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


def top(cate: Array, fold: Codes, weight: Array) -> Array:
    """Share (n,) of each unit in the top fifth of its fold by ``cate``, a fifth of all weight; tied units share alike.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.between.agreement import top
    >>> top(np.array([1.0, 5.0, 2.0, 3.0, 4.0]), np.zeros(5, dtype=int), np.ones(5)).tolist()
    [0.0, 1.0, 0.0, 0.0, 0.0]
    """
    return group_shares(cate, fold, weight, TOP)[:, -1]


def _groups(first: str, second: str) -> tuple[str, str, str, str]:
    return "both", f"{second} alone", f"{first} alone", "neither"


def _top(
    first: str, second: str, tops: list[Array], ties: Mask, both: Scores, level: float
) -> list[Estimate]:
    """Rows of those in the one's top fifth and the other's (shares (n,)).

    Which of tied units are in is as if drawn by lot, for each engine anew: else engines that know nothing would agree by more
    than chance. A unit on the border of both is in both with the part that it has in both.
    """
    one, two = tops
    shared = np.where(ties, one * two, np.minimum(one, two))
    overlap = float(both.weight @ shared / (both.weight @ one))
    parted = any((ties & (each > 0) & (each < 1)).any() for each in tops)
    note = f"{TOP_NOTE}; {SHARED_NOTE}" if parted else TOP_NOTE
    rows = [Estimate("top_fifth", overlap, term="overlap", note=note, level=level, n_obs=both.n)]
    inside = (shared, two - shared, one - shared, 1 - one - two + shared)
    named = zip(_groups(first, second), inside, strict=True)
    return rows + [_effect(name, share, both, level) for name, share in named]


def _effect(name: str, share: Array, both: Scores, level: float) -> Estimate:
    """Doubly robust effect of a group that units belong to by ``share`` (n,)."""
    share = np.where(share > ROUNDING, share, 0.0)
    inside = share * both.weight > 0
    count = round(float(share.sum()))
    try:
        row = ate(
            replace(both.where(inside), weight=(both.weight * share)[inside]),
            level=level,
            estimand="top_fifth",
        )
    except TooFewClusters as error:
        note = str(error) if inside.any() else "no unit is in this group"
        return Estimate.missing("top_fifth", note, term=name, level=level, n_obs=count)
    influence = np.zeros(both.n)
    influence[inside] = row.influence
    return row.with_(term=name, influence=influence, n_obs=count, note=GROUP_NOTE)


def _parting(
    table: Compared, first: str, second: str, one: Array, two: Array, both: Scores, depth: int, level: float
) -> list[Estimate]:
    """Mean difference of the CATEs in the leaves of a tree, grown on half of the folds and measured on the rest."""
    study = table.study
    grow = table.folds.fold < (table.folds.n_folds + 1) // 2
    gap = _apart(one, two)
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


def _apart(one: Array, two: Array) -> Array:
    """Difference (n,) of two CATEs; one number where it does not vary beyond rounding, which a tree would split on, and zero where that is all."""
    gap = two - one
    near = ROUNDING * float(max(np.abs(one).max(), np.abs(two).max()))
    if np.ptp(gap) > near:
        return gap
    mean = float(gap.mean())
    return np.full(len(gap), mean if abs(mean) > near else 0.0)


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
    said = "; ".join(filter(None, [note, row.note]))
    return replace(row, term=rule, engine=label, note=said, influence=None)


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
        lines.append(f"{second} and {first} do not correlate, as one of them does not differ within folds")
    lines.append(f"agree in sign for {found['same_sign', ''].estimate:.0%} of units")
    overlap = found["top_fifth", "overlap"].estimate
    if np.isfinite(overlap):
        lines.append(f"share {overlap:.0%} of their top fifths (20 % by chance)")
    text = f"{', '.join(lines[:-1])} and {lines[-1]}."
    clear = next((row for row in rows if row.estimand == "parting" and row.p_value < 1 - row.level), None)
    if clear is not None:
        text += f" They part most where {clear.term}: {clear.note}."
    return text
