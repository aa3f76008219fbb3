"""Numbers that must cross to R and back unchanged."""

import numpy as np

NUMBERS = {
    "doubles": np.array([1.5, -0.0, np.nan, np.inf, 5e-324]),
    "matrix": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "matrix by rows": np.arange(6.0).reshape(2, 3),
    "integers": np.array([1, -(2**31) + 1, 2**31 - 1]),
    "large integers": np.array([2**40, 1]),
    "booleans": np.array([True, False]),
    "every other": np.arange(10.0)[::2],
    "nothing": np.empty(0),
    "no rows": np.empty((0, 3)),
}
