"""Cross-fitted nuisances: candidates predict the folds that they did not see, and are stacked by that loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed
from scipy import optimize

from hte_bridge.arrays import Array, Codes
from hte_bridge.crossfit import out_of_fold
from hte_bridge.engines.deep.nuisance.networks import Linear, NetOptions, Predict, Scale, linear, net
from hte_bridge.engines.deep.store.threads import threads
from hte_bridge.study import Folds

# x (n, p), y (n,), weight (n,), seed, models of the same rows that were fitted before -> predict
Learner = Callable[[Array, Array, Array, int, Mapping[str, Predict]], Predict]


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """Held-out predictions of one nuisance.

    Parameters
    ----------
    prediction : array (n,)
        Stacked prediction for each unit, by candidates that did not see it.
    candidates : mapping
        Candidate -> its own held-out prediction (n,).
    loss : mapping
        Candidate, and ``"stacked"``, -> weighted mean squared error held out.
    share : mapping
        Candidate -> its share in the stack; shares sum to one.
    """

    prediction: Array
    candidates: Mapping[str, Array]
    loss: Mapping[str, float]
    share: Mapping[str, float]

    def beside(self, name: str, prediction: Array, y: Array, weight: Array) -> CrossFitted:
        """The same with a candidate (n,) more, first of all, that was fitted elsewhere; until it is stacked anew it has no share."""
        loss = {**self.loss, name: squared_error(y, prediction, weight)}
        return replace(self, candidates={name: prediction, **self.candidates}, loss=loss)

    def restacked(self, y: Array, fold: Codes, weight: Array, share: Array) -> CrossFitted:
        """The same with shares (K, c) for each fold that have not seen it; a candidate's mean share is said."""
        columns = np.column_stack(list(self.candidates.values()))
        prediction = np.einsum("nc,nc->n", columns, share[fold])
        shares = dict(zip(self.candidates, share.mean(axis=0).tolist(), strict=True))
        loss = {**self.loss, "stacked": squared_error(y, prediction, weight)}
        return replace(self, prediction=prediction, loss=loss, share=shares)

    def verdict(self, what: str) -> str:
        """Sentence for the table's note where the network lost to the linear model held out, else empty.

        Examples
        --------
        >>> fit = CrossFitted(np.zeros(1), {}, {"net": 2.0, "linear": 1.0}, {"net": 0.0, "linear": 1.0})
        >>> fit.verdict("E[Y | x]")
        'The network for E[Y | x] did not beat the linear model held out (loss 2 against 1); its share is 0.00.'
        """
        if "net" not in self.loss or self.loss["net"] < self.loss["linear"]:
            return ""
        return (
            f"The network for {what} did not beat the linear model held out (loss {self.loss['net']:.4g} against "
            f"{self.loss['linear']:.4g}); its share is {self.share['net']:.2f}."
        )


def constant(x: Array, y: Array, weight: Array, seed: int, before: Mapping[str, Predict]) -> Predict:
    """Predict the weighted mean, whatever x."""
    mean = float(np.average(y, weights=weight))
    return lambda new: np.full(len(new), mean)


def plain_learners(scale: Scale) -> dict[str, Learner]:
    """Constant and linear (or logistic) model."""
    return {"constant": constant, "linear": lambda x, y, weight, seed, before: linear(x, y, weight, scale)}


def standard_learners(scale: Scale, options: NetOptions, device: str = "cpu") -> dict[str, Learner]:
    """Constant, linear (or logistic) model, and network, which begins at the linear model."""

    def network(x: Array, y: Array, weight: Array, seed: int, before: Mapping[str, Predict]) -> Predict:
        line = before.get("linear")
        begin = line if isinstance(line, Linear) else None
        return net(x, y, weight, scale, seed=seed, options=options, device=device, begin=begin)

    return plain_learners(scale) | {"net": network}


@dataclass(frozen=True, eq=False)
class Twice:
    """What candidates say of each unit that have seen neither its own part nor some fold, for each fold in turn.

    Parameters
    ----------
    candidates : array (K, n, c)
        Not a number for the units of the fold itself.
    share : array (K, c)
        Of the candidates in a stack that has not seen the fold.
    """

    candidates: Array
    share: Array

    @property
    def mean(self) -> Array:
        """The stacked predictions (K, n)."""
        return np.asarray(np.einsum("knc,kc->kn", self.candidates, self.share))


@dataclass(frozen=True, eq=False)
class Splits:
    """Units, and which of them are left out of what predicts them.

    Parameters
    ----------
    x : array (n, p)
    weight : array (n,)
    fold : array (n,)
        Codes 0..K-1; clusters are whole within folds.
    part : array (n,)
        Codes of the parts that are left out beside a fold. With three folds or more they may be the folds themselves: each fit then serves twice.
    seed : int
    n_jobs : int, optional
        Fits side by side, where parts are left out beside folds.
    """

    x: Array
    weight: Array
    fold: Codes
    part: Codes
    seed: int
    n_jobs: int | None = None

    def crossfit(self, y: Array, learners: Mapping[str, Learner], name: str = "nuisance") -> CrossFitted:
        """Predict each fold's y (n,), an outcome or 0 and 1, by candidates trained on the others, and stack them; ``name`` is that of the progress bar.

        Stacking: Wolpert (1992), Neural Networks 5(2); Breiman (1996), Machine Learning 24: shares are nonnegative, sum to
        one, and minimise the held-out squared error. They have seen all folds: ``CrossFitted.restacked`` takes others.

        Examples
        --------
        >>> fold = np.arange(8) % 2
        >>> fit = Splits(np.arange(8.0)[:, None], np.ones(8), fold, fold, seed=1).crossfit(np.ones(8), {"constant": constant})
        >>> float(fit.prediction[0]), fit.share
        (1.0, {'constant': 1.0})
        """

        def predict(train: Codes, test: Codes) -> Array:
            models = self._models(learners, y, train, int(self.fold[test[0]]))
            return np.column_stack([model(self.x[test]) for model in models])

        folds = Folds(self.fold, int(self.fold.max()) + 1, self.seed)
        columns = out_of_fold(predict, folds, len(y), f"deep: {name}")
        candidates = dict(zip(learners, np.ascontiguousarray(columns.T), strict=True))
        share = stack(columns, y, self.weight)
        prediction = columns @ share
        each = {**candidates, "stacked": prediction}
        loss = {name: squared_error(y, values, self.weight) for name, values in each.items()}
        return CrossFitted(prediction, candidates, loss, dict(zip(candidates, share.tolist(), strict=True)))

    def left_out_twice(self, y: Array, learners: Mapping[str, Learner], beside: Array | None = None) -> Twice:
        """Predict each unit without its own part and without some fold, for each fold in turn: neither candidates nor their shares saw either.

        A model that predicts a fold must not have seen it. Where it is fitted to another nuisance's predictions of the other units, those must not
        have seen the fold either: cross-fitted in the usual way each has, and carries what the units next to it in that fold are. Nor must shares
        that are learned from such predictions. ``beside`` (K, n, b) are such predictions of candidates that were fitted elsewhere; they come first.

        Examples
        --------
        >>> y, fold = np.arange(6.0), np.arange(6) % 3
        >>> Splits(y[:, None], np.ones(6), fold, fold, seed=1).left_out_twice(y, {"constant": constant}).mean
        array([[nan, 3.5, 2.5, nan, 3.5, 2.5],
               [3.5, nan, 1.5, 3.5, nan, 1.5],
               [2.5, 1.5, nan, 2.5, 1.5, nan]])
        """
        fold, part, fits = self.fold, self.part, fits_without(self.fold, self.part)

        def predict(place: int, fit: Without) -> Array:
            held = np.isin(part, [other for _, other in fit.asked])
            found = np.full((len(y), len(learners)), np.nan)
            with threads(1):
                for each, model in enumerate(self._models(learners, y, fit.train, place)):
                    found[held, each] = model(self.x[held])
            return found

        candidates = np.full((int(fold.max()) + 1, len(y), len(learners)), np.nan)
        work = (delayed(predict)(place, fit) for place, fit in enumerate(fits))
        for fit, found in zip(fits, Parallel(n_jobs=self.n_jobs, prefer="threads")(work), strict=True):
            for k, other in fit.asked:
                here = (part == other) & (fold != k)
                candidates[k, here] = found[here]
        if beside is not None:
            candidates = np.concatenate([beside, candidates], axis=2)
        rest = [fold != k for k in range(len(candidates))]
        shares = [
            stack(own[seen], y[seen], self.weight[seen]) for own, seen in zip(candidates, rest, strict=True)
        ]
        return Twice(candidates, np.array(shares))

    def _models(
        self, learners: Mapping[str, Learner], y: Array, train: Codes | npt.NDArray[np.bool_], place: int
    ) -> list[Predict]:
        """Each candidate fitted to the rows ``train``; where y has one value there all say it."""
        rows = self.x[train], y[train], self.weight[train], self.seed + place
        if len(np.unique(rows[1])) == 1:
            return [constant(*rows, {}) for _ in learners]
        models: dict[str, Predict] = {}
        for name, make in learners.items():
            models[name] = make(*rows, models)
        return list(models.values())


@dataclass(frozen=True, eq=False)
class Without:
    """Rows (n,) that a fit is made on, and the pairs of a fold and a part that are left out of it."""

    train: npt.NDArray[np.bool_]
    asked: list[tuple[int, int]]


def fits_without(fold: Codes, part: Codes) -> list[Without]:
    """The fits that leave out each fold with each part; pairs that leave out the same rows share one.

    Examples
    --------
    >>> fold = np.array([0, 1, 2])
    >>> [fit.asked for fit in fits_without(fold, fold)]
    [[(0, 1), (1, 0)], [(0, 2), (2, 0)], [(1, 2), (2, 1)]]
    """
    found: list[Without] = []
    for k in range(int(fold.max()) + 1):
        for other in np.unique(part[fold != k]).tolist():
            train = (fold != k) & (part != other)
            if not train.any():  # two folds of one cluster each: nothing is left
                train = fold != k
            same = next((fit for fit in found if np.array_equal(fit.train, train)), None)
            if same is None:
                found.append(same := Without(train, []))
            same.asked.append((k, other))
    return found


def squared_error(y: Array, prediction: Array, weight: Array) -> float:
    """Weighted mean of squares."""
    return float(np.average((y - prediction) ** 2, weights=weight))


def stack(candidates: Array, y: Array, weight: Array) -> Array:
    """Nonnegative shares (k,), summing to one, of the candidates (n, k) that best predict y.

    Examples
    --------
    >>> y = np.array([0.0, 1.0, 2.0])
    >>> stack(np.column_stack([y, -y]), y, np.ones(3)).round(6).tolist()
    [1.0, 0.0]
    """
    root = np.sqrt(weight / weight.mean())
    spread = float(np.sqrt(np.average((y - np.average(y, weights=weight)) ** 2, weights=weight))) or 1.0
    sum_to_one = 1e4 * np.sqrt(len(y))  # a row so heavy that the shares sum to one to rounding
    left = np.vstack(
        [(candidates - y[:, None]) * root[:, None] / spread, np.full(candidates.shape[1], sum_to_one)]
    )
    shares, _ = optimize.nnls(left, np.append(np.zeros(len(y)), sum_to_one))
    return np.asarray(shares / shares.sum())
