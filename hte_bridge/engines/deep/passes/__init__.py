"""Passes over the rows of a study on disk: sums by folds, held-out models from them, predictions written row by row."""
