"""Numbers that read at any magnitude: decimals by the error, and a power of ten where there would be zeros or a long row of digits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hte_bridge.estimate import Estimate

DASH = "—"
PLAIN = (1e-4, 1e9)  # sizes that are written out; others have a power of ten
MOST, MOST_WITH_POWER = 6, 9  # decimals
APART = 1e4  # rows whose sizes differ by more do not share a power


@dataclass(frozen=True)
class Figures:
    """How the numbers of a question are written.

    Parameters
    ----------
    places : int
        Decimals.
    power : int, optional
        Power of ten that all of them share, so that estimate, error and interval can be compared at sight.

    Examples
    --------
    >>> Figures(1).text(1794.342), Figures(3, -9).text(1.168e-9), Figures(3, -9).text(1.7e-10)
    ('1,794.3', '1.168e-09', '0.170e-09')
    """

    places: int = 3
    power: int | None = None

    def text(self, value: float) -> str:
        """The number; what is not finite is a dash."""
        if not math.isfinite(value):
            return DASH
        if self.power is None:
            return f"{value:,.{self.places}f}"
        return f"{Decimal(value).scaleb(-self.power):,.{self.places}f}e{self.power:+03d}"

    def error(self, value: float) -> str:
        """A standard error: one of which these decimals show no two digits has a power of its own.

        Examples
        --------
        >>> Figures(3).error(0.5), Figures(3).error(2e-8), Figures(3).error(0.0)
        ('0.500', '2.00e-08', '0.000')
        """
        lost = value > 0 and math.log10(value) < 1 - self.places + (self.power or 0)
        return f"{value:.2e}" if lost else self.text(value)


def figures(rows: Sequence[Estimate]) -> list[Figures]:
    """How each row is written: rows of the same estimand and term alike, whatever the engine."""
    shared: dict[tuple[str, str], list[Estimate]] = {}
    for row in rows:
        shared.setdefault((row.estimand, row.term), []).append(row)
    return [_one_of(shared[row.estimand, row.term], row) for row in rows]


def _one_of(members: Sequence[Estimate], row: Estimate) -> Figures:
    made, size = figures_of(members), _size([row])
    if made.power is None:
        return made
    return figures_of([each for each in members if size / APART <= _size([each]) <= size * APART])


def figures_of(rows: Sequence[Estimate], kept: int = 3, least: int = 1) -> Figures:
    """Figures for rows that are read together: ``kept`` digits of the smallest error, at least ``least`` decimals.

    Examples
    --------
    >>> from hte_bridge.estimate import Estimate
    >>> figures_of([Estimate("ate", 1794.0, 671.0)]), figures_of([Estimate("ate", 8.5e11, 1.4e11)])
    (Figures(places=1, power=None), Figures(places=2, power=11))
    """
    size = _size(rows)
    plain = size == 0 or PLAIN[0] <= size < PLAIN[1]
    power = None if plain else math.floor(math.log10(size))
    places = [kept - 1 - math.floor(math.log10(scale)) + (power or 0) for scale in _scales(rows)]
    most = MOST if plain else MOST_WITH_POWER
    return Figures(min(max([*places, least]), most) if places else 3, power)


def _size(rows: Iterable[Estimate]) -> float:
    """The largest estimate or error."""
    sizes = [abs(each) for row in rows for each in (row.estimate, row.std_error)]
    return max((each for each in sizes if math.isfinite(each)), default=0.0)


def _scales(rows: Iterable[Estimate]) -> Iterable[float]:
    """What decides the digits of each row: its error, or without one a tenth of its estimate."""
    for row in rows:
        scale = row.std_error if row.std_error > 0 else abs(row.estimate) / 10
        if math.isfinite(scale) and scale > 0:
            yield scale
