"""Posterior of the effect surface from the last layer's coefficients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from hte_bridge.arrays import Array, Codes, slices
from hte_bridge.engines.deep.basis.beside import Beside
from hte_bridge.engines.deep.basis.data import SlopeGroups, group_dummies, unique_rows
from hte_bridge.engines.deep.basis.ensemble import Ensemble, ensemble_columns
from hte_bridge.engines.deep.basis.features import Basis
from hte_bridge.engines.deep.gp.standardise import Standardisation
from hte_bridge.scaling import power

CHUNK = 16_384


@dataclass(frozen=True, eq=False)
class EffectPosterior:
    """Posterior of tau(x): blocks, networks and slopes times normal coefficients, plus the nugget.

    Parameters
    ----------
    basis : Basis
        Blocks of tau that are not set aside.
    nets : list of list of Ensemble
        Per fold; empty where no block uses them.
    slopes : SlopeGroups
    mean : array (P,)
        Of the features' coefficients, then the slopes'.
    root : array (P, r)
        ``root @ root.T`` is their covariance.
    slope_variance : array (G,)
        Prior variance of each family of slopes: that of a group never seen.
    nugget : float
        Variance of tau that no block explains.
    recovered : tuple
        For each fixed effect, estimate, standard error and component of its levels.
    beside : tuple of Beside
        And over the nugget, in cells beside a jump.
    level : Standardisation, optional
        Where the effect is relative to the errors' standard deviation: what says how large that is. All else is then in its multiples.
    """

    basis: Basis
    nets: list[list[Ensemble]]
    slopes: SlopeGroups
    mean: Array
    root: Array
    slope_variance: Array
    nugget: float
    recovered: tuple[tuple[Array, Array, Codes], ...] = ()
    level: Standardisation | None = None
    beside: tuple[Beside, ...] = ()

    def per(self, unit: float) -> EffectPosterior:
        """The effect of one unit of a dose that came in multiples of ``unit``."""
        return replace(
            self,
            mean=self.mean / unit,
            root=self.root / unit,
            slope_variance=self.slope_variance / unit**2,
            nugget=self.nugget / unit**2,
            beside=tuple(each.times(1 / unit**2) for each in self.beside),
        )

    def mixed(self, other: EffectPosterior, share: float) -> EffectPosterior:
        """The mixture with another posterior, without slopes, networks and effects of its own, which has this share: its mean, and its variance,
        between the two included."""
        edge, rest = self.basis.size, 1.0 - share
        wide = self.root.shape[1], other.root.shape[1]
        root = np.zeros((len(self.mean) + len(other.mean), sum(wide) + 1))
        mine = np.r_[:edge, edge + len(other.mean) : len(root)]
        its = np.arange(edge, edge + len(other.mean))
        root[mine, : wide[0]] = rest**0.5 * self.root
        root[its, wide[0] : -1] = share**0.5 * other.root
        apart, mean = (share * rest) ** 0.5, np.empty(len(root))
        root[mine, -1], root[its, -1] = apart * self.mean, -apart * other.mean
        mean[mine], mean[its] = rest * self.mean, share * other.mean
        return replace(
            self,
            basis=self.basis.joined(other.basis),
            mean=mean,
            root=root,
            slope_variance=rest * self.slope_variance,
            nugget=rest * self.nugget + share * other.nugget,
            beside=tuple(each.times(rest) for each in self.beside)
            + tuple(each.times(share) for each in other.beside),
        )

    def moments(self, covariates: Array) -> tuple[Array, Array]:
        """Mean and sd of tau (m,) at covariates (m, q)."""
        estimate, variance = np.empty(len(covariates)), np.empty(len(covariates))
        unit = float(power(np.abs(self.root).max(initial=0.0)))  # single precision has no 1e40, and no 1e-50
        light = (self.root / unit).astype(np.float32)
        for here, f, slope, unseen in self._chunks(covariates):
            k = f.shape[1]
            estimate[here] = f.astype(np.float64) @ self.mean[:k] + slope @ self.mean[k:]
            spread = f @ light[:k]
            if slope.shape[1]:
                spread += slope @ light[k:]
            variance[here] = (
                np.einsum("ij,ij->i", spread, spread).astype(np.float64) * unit**2
                + unseen @ self.slope_variance
            )
        multiple = self._multiple(covariates)
        return estimate * multiple, np.sqrt(variance + self.unexplained(covariates)) * multiple

    def unexplained(self, covariates: Array) -> Array:
        """Variance (m,) of tau that no block explains at covariates (m, q)."""
        found = np.full(len(covariates), self.nugget)
        if self.beside:
            q = covariates.shape[1]
            z = (covariates - self.basis.centre[:q]) / self.basis.scale[:q]
            for each in self.beside:
                found += each.at(z)
        return found

    def draws(self, covariates: Array, n_draws: int, seed: int) -> Array:
        """Joint draws (n_draws, m); rows with the same covariates share their draw."""
        rng = np.random.default_rng(seed)
        coefficient = self.mean[:, None] + self.root @ rng.normal(size=(self.root.shape[1], n_draws))
        out = np.empty((n_draws, len(covariates)))
        for here, f, slope, _ in self._chunks(covariates):
            k = f.shape[1]
            out[:, here] = (f.astype(np.float64) @ coefficient[:k] + slope @ coefficient[k:]).T
        for variance, label in self._white(covariates):
            wide = variance**0.5 * rng.normal(size=(n_draws, label.max() + 1))
            out += np.where(label >= 0, wide[:, np.maximum(label, 0)], 0.0)
        return out * self._multiple(covariates)

    def average(self, covariates: Array, weights: Array) -> tuple[Array, Array]:
        """Means (g,) and covariance (g, g) of ``weights @ tau`` for weights (g, m)."""
        weights = weights * self._multiple(covariates)
        columns = np.zeros((len(weights), len(self.mean)))
        for here, f, slope, _ in self._chunks(covariates):
            k = f.shape[1]
            columns[:, :k] += weights[:, here] @ f.astype(np.float64)
            columns[:, k:] += weights[:, here] @ slope
        spread = columns @ self.root
        covariance = spread @ spread.T
        for variance, label in self._white(covariates):
            seen = np.flatnonzero(label >= 0)
            pick = sparse.csr_array(
                (np.ones(len(seen)), (seen, label[seen])), shape=(len(label), label.max() + 1)
            )
            mass = (pick.T @ weights.T).T
            covariance += (mass * variance) @ mass.T
        return columns @ self.mean, covariance

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and JSON values from which ``restore`` rebuilds this posterior bit for bit."""
        arrays, values = self.basis.state()
        arrays |= {"mean": self.mean, "root": self.root, "slope_variance": self.slope_variance}
        values |= {"nugget": self.nugget, "slopes": len(self.slopes.keys), "effects": len(self.recovered)}
        for k, (columns, keys) in enumerate(zip(self.slopes.columns, self.slopes.keys, strict=True)):
            arrays |= {f"slope{k}.columns": np.asarray(columns), f"slope{k}.keys": keys}
        for k, parts in enumerate(self.recovered):
            arrays |= {f"effect{k}.{j}": np.asarray(part) for j, part in enumerate(parts)}
        listed: list[list[dict[str, Any]]] = []
        for k, fold in enumerate(self.nets):
            listed.append([])
            for j, ensemble in enumerate(fold):
                own, plain = ensemble.state()
                arrays |= {f"net{k}.{j}.{name}": value for name, value in own.items()}
                listed[-1].append(plain)
        if self.level is not None:
            own, plain = self.level.state()
            arrays |= {f"level.{name}": value for name, value in own.items()}
            values |= {"level": plain}
        for k, each in enumerate(self.beside):
            arrays |= {f"beside{k}.borders": each.borders, f"beside{k}.variance": each.variance}
        values |= {"beside": [[each.along, each.scaling] for each in self.beside]}
        return arrays, values | {"nets": listed}

    @classmethod
    def restore(cls, arrays: Mapping[str, Any], values: Mapping[str, Any]) -> EffectPosterior:
        """Rebuild what ``state`` took apart."""

        def under(prefix: str) -> dict[str, Any]:
            return {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}

        nets = [
            [Ensemble.restore(under(f"net{k}.{j}."), plain) for j, plain in enumerate(fold)]
            for k, fold in enumerate(values["nets"])
        ]
        slopes = SlopeGroups(
            tuple(arrays[f"slope{k}.columns"] for k in range(values["slopes"])),
            tuple(arrays[f"slope{k}.keys"] for k in range(values["slopes"])),
        )
        recovered = tuple(
            (arrays[f"effect{k}.0"], arrays[f"effect{k}.1"], arrays[f"effect{k}.2"])
            for k in range(values["effects"])
        )
        return cls(
            Basis.restore(arrays, values),
            nets,
            slopes,
            arrays["mean"],
            arrays["root"],
            arrays["slope_variance"],
            values["nugget"],
            recovered,
            Standardisation.restore(under("level."), values["level"]) if "level" in values else None,
            tuple(
                Beside(along, scaling, arrays[f"beside{k}.borders"], arrays[f"beside{k}.variance"])
                for k, (along, scaling) in enumerate(values.get("beside", []))
            ),
        )

    def _multiple(self, covariates: Array) -> Array | float:
        """What a relative effect is multiplied by at covariates (m, q)."""
        level = self.level
        return 1.0 if level is None else level.error_sd(level.standardise(covariates)).numpy()

    def _chunks(self, covariates: Array) -> Iterator[tuple[slice, Any, Any, Array]]:
        """Rows, their features, their slopes' dummies, and which slopes were never seen."""
        groups = self.slopes.find(covariates)
        sizes = [len(keys) for keys in self.slopes.keys]
        q = covariates.shape[1]
        for here in slices(len(covariates), CHUNK):
            x = np.ascontiguousarray(covariates[here])
            if self.nets:
                z = (x - self.basis.centre[:q]) / self.basis.scale[:q]
                x = np.hstack([x, np.mean([ensemble_columns(own, z) for own in self.nets], axis=0)])
            elif len(self.basis.centre) > q:
                x = np.hstack([x, np.zeros((len(x), len(self.basis.centre) - q))])
            own_groups = [group[here] for group in groups]
            slope = group_dummies(own_groups, sizes, np.arange(len(x)))
            unseen = np.column_stack(
                [*(group < 0 for group in own_groups), np.zeros((len(x), 0), dtype=np.bool_)]
            )
            yield here, self.basis.features(x), slope, unseen.astype(np.float64)

    def _white(self, covariates: Array) -> Iterator[tuple[Array | float, Codes]]:
        """Variances that are independent between labels, one for all or each its own: of unseen groups (-1: a seen one), and what no block explains."""
        for columns, group, variance in zip(
            self.slopes.columns, self.slopes.find(covariates), self.slope_variance.tolist(), strict=True
        ):
            label = unique_rows(covariates[:, columns])[1]
            if (group < 0).any() and variance > 0:
                yield variance, np.where(group < 0, label, -1)
        if self.nugget > 0 or self.beside:
            first, label = unique_rows(covariates)
            yield self.unexplained(covariates[first]), label
