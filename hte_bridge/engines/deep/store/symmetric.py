"""Cholesky factors, solutions and inverses of covariances that lie in torch tensors, by scipy's LAPACK on the CPU: the quicker of the two we have."""

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
    into.T.copy_(matrix)  # symmetric: its rows are its columns
    return int(lapack.dpotrf(into.numpy(), lower=1, clean=1, overwrite_a=1)[1]) == 0


def solved(factor: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """The inverse times ``right`` (n,), from a lower factor stored by columns.

    Examples
    --------
    >>> factor = torch.tensor([[2.0, 1.0], [0.0, 2.0]]).double().T
    >>> solved(factor, torch.tensor([8.0, 4.0]).double()).tolist()
    [2.0, 0.0]
    """
    if factor.device.type != "cpu":
        return torch.cholesky_solve(right[:, None], factor)[:, 0]
    return torch.from_numpy(lapack.dpotrs(factor.numpy(), right.numpy(), lower=1)[0].reshape(-1))


def inverted(factor: torch.Tensor, into: torch.Tensor) -> torch.Tensor:
    """The inverse, written ``into`` an array, from a lower factor stored by columns, which is written over.

    Examples
    --------
    >>> factor = torch.tensor([[2.0, 1.0], [0.0, 2.0]]).double().T
    >>> inverted(factor, torch.empty(2, 2, dtype=torch.float64)).tolist()
    [[0.3125, -0.125], [-0.125, 0.25]]
    """
    if factor.device.type != "cpu":
        return torch.cholesky_inverse(factor, out=into)
    lapack.dpotri(factor.numpy(), lower=1, overwrite_c=1)  # what is above the diagonal stays zero
    torch.add(factor, factor.T, out=into)
    into.diagonal().mul_(0.5)
    return into
