"""Two accounts of one effect, each with its share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.result import Posterior


@dataclass(frozen=True, eq=False)
class Mixture:
    """Mixture of posteriors of tau(x): their mean by shares, and the variance within plus that between them.

    Parameters
    ----------
    accounts : tuple of Posterior
    shares : array (k,)
        Sum to one.
    """

    accounts: tuple[Posterior, ...]
    shares: Array

    def moments(self, covariates: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of tau (m,) at the rows of ``covariates`` (m, q)."""
        means, sds = (
            np.array(each) for each in zip(*(own.moments(covariates) for own in self.accounts), strict=True)
        )
        mean = self.shares @ means
        return mean, np.sqrt(self.shares @ (sds**2 + (means - mean) ** 2))

    def draws(self, covariates: Array, n_draws: int, seed: int) -> Array:
        """Joint draws (n_draws, m); whose each is, is drawn first."""
        rng = np.random.default_rng(seed)
        counts = rng.multinomial(n_draws, self.shares).tolist()
        found = [
            own.draws(covariates, count, seed)
            for own, count in zip(self.accounts, counts, strict=True)
            if count
        ]
        return np.asarray(rng.permutation(np.concatenate(found)))

    def average(self, covariates: Array, weights: Array) -> tuple[Array, Array]:
        """Means (g,) and covariance (g, g) of ``weights @ tau`` for weights (g, m)."""
        each = [own.average(covariates, weights) for own in self.accounts]
        means = np.array([mean for mean, _ in each])
        mean = self.shares @ means
        within = sum(share * covariance for share, (_, covariance) in zip(self.shares, each, strict=True))
        off = means - mean
        return mean, within + (off * self.shares[:, None]).T @ off

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and JSON values of each account, under its number, and the shares."""
        arrays: dict[str, Array] = {"shares": self.shares}
        accounts = []
        for k, each in enumerate(self.accounts):
            own, plain = each.state()
            arrays |= {f"{k}/{name}": value for name, value in own.items()}
            accounts.append(plain)
        return arrays, {"accounts": accounts}
