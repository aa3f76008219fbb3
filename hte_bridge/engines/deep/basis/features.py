"""Blocks of features: each a random function with one variance; a basis is a list of them.

Every block is centred and scaled on the study's points so that the squares of its features sum to one on
average. The variance of its coefficients is then the variance of the function that it stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist
from scipy.special import ndtri
from scipy.stats import chi2, qmc

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.store.linear_algebra import leading

Single = npt.NDArray[np.float32]
BlockKind = Literal[
    "constant",
    "linear",
    "products",
    "ramp",
    "fourier",
    "tilt",
    "mesh",
    "product ramp",
    "product fourier",
    "edged",
]


@dataclass(frozen=True)
class FeatureRule:
    """Frequencies, and points for scaling."""

    # Student-t frequencies with 2 nu degrees of freedom are those of a Matern kernel with nu = 5/2
    tail_df: float = 5.0
    # on which blocks are centred and scaled
    normalising_points: int = 4_000
    # of a block, from which on those that others nearly repeat are left out
    many: int = 200
    # and of one of waves, most of whose variance is in few directions
    many_waves: int = 8
    # up to which waves are: more tell these directions apart
    waves_points: int = 50_000
    # of a block's variance that is left out, at least
    least_dropped: float = 1e-4
    # and at most: the tail that so many rows say nothing of
    most_dropped: float = 1e-3
    # over the points, between the two
    dropped_points: float = 10.0


FEATURES = FeatureRule()


@dataclass(frozen=True, eq=False)
class Block:
    """One family of features on some columns.

    Parameters
    ----------
    name : str
        Shown in diagnostics: ``"ramp b"``, ``"fourier U0 V1 (1)"``.
    kind : str
        ``linear``; ``products`` of pairs of columns; ``ramp``, piecewise linear in one column; ``fourier``,
        cosines and sines of projections; ``tilt``, one column times the ramps of another; ``mesh``, ramps of one
        times ramps of another; ``product ramp`` and ``product fourier``, functions of the product of all columns;
        ``edged``, functions of all columns that jump.
    columns : tuple of int
        Columns of the standardised points.
    arrays : mapping
        Knots or frequencies, by name; ``turn`` (raw features, size), where there is one, holds the directions that are kept.
    folds : tuple of int, optional
        Folds whose own networks asked for the block; ``None`` where no network was asked, so that every
        fold may use it.
    drift : bool
        Whether the block belongs to mu as well as to tau.
    effect : bool
        Whether it belongs to tau; otherwise to mu alone.
    main : bool
        Whether the model of all rows uses the block.
    """

    name: str
    kind: BlockKind
    columns: tuple[int, ...]
    arrays: Mapping[str, Array] = field(default_factory=dict)
    folds: tuple[int, ...] | None = None
    drift: bool = False
    main: bool = True
    effect: bool = True

    @cached_property
    def size(self) -> int:
        """Number of features: those of one point."""
        return self.raw(np.zeros((1, max(self.columns, default=0) + 1), dtype=np.float32)).shape[1]

    def raw(self, z: Single) -> Single:
        """Features (m, size) of standardised points (m, c), before centring and scaling."""
        found, turn = _RAW[self.kind](self, z), self.arrays.get("turn")
        return found if turn is None else np.asarray(found @ turn.astype(np.float32))


@dataclass(frozen=True, eq=False)
class Basis:
    """Blocks, with the standardisation of points and features fitted once.

    Parameters
    ----------
    blocks : tuple of Block
    centre, scale : array (c,)
        Of the columns of the points.
    feature_centre, feature_scale : array (K,)
    """

    blocks: tuple[Block, ...]
    centre: Array
    scale: Array
    feature_centre: Single
    feature_scale: Single

    @classmethod
    def fit(cls, blocks: Sequence[Block], points: Array, centre: Array, scale: Array) -> Basis:
        """Centre and scale the blocks on ``points`` (m, c); the constant stays one."""
        step = max(1, len(points) // FEATURES.normalising_points)
        z = ((points[::step] - centre) / scale).astype(np.float32)
        centres, scales = [], []
        for block in blocks:
            raw = block.raw(z).astype(np.float64)
            middle = np.zeros(block.size) if block.kind == "constant" else raw.mean(axis=0)
            total = float(np.sqrt(((raw - middle) ** 2).sum(axis=1).mean()))
            centres.append(middle)
            scales.append(np.full(block.size, 1.0 / total if total > 1e-8 else 0.0))
        kept = (np.concatenate(centres).astype(np.float32), np.concatenate(scales).astype(np.float32))
        return cls(tuple(blocks), centre, scale, *kept)

    @property
    def size(self) -> int:
        """Number of features K."""
        return len(self.feature_centre)

    @property
    def owner(self) -> npt.NDArray[np.int64]:
        """Block of each feature (K,)."""
        return np.repeat(np.arange(len(self.blocks)), [block.size for block in self.blocks])

    def features(self, points: Array) -> Single:
        """Features (m, K) of points (m, c), single precision."""
        z = ((points - self.centre) / self.scale).astype(np.float32)
        out = np.empty((len(z), self.size), dtype=np.float32)
        start = 0
        for block in self.blocks:
            out[:, start : start + block.size] = block.raw(z)
            start += block.size
        out -= self.feature_centre
        out *= self.feature_scale
        return out

    def keep(self, chosen: Sequence[int]) -> Basis:
        """Basis of some of the blocks, in their order."""
        mask = np.isin(self.owner, np.asarray(chosen))
        blocks = tuple(self.blocks[j] for j in chosen)
        return Basis(blocks, self.centre, self.scale, self.feature_centre[mask], self.feature_scale[mask])

    def joined(self, other: Basis) -> Basis:
        """These blocks, then those of another basis of the same points."""
        centre = np.concatenate([self.feature_centre, other.feature_centre])
        scale = np.concatenate([self.feature_scale, other.feature_scale])
        return Basis((*self.blocks, *other.blocks), self.centre, self.scale, centre, scale)

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and JSON values from which ``restore`` rebuilds the basis."""
        arrays: dict[str, Any] = {
            "centre": self.centre,
            "scale": self.scale,
            "feature_centre": self.feature_centre,
            "feature_scale": self.feature_scale,
        }
        for j, block in enumerate(self.blocks):
            arrays |= {f"block{j}.{name}": value for name, value in block.arrays.items()}
        listed = [
            {"name": b.name, "kind": b.kind, "columns": list(b.columns), "arrays": list(b.arrays)}
            for b in self.blocks
        ]
        return arrays, {"blocks": listed}

    @classmethod
    def restore(cls, arrays: Mapping[str, Any], values: Mapping[str, Any]) -> Basis:
        """Rebuild what ``state`` took apart."""
        blocks = tuple(
            Block(
                each["name"],
                each["kind"],
                tuple(each["columns"]),
                {name: arrays[f"block{j}.{name}"] for name in each["arrays"]},
            )
            for j, each in enumerate(values["blocks"])
        )
        parts = (arrays[name] for name in ("centre", "scale", "feature_centre", "feature_scale"))
        return cls(blocks, *parts)


def condensed(block: Block, z: Array) -> Block:
    """A block of many features in the directions that hold nearly all of its variance at points (m, c): a step costs the cube of their number.

    The prior is the same in all directions, so that the function is the same but for a thousandth of its variance, with many points a
    ten-thousandth, of the kind that turns over fastest and of which data say least. At a million rows a ten-thousandth of each pair's
    waves was a quarter more error, so that these stay whole there.
    """
    waves = block.kind in ("fourier", "product fourier") and len(z) < FEATURES.waves_points
    if block.size < (FEATURES.many_waves if waves else FEATURES.many):
        return block
    dropped = np.clip(FEATURES.dropped_points / len(z), FEATURES.least_dropped, FEATURES.most_dropped)
    raw = block.raw(z[:: max(1, len(z) // FEATURES.normalising_points)].astype(np.float32)).astype(np.float64)
    raw -= raw.mean(axis=0)
    turn = leading(raw.T @ raw, 1.0 - float(dropped))
    return block if turn.shape[1] == block.size else replace(block, arrays={**block.arrays, "turn": turn})


def knots(column: Array, bins: int) -> Array:
    """Quantile knots of a standardised column; the distinct values where they are few.

    Examples
    --------
    >>> knots(np.array([0.0, 1.0, 1.0, 2.0]), bins=8).tolist()
    [0.0, 1.0, 2.0]
    """
    distinct = np.unique(column)
    if len(distinct) <= bins + 1:
        return distinct
    return np.unique(np.quantile(column, np.linspace(0, 1, bins + 1)))


def frequencies(dimension: int, number: int, lengths: Array, seed: int) -> Array:
    """Frequencies (dimension, number) of a Matern-5/2 kernel, spread evenly by a scrambled Sobol sequence.

    Rahimi & Recht (2007), NIPS 20, with quasi-random points as in Avron et al. (2016), JMLR 17(120).
    """
    power = int(np.ceil(np.log2(max(number, 2))))
    uniform = qmc.Sobol(dimension + 1, seed=seed).random_base2(power)[:number]
    uniform = np.clip(uniform, 1e-6, 1 - 1e-6)
    spread = np.sqrt(FEATURES.tail_df / chi2.ppf(uniform[:, -1:], FEATURES.tail_df))
    return (ndtri(uniform[:, :-1]) * spread / lengths).T


def ramps(column: Single, at: Array) -> Single:
    """Piecewise-linear encoding (m, knots - 1); the outer ramps go on beyond the outer knots.

    Gorishniy, Rubachev & Babenko (2022), NeurIPS 35, section 3.2.
    """
    lower = at[:-1].astype(np.float32)
    width = np.diff(at).astype(np.float32)
    out = (column[:, None] - lower) / width
    if out.shape[1] > 1:
        np.minimum(out[:, :-1], 1, out=out[:, :-1])
        np.maximum(out[:, 1:], 0, out=out[:, 1:])
    return out


def waves(columns: Single, omega: Array) -> Single:
    """Cosines, then sines, (m, 2 k) of columns (m, c) at frequencies (c, k)."""
    phase = columns @ omega.astype(np.float32)
    return np.hstack([np.cos(phase), np.sin(phase)])


def ranks(z: Array, at: Array) -> Array:
    """Ranks (m, c) of standardised points (m, c) among quantiles (k, c), with standard deviation one; beyond the outer ones as these.

    To a function that jumps, as to a tree, only the order of a covariate matters.
    """
    level = np.linspace(0, 12**0.5, len(at))
    return np.column_stack([_between_ties(column, own, level) for column, own in zip(z.T, at.T, strict=True)])


def _between_ties(column: Array, at: Array, level: Array) -> Array:
    """Interpolated levels (m,); a value that several quantiles share has the mean of theirs."""
    distinct, place = np.unique(at, return_inverse=True)
    return np.asarray(np.interp(column, distinct, np.bincount(place, level) / np.bincount(place)))


def _edged(block: Block, z: Single) -> Single:
    arrays = block.arrays
    points = ranks(z[:, list(block.columns)].astype(np.float64), arrays["quantiles"]) / arrays["lengths"]
    kernel = np.exp(-cdist(points, arrays["points"], "cityblock"))
    return np.asarray((kernel @ arrays["root"]).astype(np.float32))


def _constant(block: Block, z: Single) -> Single:
    return np.ones((len(z), 1), dtype=np.float32)


def _linear(block: Block, z: Single) -> Single:
    return z[:, list(block.columns)]


def _products(block: Block, z: Single) -> Single:
    first, second = np.array(block.columns).reshape(-1, 2).T
    return z[:, first] * z[:, second]


def _ramp(block: Block, z: Single) -> Single:
    return ramps(z[:, list(block.columns)].prod(axis=1), block.arrays["knots"])


def _fourier(block: Block, z: Single) -> Single:
    return waves(z[:, list(block.columns)], block.arrays["omega"])


def _tilt(block: Block, z: Single) -> Single:
    first, second = block.columns
    return z[:, [first]] * ramps(z[:, second], block.arrays["knots"])


def _mesh(block: Block, z: Single) -> Single:
    first, second = block.columns
    left, right = ramps(z[:, first], block.arrays["knots"]), ramps(z[:, second], block.arrays["other"])
    return (left[:, :, None] * right[:, None, :]).reshape(len(z), -1)


def _product_fourier(block: Block, z: Single) -> Single:
    # the product of three has long tails, on which cosines of it would turn over and over
    return waves(np.arcsinh(z[:, list(block.columns)].prod(axis=1, keepdims=True)), block.arrays["omega"])


_RAW: dict[str, Callable[[Block, Single], Single]] = {
    "constant": _constant,
    "linear": _linear,
    "products": _products,
    "ramp": _ramp,
    "fourier": _fourier,
    "tilt": _tilt,
    "mesh": _mesh,
    "product ramp": _ramp,
    "product fourier": _product_fourier,
    "edged": _edged,
}
