"""Cholesky factors, solutions and inverses of covariances that lie in torch tensors, by scipy's LAPACK on the CPU: the quicker of the two we have.

Matrices are symmetric and stored by rows; only their lower triangles are read, and written over.
"""

from __future__ import annotations

import torch
from scipy.linalg import lapack

# LAPACK stores by columns: the lower triangle of a matrix stored by rows is the upper one of its transpose


def factored(matrix: torch.Tensor) -> bool:
    """Write its lower factor over a symmetric matrix, zeros above; whether it is positive definite.

    Examples
    --------
    >>> matrix = torch.tensor([[4.0, 0.0], [2.0, 5.0]]).double()
    >>> factored(matrix), matrix.tolist()
    (True, [[2.0, 0.0], [1.0, 2.0]])
    """
    if matrix.device.type != "cpu":
        factor, failed = torch.linalg.cholesky_ex(matrix)
        matrix.copy_(factor)
        return not int(failed)
    return int(lapack.dpotrf(matrix.T.numpy(), lower=0, clean=1, overwrite_a=1)[1]) == 0


def solved(factor: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """The inverse times ``right`` (n,), from a lower factor.

    Examples
    --------
    >>> factor = torch.tensor([[2.0, 0.0], [1.0, 2.0]]).double()
    >>> solved(factor, torch.tensor([8.0, 4.0]).double()).tolist()
    [2.0, 0.0]
    """
    if factor.device.type != "cpu":
        return torch.cholesky_solve(right[:, None], factor)[:, 0]
    return torch.from_numpy(lapack.dpotrs(factor.T.numpy(), right.numpy(), lower=0)[0].reshape(-1))


def inverted(factor: torch.Tensor) -> torch.Tensor:
    """Write the lower triangle of the inverse over a lower factor.

    Examples
    --------
    >>> inverted(torch.tensor([[2.0, 0.0], [1.0, 2.0]]).double()).tolist()
    [[0.3125, 0.0], [-0.125, 0.25]]
    """
    if factor.device.type != "cpu":
        return factor.copy_(torch.cholesky_inverse(factor))
    lapack.dpotri(factor.T.numpy(), lower=0, overwrite_c=1)
    return factor
