"""Panels: of users, vendors and periods, where the effect of log(1 + clicks) varies with twelve covariates; and of units that take up a treatment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array
from hte_bridge.shown import Arrays

if TYPE_CHECKING:
    import pandas as pd

Beta = Literal["linear", "nonlinear", "smooth", "three_way", "threshold", "network", "constant"]
Base = Literal["linear", "nonlinear", "interaction"]
COVARIATES = ("a", "b", "U0", "U1", "U2", "U3", "U4", "V0", "V1", "V2", "V3", "V4")


@dataclass(frozen=True, eq=False, repr=False)
class Panel(Arrays):
    """One draw of a panel that knows its own effect.

    Parameters
    ----------
    name : str
        Shape of beta, with its variant.
    covariates : array (n, p)
        Columns as in ``columns``.
    effects : array (n, F)
        Codes of user, vendor and period, or of what ``labels`` names; the first is the unit, the last the period.
    treatment, outcome : array (n,)
    beta : array (n,)
        True effect of one unit of log(1 + clicks), outcome units.
    additive : array (n,)
        Fixed effects plus g(X): what is left of the outcome without the treatment and the noise.
    beta_at : callable
        True effect at any covariates (m, p).
    columns, labels : tuple of str
        Names of the covariates and of the effects.
    """

    name: str
    covariates: Array
    effects: npt.NDArray[np.int64]
    treatment: Array
    outcome: Array
    beta: Array
    additive: Array
    beta_at: Callable[[Array], Array]
    columns: tuple[str, ...] = COVARIATES
    labels: tuple[str, ...] = ("user", "vendor", "period")

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.outcome)

    def frame(self) -> pd.DataFrame:
        """Columns ``y``, ``t``, the effects (``user``, ``vendor``, ``period``), ``cell`` (user by period), and the covariates.

        Examples
        --------
        >>> from hte_bridge.simulate.panel import panel
        >>> panel(n_rows=4, n_users=2, n_vendors=2, n_periods=2, seed=1).frame().shape
        (4, 18)
        """
        import pandas as pd

        frame = pd.DataFrame(self.covariates, columns=list(self.columns))
        head = {"y": self.outcome, "t": self.treatment}
        head |= dict(zip(self.labels, self.effects.T, strict=True))
        for place, (name, column) in enumerate(head.items()):
            frame.insert(place, name, column)
        unit, period = self.effects[:, 0], self.effects[:, -1]
        frame["cell"] = unit * (int(period.max()) + 1) + period
        return frame


def panel(
    beta: Beta = "nonlinear",
    base: Base | None = None,
    *,
    n_rows: int = 500_000,
    n_users: int = 1_000,
    n_vendors: int = 200,
    n_periods: int = 20,
    shock: float = 0.0,
    moving: float = 0.0,
    seed: int,
) -> Panel:
    """Draw users, vendors and periods at random; covariates and the dose depend on the fixed effects.

    alpha_u ~ N(0, 1.5^2), gamma_v ~ N(0, 2^2), delta_t ~ N(0, .5^2); clicks ~ Poisson(exp(.1 alpha + .2 gamma
    + .3 a + .1 b + .05 t)), T = log(1 + clicks), Y = beta(X) T + g(X) + alpha + gamma + delta + N(0, .5^2).
    Design: the dual-network demonstration of effects of clicks with user, vendor and time effects; the shapes
    ``three_way``, ``threshold`` and ``network`` are ours.

    Parameters
    ----------
    beta : str
        Shape of the effect: ``linear``, ``nonlinear``, ``smooth``, ``three_way``, ``threshold`` (steps in a and V0), ``network`` (random, two
        tanh layers of all covariates), ``constant``.
    base : str, optional
        Shape of g; that of beta where it has one, else nonlinear. ``interaction`` is U2 V2.
    n_rows, n_users, n_vendors, n_periods : int
    shock : float
        Standard deviation of a shock shared by the rows of a user and period.
    moving : float
        Standard deviation of what each row adds to its covariates; 0 leaves them fixed by user and vendor.
    seed : int

    Examples
    --------
    >>> from hte_bridge.simulate.panel import panel
    >>> draw = panel("linear", n_rows=1000, seed=1)
    >>> draw.n, draw.covariates.shape, draw.effects.shape
    (1000, (1000, 12), (1000, 3))
    """
    rng = np.random.default_rng(seed)
    alpha, gamma = rng.normal(0, 1.5, n_users), rng.normal(0, 2.0, n_vendors)
    delta = rng.normal(0, 0.5, n_periods)
    latent_u, latent_v = rng.normal(size=(n_users, 5)), rng.normal(size=(n_vendors, 5))
    a, b = 0.5 * alpha + rng.normal(size=n_users), 0.4 * gamma + rng.normal(size=n_vendors)
    user, vendor, period = (rng.integers(0, size, n_rows) for size in (n_users, n_vendors, n_periods))
    x = np.column_stack([a[user], b[vendor], latent_u[user], latent_v[vendor]])
    if moving:
        x = x + rng.normal(0, moving, x.shape)
    index = 0.1 * alpha[user] + 0.2 * gamma[vendor] + 0.3 * x[:, 0] + 0.1 * x[:, 1] + 0.05 * period
    treatment = np.log1p(rng.poisson(np.exp(np.clip(index, -10, 10))))
    surface = _random_network(np.random.default_rng([seed, 7])) if beta == "network" else _BETA[beta]
    effect = surface(x)
    shape = base or ("linear" if beta == "linear" else "nonlinear")
    additive = alpha[user] + gamma[vendor] + delta[period] + _BASE[shape](x)
    noise = rng.normal(0, 0.5, n_rows) + shock * rng.normal(size=(n_users, n_periods))[user, period]
    variant = f"{beta}, g {shape}{', shocks' if shock else ''}{', moving' if moving else ''}"
    codes = np.column_stack([user, vendor, period])
    return Panel(
        variant, x, codes, treatment, effect * treatment + additive + noise, effect, additive, surface
    )


def adoption(
    kind: Literal["staggered", "once"] = "staggered",
    *,
    n_units: int = 300,
    n_periods: int = 10,
    correlation: float = 0.6,
    seed: int,
) -> Panel:
    """Units that take up a treatment and keep it, whose errors go on from period to period; ours, as in most studies of reforms.

    Errors are an AR(1) with variance one (Bertrand, Duflo and Mullainathan, 2004, QJE 119(1), on what that does to standard errors). X0, X1, X2
    and a unit's effect .7 X0 + N(0, 1) stay as they are, Z moves; Y = unit + period + Z / 2 + T beta + error. ``staggered``: beta = 1 + .6 X0 + .4
    tanh(2 X1), some half of the units begin at a random period from the fourth on, the likelier the larger X0. ``once``: beta = 1 + .6 X0, those drawn with
    logistic(X0 / 2) all begin halfway.

    Examples
    --------
    >>> from hte_bridge.simulate.panel import adoption
    >>> draw = adoption(n_units=4, n_periods=5, seed=1)
    >>> draw.frame().columns.tolist()
    ['y', 't', 'user', 'period', 'X0', 'X1', 'X2', 'Z', 'cell']
    """
    rng = np.random.default_rng(seed)
    unit, period = np.repeat(np.arange(n_units), n_periods), np.tile(np.arange(n_periods), n_units)
    fixed, moving = rng.normal(size=(n_units, 3)), rng.normal(size=len(unit))
    level = 0.7 * fixed[:, 0] + rng.normal(size=n_units)
    common = np.cumsum(0.3 * rng.normal(size=n_periods))
    error: Array = rng.normal(size=(n_units, n_periods))
    for t in range(1, n_periods):
        error[:, t] = correlation * error[:, t - 1] + (1 - correlation**2) ** 0.5 * error[:, t]
    if kind == "once":
        begin = np.where(rng.random(n_units) < _logistic(0.5 * fixed[:, 0]), n_periods // 2, n_periods)
    else:
        taken = rng.random(n_units) < 0.35 + 0.3 * _logistic(0.8 * fixed[:, 0])
        begin = np.where(taken, rng.integers(3, n_periods, n_units), n_periods)

    def beta_at(x: Array) -> Array:
        bent = 0.4 * np.tanh(2 * x[:, 1]) if kind == "staggered" else 0.0
        return np.asarray(1 + 0.6 * x[:, 0] + bent)

    x, treatment = np.column_stack([fixed[unit], moving]), (period >= begin[unit]).astype(np.float64)
    additive, beta = level[unit] + common[period] + 0.5 * moving, beta_at(x)
    return Panel(
        f"adoption, {kind}",
        x,
        np.column_stack([unit, period]),
        treatment,
        additive + treatment * beta + error.ravel(),
        beta,
        additive,
        beta_at,
        ("X0", "X1", "X2", "Z"),
        ("user", "period"),
    )


def _logistic(u: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-u)))


def _linear(x: Array) -> Array:
    return 2 + 0.5 * x[:, 0] - 0.8 * x[:, 1] + 1.2 * x[:, 2] - 0.7 * x[:, 8]


def _nonlinear(x: Array) -> Array:
    a, b, u0, u1, v0, v1 = x[:, 0], x[:, 1], x[:, 2], x[:, 3], x[:, 7], x[:, 8]
    waves = 0.5 * np.sin(2 * a) + 0.8 * np.tanh(b) + 1.2 * u0 * v1 + 0.6 * u1**2
    return 2 + waves - 0.4 * np.maximum(0, v0) + 0.3 * a * (b > 0)


def _smooth(x: Array) -> Array:
    return 1 + np.cos(x[:, 3]) + 0.6 * np.abs(x[:, 9]) + 0.7 * x[:, 0] * x[:, 7]


def _three_way(x: Array) -> Array:
    return 2 + 1.2 * np.tanh(x[:, 2] * x[:, 8] * x[:, 0]) + 0.5 * x[:, 3]


def _threshold(x: Array) -> Array:
    return 1.5 + 1.0 * (x[:, 0] > 0.5) - 0.8 * (x[:, 7] > 0.0) + 0.3 * x[:, 3]


def _random_network(rng: np.random.Generator) -> Callable[[Array], Array]:
    inner = rng.normal(size=(len(COVARIATES), 16)) / len(COVARIATES) ** 0.5
    middle, outer = rng.normal(size=(16, 16)) / 4, rng.normal(size=16)
    shift = rng.normal(size=16)
    return lambda x: 2 + np.tanh(np.tanh(2 * x @ inner + shift) @ (2 * middle)) @ outer / 2


_BETA: dict[str, Callable[[Array], Array]] = {
    "linear": _linear,
    "nonlinear": _nonlinear,
    "smooth": _smooth,
    "three_way": _three_way,
    "threshold": _threshold,
    "constant": lambda x: np.full(len(x), 2.0),
}
_BASE: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: 1 + 1.5 * x[:, 0] - 0.3 * x[:, 1] - 0.9 * x[:, 9],
    "nonlinear": lambda x: (
        1
        + 0.7 * np.cos(x[:, 0])
        + 0.5 * x[:, 1] ** 2
        + 0.8 * np.exp(-np.abs(x[:, 4]))
        - 0.6 * x[:, 7] * x[:, 8]
    ),
    "interaction": lambda x: x[:, 4] * x[:, 9],
}
