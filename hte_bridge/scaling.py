"""Least squares that do not see the unit of a column: standardised first, ranks relative to rounding, scaled back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array

Mask = npt.NDArray[np.bool_]
EPS = float(np.finfo(np.float64).eps)
RANK = 1e-10  # share of a column, all of length one, below which what others leave of it is rounding


def power(size: npt.ArrayLike) -> Array:
    """Power of two at or below each size, so that dividing by it rounds nothing; one for zero.

    Examples
    --------
    >>> power([3.0, 0.3, 0.0])
    array([2.  , 0.25, 1.  ])
    """
    size = np.asarray(size, dtype=np.float64)
    return np.where(size > 0, np.ldexp(1.0, np.frexp(size)[1] - 1), 1.0)


@dataclass(frozen=True, eq=False)
class Standard:
    """Centre and scale of columns (k,), and how much of a standardised column may be rounding of the values it came from.

    A column whose spread is rounding has scale 0 and is standardised to zeros.
    """

    centre: Array
    scale: Array
    rounding: Array

    @classmethod
    def of(cls, columns: Array, weight: Array | None = None, centred: bool = True) -> Standard:
        """Weighted mean (0 unless ``centred``) and root mean square about it of the columns (n, k).

        Examples
        --------
        >>> found = Standard.of(np.array([[1e9], [1e9 + 4.0]]))
        >>> found.centre, found.scale
        (array([1.e+09]), array([2.]))
        """
        largest = np.abs(columns).max(axis=0, initial=0.0)
        unit = power(largest)
        inside = columns / unit
        share = None if weight is None else weight / weight.sum()
        centre = _mean(inside, share) if centred else np.zeros(columns.shape[1])
        inside -= centre
        if centred:  # the mean of values far from zero is itself rounded
            more = _mean(inside, share)
            centre, inside = centre + more, inside - more
        scale = np.sqrt(_mean(inside**2, share))
        rounding = EPS * largest / unit
        scale = np.where(scale > 8 * rounding, scale, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            rounding = np.where(scale > 0, rounding / scale, 0.0)
        return cls(centre * unit, scale * unit, rounding)

    def __call__(self, columns: Array) -> Array:
        """Columns (m, k) less the centre, over the scale; zero where a column has no spread."""
        live = self.scale > 0
        return np.where(live, (columns - self.centre) / np.where(live, self.scale, 1.0), 0.0)

    @property
    def tolerance(self) -> float:
        """Singular values of standardised columns below this share of the largest are rounding."""
        return tolerance(self.rounding)


def tolerance(rounding: Array) -> float:
    """Share of a column (length one) that may be the rounding of columns (k,), each up to its own share.

    Whole numbers far from zero are not rounded though they could be, so that no more than a millionth is ever taken for rounding.
    """
    return float(np.clip(8 * np.sqrt((rounding**2).sum()), RANK, 1e-6))


def _mean(columns: Array, share: Array | None) -> Array:
    return np.asarray(columns.mean(axis=0) if share is None else share @ columns)


@dataclass(frozen=True, eq=False)
class Line:
    """A fitted line: its value at the columns' centre (m,), slopes (k, m) per standardised column, and the columns' standard."""

    level: Array
    slope: Array
    standard: Standard

    @classmethod
    def fit(cls, columns: Array, targets: Array, weight: Array | None = None, intercept: bool = True) -> Line:
        """Weighted least squares of the targets (n, m) on the columns (n, k); collinear columns share their slopes, so that the order of columns means nothing.

        Examples
        --------
        >>> line = Line.fit(np.array([[2010.0], [2011.0], [2012.0]]), np.array([[1.0], [2.0], [3.0]]))
        >>> line.predict(np.array([[2020.0]])).round(6)
        array([[11.]])
        """
        standard = Standard.of(columns, weight, intercept)
        aim = Standard.of(targets, weight, intercept)
        root = 1.0 if weight is None else np.sqrt(weight / weight.mean())[:, None]
        slope = least_norm(root * standard(columns), root * aim(targets), standard.tolerance)
        return cls(aim.centre, slope * aim.scale, standard)

    def predict(self, columns: Array) -> Array:
        """Values (m, targets) at other rows of the columns."""
        return self.level + self.standard(columns) @ self.slope


@dataclass(frozen=True, eq=False)
class White:
    """Columns turned into uncorrelated ones of variance one, (k,) to (r,): a penalty on their slopes sees neither units nor how columns are combined."""

    standard: Standard
    turn: Array

    @classmethod
    def of(cls, columns: Array, weight: Array) -> White:
        """From columns (n, k); directions that are rounding are left out.

        Examples
        --------
        >>> years = np.array([[2010.0], [2011.0], [2012.0]])
        >>> White.of(np.hstack([years, years**2]), np.ones(3))(years * [1, 2011]).shape
        (3, 2)
        """
        standard = Standard.of(columns, weight)
        root = np.sqrt(weight / weight.sum())[:, None]
        _, values, right = np.linalg.svd(root * standard(columns), full_matrices=False)
        kept = values > standard.tolerance * values.max(initial=0.0)
        return cls(standard, (right[kept] / values[kept, None]).T)

    def __call__(self, columns: Array) -> Array:
        """The turned columns (m, r) at other rows."""
        return np.asarray(self.standard(columns) @ self.turn)


def least_norm(columns: Array, targets: Array, tolerance: float = RANK) -> Array:
    """Shortest coefficients (k, m) of least squares; directions below ``tolerance`` of the longest are left out."""
    q, r = np.linalg.qr(columns)
    left, values, right = np.linalg.svd(r, full_matrices=False)
    kept = values > tolerance * values.max(initial=0.0)
    inverse = np.where(kept, 1 / np.where(kept, values, 1.0), 0.0)
    return np.asarray(right.T @ (inverse[:, None] * (left.T @ (q.T @ targets))))


def independent(columns: Array, tolerance: float = RANK) -> Mask:
    """Which columns (k,) add to those before them: what the earlier ones leave of each exceeds ``tolerance`` of its length.

    Examples
    --------
    >>> x = np.array([[1.0, 2.0, 0.0], [1.0, 2.0, 1.0]])
    >>> independent(x)
    array([ True, False,  True])
    """
    size = np.linalg.norm(columns, axis=0)
    scaled = columns / np.where(size > 0, size, 1.0)
    r: Array = np.asarray(np.linalg.qr(scaled, mode="r"))
    if r.shape[0] == r.shape[1] and np.linalg.svd(r, compute_uv=False)[-1:].min(initial=1.0) > tolerance:
        return np.ones(columns.shape[1], dtype=bool)
    kept = np.zeros(columns.shape[1], dtype=bool)
    basis = np.empty((r.shape[0], 0))
    for j, column in enumerate(r.T):
        left = column - basis @ (basis.T @ column)
        left -= basis @ (basis.T @ left)
        length = float(np.linalg.norm(left))
        if length > tolerance and basis.shape[1] < r.shape[0]:
            kept[j] = True
            basis = np.column_stack([basis, left / length])
    return kept


def directions(vectors: Array) -> Array:
    """Vectors (k, u) of length one; those of length zero are left out."""
    length = np.linalg.norm(vectors, axis=0)
    return np.asarray(vectors[:, length > EPS] / length[length > EPS])


def wald(estimates: Array, covariance: Array) -> tuple[float, int]:
    """``estimates @ inverse(covariance) @ estimates`` and the rank of the covariance, whatever the units of the estimates (k,).

    Examples
    --------
    >>> value, rank = wald(np.array([2.0, 3e-9]), np.diag([1.0, 1e-18]))
    >>> round(value, 9), rank
    (13.0, 2)
    """
    error = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    live = error > 0
    if not live.any() or not np.isfinite(covariance).all():
        return np.nan, 0
    unit = error[live]
    correlation = covariance[np.ix_(live, live)] / np.outer(unit, unit)
    values, vectors = np.linalg.eigh(correlation)
    kept = values > len(values) * 1e-12 * values.max()
    along = vectors[:, kept].T @ (estimates[live] / unit)
    return float((along**2 / values[kept]).sum()), int(kept.sum())


def slopes(columns: Array, target: Array, weight: Array) -> Array:
    """Slopes (k,) of least squares of a target (n, 1) without an intercept, in the columns' own units; zero of a column that does not vary.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.scaling import slopes
    >>> slopes(np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([[2.0], [4.0]]), np.ones(2)).round(6)
    array([2., 0.])
    """
    line = Line.fit(columns, target, weight, intercept=False)
    live = line.standard.scale > 0
    return np.where(live, line.slope[:, 0] / np.where(live, line.standard.scale, 1.0), 0.0)
