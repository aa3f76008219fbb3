"""The deep engine: networks for nuisances and structure, a Bayesian last layer for the effect.

Y = mu(x) + (T - e(x)) tau(x) + error in a cross-section (Robinson, 1988, Econometrica 56(4)), or another account of the outcome where the
evidence is very strong (``gp/outcome_models.py``); fixed effects stay in the model of a panel. The prior's scales come from the marginal likelihood
and are integrated over, so the posterior's variance holds the misfit that the data have not ruled out: 95 % intervals cover 95 % *across the covariate
points* (Wahba, 1983, JRSS-B 45; Nychka, 1988, JASA 83).
"""

from hte_bridge.engines.deep.fit import Deep, DeepFit

__all__ = ["Deep", "DeepFit"]
