"""Boxes of one or two sides, at whose borders a surface jumps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Side = tuple[int, float, bool]  # column, cut, and whether it is what lies above the cut
Box = tuple[Side, ...]  # a step along one covariate, or a corner of two


def inside(x: Tensor, boxes: Sequence[Box]) -> Tensor:
    """One where a row of x (n, p) is in a box, else zero: (n, k).

    Examples
    --------
    >>> x = torch.tensor([[0.0, 5.0], [1.0, 5.0], [1.0, 7.0]])
    >>> inside(x, [((0, 0.5, True),), ((0, 0.5, True), (1, 6.0, False))]).tolist()
    [[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]]
    """
    found = x.new_ones(len(x), len(boxes))
    for place in (0, -1) if boxes else ():
        columns, cuts, above = zip(*(box[place] for box in boxes), strict=True)
        found *= (x[:, columns] > x.new_tensor(cuts)) == torch.tensor(above, device=x.device)
    return found
