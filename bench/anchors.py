"""Slow anchors of the cross-section bench: EconML's causal forest and linear learner, and stochtree's BCF. Both are optional packages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hte_bridge.study import Study

NAMES = ("econml", "econml_linear", "bcf")


def anchor(name: str, seed: int) -> Any:
    """An engine by its name in the table."""
    if name == "bcf":
        return Bcf(seed)
    if name == "econml":
        from econml.dml import CausalForestDML

        from hte_bridge.engines.econml import Econml

        forest = CausalForestDML(n_estimators=2_000, discrete_treatment=True, random_state=seed, n_jobs=1)
        return Econml(forest, seed=seed)
    if name == "econml_linear":
        from econml.dml import LinearDML

        from hte_bridge.engines.econml import Econml

        return Econml(LinearDML(discrete_treatment=True, random_state=seed), seed=seed)
    raise SystemExit(f"The engines are deep, grf, feols, {', '.join(NAMES)}. `{name}` was asked for.")


@dataclass(frozen=True)
class Bcf:
    """Bayesian causal forest of Hahn, Murray and Carvalho (2020), as stochtree fits it, with its defaults."""

    seed: int
    n_sweeps: int = 500

    def fit(self, study: Study) -> BcfFit:
        """Sample the forest; the propensity is a cross-fitted one of our own, as the package asks for one."""
        from stochtree import BCFModel

        from hte_bridge.engines.deep.gp.regression import smooth_learners
        from hte_bridge.engines.deep.nuisance.networks import NetOptions
        from hte_bridge.engines.deep.nuisance.propensity import centre_treatment
        from hte_bridge.study import Folds

        folds = Folds.make(study, 5, self.seed)
        propensity = centre_treatment(study, folds, NetOptions(), self.seed, "cpu", smooth_learners).mean
        model = BCFModel()
        model.sample(
            X_train=study.filled.copy(),  # a study's arrays cannot be written to, and the package asks for ones that can
            Z_train=study.treatment.copy(),
            y_train=study.outcome.copy(),
            propensity_train=propensity.copy(),
            num_gfr=10,
            num_burnin=200,
            num_mcmc=self.n_sweeps,
            general_params={"random_seed": self.seed},
        )
        return BcfFit(model, study, float(propensity.mean()))


@dataclass(frozen=True, eq=False)
class BcfFit:
    """Posterior draws of tau at any x; it has no held-out predictions of ours."""

    model: Any
    study: Study
    propensity: float
    heldout: None = None

    def cate(self, new: pd.DataFrame) -> pd.DataFrame:
        """Mean and sd of the posterior draws; tau does not depend on the propensity handed over."""
        x = self.study.fill(self.study.encoder.transform(new))
        found = self.model.predict(
            X=x,
            Z=np.ones(len(x)),
            propensity=np.full(len(x), self.propensity),
            type="posterior",
            terms=["cate"],
        )
        draws = found["cate"] if isinstance(found, dict) else found
        return pd.DataFrame({"estimate": draws.mean(axis=1), "std_error": draws.std(axis=1)}, index=new.index)
