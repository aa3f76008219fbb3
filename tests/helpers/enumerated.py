"""The wild bootstrap with every vector of signs, said once more."""

import numpy as np


def exact(gamma, weight, cluster, null=0.0):
    """Bootstrap-t of a weighted mean, null imposed, over all sign vectors: the regression on a constant."""
    n = cluster.max() + 1
    signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    share = np.bincount(cluster, weight) / weight.sum()
    total = np.bincount(cluster, weight * (gamma - null)) / weight.sum()

    def t(totals):
        mean = totals.sum(axis=-1)
        return mean / np.sqrt(((totals - share * mean[..., None]) ** 2).sum(axis=-1))

    return np.mean(np.abs(t(signs * total)) >= abs(t(total[None])[0]) * (1 - 1e-12))
