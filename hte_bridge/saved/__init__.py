"""A comparison as one file that answers again: its table, study, folds and fits, under a checksum; never code, so no pickle.

A ``.hte`` file is a zip archive of stored members: ``table.parquet`` (the rows, which R reads by itself), ``frame.parquet`` (columns of the
data), ``arrays.npz`` (columns of the study, folds, held-out predictions, influence), one file for each fit that has a format of its own
(``.rds`` of a forest, ``.npz`` of the deep engine) and ``about.json``.
"""
