"""Engines: each turns a study and folds into held-out predictions, or rows of its own."""
