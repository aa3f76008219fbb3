"""The exact Gaussian process: covariance, hyperparameters, their mode and draws, outcome models, the posterior of the effect."""
