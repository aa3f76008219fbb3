"""Cross-fitted nuisances: propensity and outcome mean, by candidates that are stacked."""
