"""Panels of users, vendors and periods: the effect of log(1 + clicks) varies with twelve covariates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from hte_bridge.shown import Arrays

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[np.float64]
Beta = Literal["linear", "nonlinear", "smooth", "three_way", "network", "constant"]
Base = Literal["linear", "nonlinear", "interaction"]
COVARIATES = ("a", "b", "U0", "U1", "U2", "U3", "U4", "V0", "V1", "V2", "V3", "V4")


@dataclass(frozen=True, eq=False, repr=False)
class Panel(Arrays):
    """One draw of a panel that knows its own effect.

    Parameters
    ----------
    name : str
        Shape of beta, with its variant.
    covariates : array (n, 12)
        Columns ``a``, ``b``, ``U0`` to ``U4``, ``V0`` to ``V4``.
    effects : array (n, 3)
        Codes of user, vendor and period.
    treatment, outcome : array (n,)
    beta : array (n,)
        True effect of one unit of log(1 + clicks), outcome units.
    additive : array (n,)
        Fixed effects plus g(X): what is left of the outcome without the treatment and the noise.
    beta_at : callable
        True effect at any covariates (m, 12).
    """

    name: str
    covariates: Array
    effects: npt.NDArray[np.int64]
    treatment: Array
    outcome: Array
    beta: Array
    additive: Array
    beta_at: Callable[[Array], Array]

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.outcome)

    def frame(self) -> pd.DataFrame:
        """Columns ``y``, ``t``, ``user``, ``vendor``, ``period``, ``cell`` (user by period), and the covariates.

        Examples
        --------
        >>> panel(n_rows=4, n_users=2, n_vendors=2, n_periods=2, seed=1).frame().shape
        (4, 18)
        """
        import pandas as pd

        user, vendor, period = self.effects.T
        frame = pd.DataFrame(self.covariates, columns=list(COVARIATES))
        head = {"y": self.outcome, "t": self.treatment, "user": user, "vendor": vendor, "period": period}
        for place, (name, column) in enumerate(head.items()):
            frame.insert(place, name, column)
        frame["cell"] = user * (int(period.max()) + 1) + period
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
    ``three_way`` and ``network`` are ours.

    Parameters
    ----------
    beta : str
        Shape of the effect: ``linear``, ``nonlinear``, ``smooth``, ``three_way``, ``network`` (random, two
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
