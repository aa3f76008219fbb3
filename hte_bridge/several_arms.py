"""A study of several arms: a study for each arm beside the control, on rows of one whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge import chances
from hte_bridge.arrays import Array, Codes
from hte_bridge.errors import InvalidData, InvalidOption, NotIdentified, nearest
from hte_bridge.folds import Folds
from hte_bridge.frames import names_of, to_pandas
from hte_bridge.keys import deal_rows, seeded
from hte_bridge.kinds import codes_of, renumbered
from hte_bridge.reading import Role

FEWEST = (
    4  # units of an arm, as of effective clusters below which no error is reported (docs/few_clusters.md)
)
Study = Any  # `study.Study`, whose door leads here: its module cannot be imported
Make = Callable[..., Study]  # Study.from_frame


@dataclass(frozen=True, eq=False)
class ArmsStudy:
    """What ``Study.from_frame`` makes with ``treatment_type="arms"``: each arm beside the control as a study of its own.

    Parameters
    ----------
    whole : Study
        All units; its treatment holds the place of each unit's arm in ``labels``, 0 the control's.
    labels : tuple of str
        Names of the arms, the control's first.
    studies : mapping of str to Study
        By arm, the control's not among them: treatment 1 in the arm, 0 in the control; nobody else.
    rows : mapping of str to array (n,)
        By arm, which units of ``whole`` its study holds.
    notes : tuple of str
        What a reader should know of how arms were taken.
    propensity : mapping, optional
        Known chance of each arm, a number or a column, as it was given.

    Examples
    --------
    >>> import pandas as pd
    >>> from hte_bridge import Study
    >>> frame = pd.DataFrame({"y": range(12), "offer": list("abcabcabcabc"), "x": [3, 1, 4, 1, 5, 9, 2, 6, 5, 8, 2, 1]})
    >>> study = Study.from_frame(frame, outcome="y", treatment="offer", covariates=["x"], treatment_type="arms", control="c")
    >>> study.labels, study.studies["a"].n
    (('c', 'a', 'b'), 8)
    """

    whole: Study
    labels: tuple[str, ...]
    studies: Mapping[str, Study]
    rows: Mapping[str, npt.NDArray[np.bool_]]
    notes: tuple[str, ...] = ()
    propensity: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        counts = np.bincount(self.arm, minlength=len(self.labels)).tolist()
        arms = ", ".join(f"{name} {count:,}" for name, count in zip(self.labels, counts, strict=True))
        return (
            f"Study of {len(self.labels)} arms: {self.n:,} units ({arms}); control {self.control}\n"
            + repr(self.whole)
        )

    @property
    def arm(self) -> Codes:
        """Place (n,) of each unit's arm in ``labels``."""
        return self.whole.treatment.astype(np.int64)

    @property
    def control(self) -> str:
        """Name of the arm that the others are set against."""
        return self.labels[0]

    @property
    def n(self) -> int:
        """Units of all arms."""
        return self.whole.n

    @property
    def dropped(self) -> Mapping[str, int]:
        """Rows of the frame that no arm uses, by reason."""
        return self.whole.dropped

    def contrast(self, arm: str) -> str:
        """How the contrast of an arm is called in a table."""
        return f"{arm} - {self.control}"

    def folds(self, n_folds: int, seed: int) -> Folds:
        """One split for all contrasts: as a study's, arm by arm where there are neither clusters nor fixed effects.

        Raises
        ------
        InvalidData
            If an arm has too few units for the folds.
        InvalidOption
            As ``Folds.make`` does.
        """
        made = Folds.make(self.whole, n_folds, seed)
        if self.whole.fixed_effects.shape[1]:
            return made
        for name, count in zip(self.labels, np.bincount(self.arm).tolist(), strict=True):
            if count < 2 * n_folds:
                raise InvalidData(
                    f"{n_folds} folds need at least {2 * n_folds} units of each arm. `{name}` has {count}. Use fewer folds, or leave that "
                    "arm out."
                )
        if self.whole.clustered:
            return made
        return Folds(deal_rows(seeded(self.whole.keys, seed), n_folds, self.arm), n_folds, seed)

    def computed(self, recipes: Any, further: Any) -> ArmsStudy:
        """The study whose covariates, and controls, are computed of new rows by recipes."""
        studies = {name: each.computed(recipes, further) for name, each in self.studies.items()}
        return replace(self, whole=self.whole.computed(recipes, further), studies=studies)

    def keyed(self, key: npt.NDArray[np.uint64]) -> ArmsStudy:
        """The study whose units have these keys (n,), by which folds are dealt."""
        studies = {name: each.with_(key=key[self.rows[name]]) for name, each in self.studies.items()}
        return replace(self, whole=self.whole.with_(key=key), studies=studies)

    def place_of(self, arm: Any) -> str:
        """An arm's name as ``labels`` hold it.

        Raises
        ------
        InvalidOption
            If it is the control or none.
        """
        name = chances.named(arm).removesuffix(f" - {self.control}")
        if name not in self.studies:
            what = "is the control" if name == self.control else "is none"
            offer = nearest(name, self.studies, kind="The arms beside the control")
            raise InvalidOption(
                f"A contrast must name an arm other than the control. `{arm}` {what}. {offer}"
            )
        return name


def several_arms(
    make: Make, df: Any, *, outcome: str, treatment: str, control: Any, propensity: Any, **roles: Any
) -> ArmsStudy:
    """Check the columns of a frame whose treatment names arms, and ``make`` their studies; see ``Study.from_frame``.

    Of known chances a contrast has that of its arm among its own two.

    Raises
    ------
    InvalidData
        If there are fewer than three arms, or the data break a rule of studies.
    InvalidOption
        If ``control`` is no arm, or ``propensity`` does not name the chance of each.
    """
    chances.by_name(propensity)
    outcome, treatment = str(outcome), str(treatment)
    frame = _read(df, outcome, treatment, roles, chances.columns_of(propensity))
    codes, levels = codes_of(frame[treatment], "treatment", treatment)
    order, said = _control_first(codes, levels, treatment, control)
    place = np.full(len(levels) + 1, np.nan)
    place[order] = np.arange(len(order))
    coded = frame.assign(**{treatment: place[codes]})
    whole: Study = make(coded, outcome=outcome, treatment=treatment, treatment_type="continuous", **roles)
    arm, left = renumbered(whole.treatment.astype(np.int64), np.array(order))
    if len(left) < len(order):
        gone = next(levels[each] for each in order if each not in left)
        raise InvalidData(
            f"Each arm must have units that can be used. All of `{gone}` were dropped. Check their outcomes, or leave that arm out."
        )
    labels = tuple(chances.named(levels[each]) for each in order)
    _enough(labels, arm, treatment)
    known = chances.of_arms(propensity, labels, whole.frame)
    rows = {name: (arm == 0) | (arm == k) for k, name in enumerate(labels) if k}
    studies = {
        name: _beside(make, whole, arm, k, f"{name} - {labels[0]}", known, roles)
        for k, name in enumerate(labels)
        if k
    }
    kept = {name: _kept(studies[name], mask) for name, mask in rows.items()}
    studies = {name: _of_whole(each, whole, kept[name]) for name, each in studies.items()}
    return ArmsStudy(whole, labels, studies, kept, said, chances.by_name(propensity))


def _read(
    df: Any, outcome: str, treatment: str, roles: Mapping[str, Any], numbers: Sequence[str]
) -> pd.DataFrame:
    """The frame, of a file its columns as their roles need: arms are labels."""
    kinds: dict[str, Role] = dict.fromkeys([outcome, *numbers], "number")
    if roles.get("weight") is not None:
        kinds[str(roles["weight"])] = "number"
    labels = [treatment, *names_of(roles.get("cluster")), *names_of(roles.get("fixed_effects"))]
    frame = to_pandas(df, kinds | dict.fromkeys(labels, "identity"))
    if treatment not in frame.columns:
        raise InvalidData(
            f"`treatment` must name a column of the data. `{treatment}` is not one. {nearest(treatment, frame.columns)}"
        )
    return frame


def _control_first(
    codes: Codes, levels: npt.NDArray[Any], treatment: str, control: Any
) -> tuple[list[int], tuple[str, ...]]:
    """Places of the arms that occur, the control's first, and what is to be said of the choice."""
    order = np.unique(codes[codes >= 0]).tolist()
    names = [chances.named(levels[each]) for each in order]
    if len(order) < 3:
        raise InvalidData(
            f"`treatment_type='arms'` needs three arms or more. `{treatment}` holds {len(order)} ({', '.join(names) or 'none'}). "
            "Make it 0 for the control and 1 for the other, and leave `treatment_type` out."
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidData(
            f"Arms must have names of their own. `{treatment}` holds `{twice}` as text and as a number. Make them one, or rename one."
        )
    if control is None:
        return order, (
            f"the control is `{names[0]}`, the first level of `{treatment}`; control= names another",
        )
    if chances.named(control) not in names:
        offer = nearest(chances.named(control), names, kind="The arms")
        raise InvalidOption(f"`control` must be an arm of `{treatment}`. `{control}` is none. {offer}")
    first = order[names.index(chances.named(control))]
    return [first, *(each for each in order if each != first)], ()


def _enough(labels: tuple[str, ...], arm: Codes, treatment: str) -> None:
    counts = np.bincount(arm).tolist()
    few = [(name, count) for name, count in zip(labels, counts, strict=True) if count < FEWEST]
    if few:
        name, count = few[0]
        more = f", and {len(few) - 1:,} more have too few," if len(few) > 1 else ""
        raise InvalidData(
            f"An arm must have {FEWEST} units or more: errors from fewer are too small by far. `{name}` of `{treatment}` has {count}{more} of "
            f"{len(labels):,} arms. Leave it out or merge arms; for a dose say `treatment_type='continuous'`."
        )


def _beside(
    make: Make, whole: Study, arm: Codes, k: int, contrast: str, known: Array | None, roles: Mapping[str, Any]
) -> Study:
    """The study of arm ``k`` and the control; labels of its rows are places in ``whole``, ``known`` (n, arms) known chances."""
    assert whole.frame is not None
    mask = (arm == 0) | (arm == k)
    own = whole.frame.set_axis(pd.RangeIndex(whole.n))[mask]
    own = own.assign(**{whole.names.treatment: (arm[mask] == k).astype(np.int64)})
    chance: dict[str, Any] = {}
    if known is not None:
        name = f"chance of {contrast}"
        own = own.assign(**{name: known[mask, k] / (known[mask, k] + known[mask, 0])})
        chance = {"propensity": name}
    names = {"outcome": whole.names.outcome, "treatment": whole.names.treatment}
    named = {
        "covariates": list(whole.encoder.sources),
        "controls": list(whole.control_encoder.sources) or None,
    }
    try:
        made: Study = make(own, **names, **chance, **{**roles, **named})
    except (InvalidData, NotIdentified) as error:
        raise type(error)(f"{contrast}: {error}") from error
    return made


def _kept(study: Study, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    out = np.zeros(len(mask), dtype=bool)
    out[study.index.to_numpy()] = True
    return out


def _of_whole(study: Study, whole: Study, kept: npt.NDArray[np.bool_]) -> Study:
    """A contrast's study with the labels and keys that its rows have in the whole."""
    index, frame = whole.index[kept], study.frame
    assert frame is not None
    return replace(study, index=index, key=whole.keys[kept], frame=frame.set_axis(index))
