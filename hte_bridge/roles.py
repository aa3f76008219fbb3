"""Which column of a frame is what: the roles that a user names, as text, and the frame read for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from hte_bridge.errors import InvalidData, nearest
from hte_bridge.frames import names_of, to_pandas
from hte_bridge.reading import Role

ALL = "all"  # every column that has no other role
TOGETHER = {("cluster", "fixed_effects"), ("cluster", "covariates"), ("cluster", "controls")}  # are usual


@dataclass(frozen=True)
class Names:
    """Names of the columns in the frame handed in; ``covariates`` and ``controls`` are the encoded ones."""

    outcome: str
    treatment: str
    covariates: tuple[str, ...]
    fixed_effects: tuple[str, ...] = ()
    cluster: str | None = None
    weight: str | None = None
    propensity: str | None = None
    controls: tuple[str, ...] = ()
    second_cluster: str | None = None


@dataclass(frozen=True)
class Roles:
    """Names of columns by what they are in a study.

    Parameters
    ----------
    outcome, treatment : str
    covariates, controls, fixed_effects : tuple of str
        Of the first two one may be ``("all",)`` that was given as text: see ``everything``.
    clusters : tuple of str
        One or, for errors clustered two ways, two.
    weight, propensity : str, optional
        A propensity that is one number for all is no column.
    """

    outcome: str
    treatment: str
    covariates: tuple[str, ...]
    controls: tuple[str, ...]
    fixed_effects: tuple[str, ...]
    clusters: tuple[str, ...]
    weight: str | None
    propensity: str | None
    everything: str | None = None

    @classmethod
    def of(
        cls,
        outcome: Any,
        treatment: Any,
        covariates: Any,
        controls: Any,
        fixed_effects: Any,
        cluster: Any,
        weight: Any,
        propensity: Any,
    ) -> Roles:
        """From what a user wrote: names that are no text are taken as text, one name may stand for a list of one.

        Raises
        ------
        InvalidData
            If both covariates and controls are to be all other columns.
        """
        given = {"covariates": covariates, "controls": controls}
        every = [role for role, named in given.items() if isinstance(named, str) and named == ALL]
        if len(every) > 1:
            raise InvalidData(
                "`covariates` and `controls` must be told apart. Both were given as 'all'. Name the columns of one of them."
            )
        if isinstance(propensity, tuple):  # a name of two levels, as other roles may have
            propensity = str(propensity)
        plain = {role: () if role in every else tuple(names_of(named)) for role, named in given.items()}
        return cls(
            outcome=str(outcome),
            treatment=str(treatment),
            covariates=plain["covariates"],
            controls=plain["controls"],
            fixed_effects=tuple(names_of(fixed_effects)),
            clusters=_one_or_two(cluster),
            weight=None if weight is None else str(weight),
            propensity=propensity if isinstance(propensity, str) else None,
            everything=every[0] if every else None,
        )

    @property
    def named(self) -> list[tuple[str, str]]:
        """Each role with each of its columns."""
        several = [
            (role, name)
            for role in ("covariates", "controls", "fixed_effects")
            for name in getattr(self, role)
        ]
        several += [("cluster", name) for name in self.clusters]
        single = [(role, getattr(self, role)) for role in ("weight", "propensity")]
        own = [("outcome", self.outcome), ("treatment", self.treatment)]
        return own + several + [(role, name) for role, name in single if name is not None]

    def read(self, data: Any) -> tuple[pd.DataFrame, Roles]:
        """The frame, of a file its columns read as their roles need, and the roles with "all" as names.

        Raises
        ------
        InvalidData
            If the frame has no rows, a column is not there, or has two roles that exclude each other.
        """
        single = {"weight": self.weight, "propensity": self.propensity, "cluster": self.clusters}
        kinds = of_file(self.treatment, self.fixed_effects, single) | {self.outcome: "number"}
        frame = to_pandas(data, kinds)
        some_rows(len(frame))
        return frame, self.among(list(frame.columns))

    def among(self, columns: Sequence[str]) -> Roles:
        """The roles with "all" as names, among the columns of the data.

        Raises
        ------
        InvalidData
            If a column is not there, or has two roles that exclude each other.
        """
        found = self
        if self.everything is not None:
            taken = {name for _, name in self.named}
            rest = tuple(name for name in columns if name not in taken)
            found = replace(self, **{self.everything: rest, "everything": None})  # type: ignore[arg-type]
        found._check(columns)
        return found

    def _check(self, columns: Sequence[str]) -> None:
        taken: dict[str, str] = {}
        for role, name in self.named:
            if name not in columns:
                raise InvalidData(
                    f"`{role}` must name a column of the data. `{name}` is not one. {nearest(name, columns)}"
                )
            if (role, taken.get(name)) in TOGETHER:
                continue
            if name in taken:
                twice = (
                    f"is named twice in `{role}`"
                    if taken[name] == role
                    else f"is `{taken[name]}` and `{role}`"
                )
                raise InvalidData(f"A column must have one role. `{name}` {twice}. Name it once.")
            taken[name] = role
        if not self.covariates:
            raise InvalidData(
                "`covariates` must name at least one column, along which effects may differ. None was given. "
                "Name what was known before treatment."
            )


def some_rows(rows: int) -> None:
    """The data have rows."""
    if not rows:
        raise InvalidData("The frame must have rows. It has none. Check how it was read or filtered.")


def of_file(treatment: str, effects: Sequence[str], roles: Mapping[str, Any]) -> dict[str, Role]:
    """What columns of a file are read as: numbers, or labels that are not to be rounded."""
    kinds: dict[str, Role] = {
        name: "number"
        for name in (treatment, roles.get("weight"), roles.get("propensity"))
        if isinstance(name, str)
    }
    return kinds | dict.fromkeys((*effects, *names_of(roles.get("cluster"))), "identity")


def _one_or_two(cluster: Any) -> tuple[str, ...]:
    found = names_of(cluster)
    if len(found) > 2:
        raise InvalidData(
            f"`cluster` must name one column, or two for errors clustered two ways. {len(found)} were given. Name the coarsest two."
        )
    return tuple(found)
