"""What a study must be before the deep engine starts: values that can be squared, a treatment that varies without each fold."""

from __future__ import annotations

import numpy as np

from hte_bridge.errors import InvalidData, NotIdentified
from hte_bridge.study import Folds, Study

LARGEST = 1e100  # squares of this and sums of them are numbers still


def check_size(study: Study) -> None:
    """Refuse values whose squares overflow.

    Raises
    ------
    InvalidData
        With the column and the value.
    """
    named = {"outcome": study.outcome, "treatment": study.treatment}
    named |= {f"covariate {name}": study.filled[:, j] for j, name in enumerate(study.filled_names)}
    for name, column in named.items():
        row = int(np.argmax(np.abs(column)))
        if abs(column[row]) > LARGEST:
            raise InvalidData(
                f"`{name}` must be below {LARGEST:g} in size, so that sums of squares can be formed. The largest value is "
                f"{column[row]:.3g}, in row {row}. Rescale it."
            )


def check_other_folds(study: Study, folds: Folds) -> None:
    """Refuse a cross-section whose treatment does not vary without some fold.

    Raises
    ------
    NotIdentified
        With the fold and the value.
    """
    for number, (train, _) in enumerate(folds):
        seen = study.treatment[train]
        if np.ptp(seen) == 0:
            raise NotIdentified(
                f"What predicts a fold is fitted to the others, whose treatment must vary. Without fold {number} "
                f"`{study.names.treatment}` is {seen[0]:g} in each of {len(seen):,} rows: all rows with another value lie in that "
                "fold. Use more treated clusters, name finer ones, or make other folds."
            )
