"""Cholesky factors and inverses of covariances that lie in torch tensors, by scipy's LAPACK on the CPU: the quicker of the two we have."""

from __future__ import annotations

import torch
from scipy.linalg import lapack


def factored(matrix: torch.Tensor, into: torch.Tensor) -> bool:
    """Write the lower factor of a symmetric matrix ``into`` an array stored by columns; whether it is positive definite.

    Examples
    --------
    >>> into = torch.empty(2, 2, dtype=torch.float64).T
    >>> factored(torch.tensor([[4.0, 2.0], [2.0, 5.0]]).double(), into), into.tolist()
    (True, [[2.0, 0.0], [1.0, 2.0]])
    """
    if matrix.device.type != "cpu":
        failed = torch.empty((), dtype=torch.int32, device=matrix.device)
        torch.linalg.cholesky_ex(matrix, out=(into, failed))
        return not int(failed)
    into.copy_(matrix)
    return int(lapack.dpotrf(into.numpy(), lower=1, clean=1, overwrite_a=1)[1]) == 0


def inverted(factor: torch.Tensor, into: torch.Tensor) -> torch.Tensor:
    """The inverse, from a lower factor; both arrays are stored by columns.

    Examples
    --------
    >>> factor = torch.tensor([[2.0, 1.0], [0.0, 2.0]]).double().T
    >>> inverted(factor, torch.empty(2, 2, dtype=torch.float64).T).tolist()
    [[0.3125, -0.125], [-0.125, 0.25]]
    """
    if factor.device.type != "cpu":
        return torch.cholesky_inverse(factor, out=into)
    into.copy_(factor)
    lapack.dpotri(into.numpy(), lower=1, overwrite_c=1)
    half = torch.tril(into, -1)
    return into.tril_().add_(half.T)
