"""From a study to the last layer's columns: points, networks, structure, basis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array, Codes, slices
from hte_bridge.engines.deep.basis.data import Rows, SlopeGroups, rows_of
from hte_bridge.engines.deep.basis.ensemble import Ensemble, ensemble_columns
from hte_bridge.engines.deep.basis.features import Basis, condensed
from hte_bridge.engines.deep.basis.interactions import Structure, average, probe
from hte_bridge.engines.deep.basis.layout import LAYOUT, layout, net_blocks, unheard_blocks
from hte_bridge.engines.deep.basis.networks import Send, TauNetOptions, crossfit_nets
from hte_bridge.engines.deep.basis.room import Shape, fitting
from hte_bridge.engines.deep.nuisance.scaler import Scaler
from hte_bridge.engines.deep.options import Options
from hte_bridge.engines.deep.store.checkpoint import NOWHERE, Checkpoint
from hte_bridge.engines.deep.store.devices import device_of, doubles_on
from hte_bridge.engines.deep.store.memory import Budget
from hte_bridge.engines.deep.store.threads import side_by_side
from hte_bridge.study import Folds, Study

CHUNK_POINTS = 8_192


@dataclass(frozen=True, eq=False)
class Design:
    """What the last layer needs.

    Parameters
    ----------
    rows : Rows
        Its ``points`` hold the covariates, then the networks' cross-fitted columns.
    basis : Basis
    drift : array (K,)
        Features that belong to mu as well.
    nets : list of list of Ensemble
        Per fold; each kind of input gives a column of tau, all together one of mu.
    structure : Structure
        Mean over the networks.
    slopes : SlopeGroups
    q : int
        Covariates.
    device : str
        Where sums over rows and the Gram matrix's factors are found.
    at_once : int
        Folds' models that fit into memory side by side.
    note : str
        What was left out so that the fit stays in memory.
    """

    rows: Rows
    basis: Basis
    drift: npt.NDArray[np.bool_]
    nets: list[list[Ensemble]]
    structure: Structure
    slopes: SlopeGroups
    q: int
    device: str = "cpu"
    at_once: int = 1
    note: str = ""

    def columns(self, fold: int | None = None, networks: bool = False) -> Codes:
        """Features (tau, then mu) that may be used for all rows, or by models that must not have seen ``fold``."""
        blocks = self.basis.blocks
        if fold is None:
            kept = [each.main and (networks or max(each.columns, default=0) < self.q) for each in blocks]
        else:
            kept = [each.folds is None or fold in each.folds for each in blocks]
        allowed, effect = (
            np.array(kept)[self.basis.owner],
            np.array([each.effect for each in blocks])[self.basis.owner],
        )
        return np.flatnonzero(np.concatenate([allowed & effect, allowed[self.drift]]))

    def alone(self, fold: int, rows: Rows) -> Design:
        """Some rows with the blocks that models may use which must not have seen ``fold``: no other fold's wishes move a bit of theirs."""
        return replace(
            self.holding([each.folds is None or fold in each.folds for each in self.basis.blocks]), rows=rows
        )

    @property
    def of_all_rows(self) -> Design:
        """Without the blocks that only held-out models use."""
        return self.holding(
            [each.main and max(each.columns, default=0) < self.q for each in self.basis.blocks]
        )

    def holding(self, wanted: Sequence[bool]) -> Design:
        """With those of the blocks (B,) that are wanted."""
        chosen = np.flatnonzero(wanted).tolist()
        return replace(
            self, basis=self.basis.keep(chosen), drift=self.drift[np.isin(self.basis.owner, chosen)]
        )

    def kinds(self, columns: Codes) -> npt.NDArray[np.str_]:
        """Kind of the block of each chosen column (P,)."""
        own = np.array([block.kind for block in self.basis.blocks])[self.basis.owner]
        return np.concatenate([own, own[self.drift]])[columns]

    def surfaces(
        self, coefficients: Array, columns: Codes | slice = slice(None), points: Array | None = None
    ) -> tuple[Array, Array]:
        """Tau and mu (m, k) at points (m, c), by default the rows', of k vectors of coefficients (P, k) of chosen columns; of one (P,), (m,)."""
        points, width = self.rows.points if points is None else points, self.basis.size
        full = np.zeros((width + int(self.drift.sum()), *coefficients.shape[1:]))
        full[columns] = coefficients
        tau, mu = (np.empty((len(points), *coefficients.shape[1:])) for _ in range(2))
        for here in slices(len(points), CHUNK_POINTS):
            f = self.basis.features(points[here]).astype(np.float64)
            tau[here], mu[here] = f @ full[:width], f[:, self.drift] @ full[width:]
        return tau, mu

    def without_networks(self, rows: Rows) -> Design:
        """The design for other rows, without network columns and random slopes, which need folds or all rows in memory."""
        kept = [k for k, block in enumerate(self.basis.blocks) if max(block.columns, default=0) < self.q]
        drift, small = self.drift[np.isin(self.basis.owner, kept)], self.basis.keep(kept)
        return replace(self, basis=small, drift=drift, rows=rows, slopes=SlopeGroups((), ()), nets=[])

    def owner(self, columns: Codes, slopes: bool) -> tuple[Codes, list[str]]:
        """Block of each chosen column, numbered without gaps, and the blocks' names; slopes come last."""
        own = self.basis.owner
        label = np.concatenate([own, own[self.drift] + len(self.basis.blocks)])[columns]
        used, code = np.unique(label, return_inverse=True)
        blocks = self.basis.blocks
        names = [
            blocks[k].name if k < len(blocks) else f"mu: {blocks[k - len(blocks)].name}"
            for k in used.tolist()
        ]
        parts = [code.reshape(-1)]
        if slopes:
            for k, size in enumerate(self.rows.group_sizes):
                parts.append(np.full(size, len(used) + k))
                names.append(f"slopes {k}")
        return np.concatenate(parts), names


def net_options(options: Options) -> TauNetOptions:
    """Networks of tau as the engine's options ask for them."""
    return TauNetOptions(
        plain=2 * options.n_nets,
        ramps=options.n_nets,
        hidden=options.hidden,
        epochs=options.epochs,
        device=device_of(options),
    )


def design(
    study: Study,
    folds: Folds,
    options: Options,
    treatment: Array,
    checkpoint: Checkpoint = NOWHERE,
    beside: Array | None = None,
    unseen: Array | None = None,
    send: Send | None = None,
) -> Design:
    """Train the networks, read their structure, and lay out the blocks.

    Parameters
    ----------
    study : Study
    folds : Folds
    options : Options
    treatment : array (n,)
        T, or T - e(X) in a cross-section.
    checkpoint : Checkpoint
        Where trained networks are left.
    beside : array (n,), optional
        Of a cross-section: a column of the outcome's mean whose coefficient has no prior.
    unseen : array (K, n), optional
        The treatment as the networks are to see it that must not have seen a fold, where that is not as it is.
    send : function, optional
        Has networks trained elsewhere (``networks.crossfit_nets``).
    """
    rows, slopes, absorbed = rows_of(study, folds, treatment, beside)
    standard = Scaler.of(study.filled)
    z, centre, scale = standard(rows.points), standard.centre, standard.spread
    seen_by = [rows] * folds.n_folds
    if unseen is not None:
        seen_by = [replace(rows, treatment=each) for each in unseen]
    nets = crossfit_nets(seen_by, z, options.seed, net_options(options), options.n_jobs, checkpoint, send)
    found = [average([probe(net.tau, z, options.seed + k) for net in fold]) for k, fold in enumerate(nets)]
    overall = average(found)
    names = study.filled_names
    # a fold's own outcomes have no say in the blocks of its held-out model
    seen = [folds.fold != k for k in (-1, *range(folds.n_folds))]
    worth = [
        float(each.sum() * np.var(own.treatment[each]) / max(np.var(study.outcome[each]), 1e-300))
        for own, each in zip((rows, *seen_by), seen, strict=True)
    ]
    blocks = layout(z, names, absorbed, found, overall, worth, options.seed, not rows.sizes)
    if any(len(keys) < LAYOUT.few_groups for keys in slopes.keys):
        blocks += unheard_blocks(z, names, found, overall, blocks, slopes.columns)
    extra = network_columns(nets, z, rows)
    wide = np.hstack([rows.points, extra])
    spread = extra.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    centre, scale = np.append(centre, extra.mean(axis=0)), np.append(scale, spread)
    wide_z = (extra - centre[len(names) :]) / scale[len(names) :]
    blocks += net_blocks(wide_z, len(names))
    wide_points = (wide - centre) / scale
    blocks = [condensed(block, wide_points) for block in blocks]
    blocks, at_once, note = fitting(blocks, shape_of(rows, folds, options), Budget.of(options))
    basis = Basis.fit(blocks, wide, centre, scale)
    drift = np.repeat([block.drift for block in blocks], [block.size for block in blocks])
    rows = replace(rows, points=wide)
    return Design(rows, basis, drift, nets, overall, slopes, len(names), doubles_on(options), at_once, note)


def shape_of(rows: Rows, folds: Folds, options: Options) -> Shape:
    """What the sums of a study will be: of each fold; in a cross-section also those of each fold's own rows, one fold at a time."""
    cells = folds.n_folds * (1 if rows.sizes else 2)
    return Shape.of(rows, cells, side_by_side(options.n_jobs))


def network_columns(nets: list[list[Ensemble]], z: Array, rows: Rows) -> Array:
    """Columns (m, k + 1) of the networks at each point, from the networks that did not see the point's fold."""
    fold = np.zeros(len(z), dtype=np.int64)
    fold[rows.point] = rows.fold
    out = np.empty((len(z), len(nets[0]) + 1))
    for k, own in enumerate(nets):
        held = np.flatnonzero(fold == k)
        out[held] = ensemble_columns(own, z[held])
    return out
