"""Which features fit into memory: a forecast of what a linear mixed model takes, and the features left out so that it is met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hte_bridge.engines.deep.basis.data import Rows
from hte_bridge.engines.deep.basis.features import Block
from hte_bridge.engines.deep.store.memory import GB, Budget
from hte_bridge.errors import NotEnoughMemory

NUMBER = 8  # bytes of one in double precision


@dataclass(frozen=True)
class RoomRule:
    """What a fit holds at once (a panel of 1,687 features took 459 MB of 575 forecast), and how features are left out."""

    # square matrices of a model while its variances are found and its posterior is formed
    squares: float = 10.0
    # tables of dummies by features of one
    tables: float = 3.0
    # bytes of a row: columns, residuals, treatments of each fold, networks' samples
    row: float = 1_000.0
    # bytes up to which folds' models are fitted side by side
    side_by_side: float = 4e9
    # frequencies below which a block is left out whole and not halved
    fewest_frequencies: int = 8


ROOM = RoomRule()
KEPT = ("constant", "linear")  # kinds without which there is no model


@dataclass(frozen=True)
class Shape:
    """What decides how much memory a model takes.

    Parameters
    ----------
    levels : int
        Of all effects.
    slopes : int
        Random slopes.
    rows : int
    cells : int
        Sums over rows that are held at once.
    at_once : int
        Folds' models fitted side by side.
    """

    levels: int
    slopes: int
    rows: int
    cells: int
    at_once: int

    @classmethod
    def of(cls, rows: Rows, cells: int, at_once: int) -> Shape:
        """Of the rows of a study."""
        return cls(rows.levels, sum(rows.group_sizes), rows.n, cells, min(at_once, cells))

    def forecast(self, features: int) -> float:
        """Bytes at the peak of a fit with so many features of tau and mu."""
        sums = features**2 + (self.levels + self.slopes) * features
        whole = (self.cells + 1) * sums + self.model(features + self.slopes)
        folds = (self.cells + self.at_once) * sums + self.at_once * self.model(features)
        return NUMBER * max(whole, folds) + ROOM.row * self.rows

    def within(self, features: int, budget: Budget) -> Shape:
        """The same with folds' models one after the other where side by side they would take much."""
        much = self.forecast(features) > min(budget.bytes, ROOM.side_by_side)
        return replace(self, at_once=1) if much else self

    def model(self, columns: int) -> float:
        """Numbers that a model of so many columns holds beside its sums."""
        return ROOM.squares * columns**2 + ROOM.tables * self.levels * columns


def features_of(blocks: Sequence[Block]) -> int:
    """Features of tau, and of mu, of some blocks."""
    return sum(block.size * (1 + block.drift) for block in blocks)


def fitting(blocks: Sequence[Block], shape: Shape, budget: Budget) -> tuple[list[Block], int, str]:
    """The blocks thinned until the forecast is within the budget, how many folds' models fit side by side, and a note of what was left out.

    The largest block is halved, again and again: functions of all covariates lose frequencies first, those of one last.

    Raises
    ------
    NotEnoughMemory
        If not even lines fit.
    """
    before, kept = features_of(blocks), list(blocks)
    shape = shape.within(before, budget)
    wanted = shape.forecast(before)
    while shape.forecast(features_of(kept)) > budget.bytes:
        largest = max(
            (k for k, block in enumerate(kept) if block.kind not in KEPT),
            key=lambda k: kept[k].size,
            default=None,
        )
        if largest is None:
            raise NotEnoughMemory(
                f"A fit must fit in memory. Lines alone on {shape.rows:,} rows and {shape.levels:,} levels of fixed effects would take about "
                f"{shape.forecast(features_of(kept)) / GB:.2g} GB, and {budget.text}, may be taken. Use fewer rows or levels, or a machine "
                "with more memory."
            )
        thinner = thinned(kept[largest])
        kept[largest : largest + 1] = [] if thinner is None else [thinner]
    after = features_of(kept)
    if after == before:
        return kept, shape.at_once, ""
    return (
        kept,
        shape.at_once,
        (
            f"{before - after:,} of {before:,} features were left out so that the fit stays in memory: all would take about {wanted / GB:.2g} GB, "
            f"and {budget.text}, may be taken. What they would have explained of the effect is in the intervals as far as the data show it."
        ),
    )


def thinned(block: Block) -> Block | None:
    """A block with half of its frequencies or directions; ``None`` where it has few or none."""
    turn = block.arrays.get("turn")
    if turn is not None:
        if turn.shape[1] < 2 * ROOM.fewest_frequencies:
            return None
        return replace(block, arrays={**block.arrays, "turn": turn[:, : turn.shape[1] // 2]})
    omega = block.arrays.get("omega")
    if omega is None or omega.shape[1] < 2 * ROOM.fewest_frequencies:
        return None
    return replace(block, arrays={**block.arrays, "omega": omega[:, : omega.shape[1] // 2]})
