"""Double-precision products, factors and roots of large matrices: by BLAS and LAPACK, or by torch on a CUDA device with the memory.

Both give the same numbers to rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import linalg

from hte_bridge.arrays import Array
from hte_bridge.errors import DidNotConverge

SMALL = 512  # columns up to which a matrix is not worth its way to the device
SHIFTS = (0.0, 1e-12, 1e-10)  # of a unit diagonal, tried in turn where rounding left a matrix indefinite
SINGULAR = (
    "The Gram matrix of the last layer must be positive definite. It is singular even after a shift of "
    "1e-10. Drop covariates that repeat one another, or rescale the outcome."
)


def with_room(device: str, columns: int, copies: int) -> str:
    """The device, or the CPU where so many square matrices would not fit there or are too small to gain."""
    if device == "cpu" or columns <= SMALL:
        return "cpu"
    free, _ = torch.cuda.mem_get_info()
    return device if copies * 8 * columns**2 < free else "cpu"


def product(left: Array, right: Array, device: str = "cpu") -> Array:
    """``left @ right``."""
    if device == "cpu" or min(*left.shape, right.shape[1]) <= SMALL // 4:
        return np.asarray(left @ right)
    there = torch.as_tensor(left, device=device) @ torch.as_tensor(right, device=device)
    return np.asarray(there.cpu().numpy())


def eigen(matrix: Array, device: str = "cpu") -> tuple[Array, Array]:
    """Eigenvalues (n,), ascending, and eigenvectors (n, n) of a symmetric matrix."""
    if with_room(device, len(matrix), 5) == "cpu":
        try:
            values, vectors = np.linalg.eigh(matrix)
        except np.linalg.LinAlgError:
            # divide and conquer may fail on a sound matrix (seen at 825 columns); this driver is slower
            values, vectors = linalg.eigh(matrix, driver="evr")
        return values, vectors
    there = torch.linalg.eigh(torch.as_tensor(matrix, device=device))
    return there[0].cpu().numpy(), there[1].cpu().numpy()


def leading(matrix: Array, mass: float) -> Array:
    """Eigenvectors (n, r) of a positive semidefinite matrix, those of the largest eigenvalues, that hold this share of its trace."""
    values, vectors = eigen(matrix)
    held = np.cumsum(values[::-1])
    count = int(np.searchsorted(held, mass * held[-1])) + 1
    return np.ascontiguousarray(vectors[:, ::-1][:, :count])


def factor(gram: Array, precision: Array, noise: float, device: str = "cpu") -> Factor:
    """Factor ``gram / noise + diag(precision)``, at need after a shift of up to 1e-10 of the diagonal.

    Raises
    ------
    DidNotConverge
        If the matrix is not positive definite even then.
    """
    size = np.sqrt(np.maximum(gram.diagonal() / noise + precision, 1e-300))
    if with_room(device, len(gram), 4) == "cpu":
        return HostFactor.of(gram, size, noise)
    return DeviceFactor.of(gram, size, noise, device)


@dataclass(frozen=True, eq=False)
class HostFactor:
    """Cholesky factor of ``A = gram / noise + diag(precision)``, made without scale: ``A = S U'U S`` with S diagonal; by LAPACK.

    Parameters
    ----------
    upper : array (P, P)
        U, zero below its diagonal.
    size : array (P,)
        The diagonal of S.
    """

    upper: Array
    size: Array

    @classmethod
    def of(cls, gram: Array, size: Array, noise: float) -> HostFactor:
        """Factor the matrix whose diagonal is ``size`` squared."""
        for shift in SHIFTS:
            matrix = gram / (noise * size)
            matrix /= size[:, None]
            matrix[np.diag_indices_from(matrix)] = 1.0 + shift
            upper, status = linalg.lapack.dpotrf(matrix.T, lower=0, overwrite_a=1)  # symmetric: .T is no copy
            if status == 0:
                return cls(upper, size)
        raise DidNotConverge(SINGULAR)

    def log_determinant(self) -> float:
        """Of A."""
        return 2 * float(np.log(self.upper.diagonal()).sum() + np.log(self.size).sum())

    def solve(self, right: Array) -> Array:
        """``inv(A) @ right`` for a vector."""
        if not len(right):  # every block may have been set aside
            return np.zeros(0)
        found = linalg.lapack.dpotrs(self.upper, right / self.size, lower=0)[0]
        return np.asarray(np.reshape(found, -1) / self.size)

    def inverse_diagonal(self) -> Array:
        """Diagonal of ``inv(A)``, for two thirds of the work of all of it."""
        if not len(self.size):  # LAPACK would complain on the screen
            return np.zeros(0)
        root, _ = linalg.lapack.dtrtri(self.upper, lower=0)
        return np.asarray(np.einsum("ij,ij->i", root, root) / self.size**2)

    def inverse(self) -> Array:
        """``inv(A)``."""
        if not len(self.size):
            return np.zeros((0, 0))
        inverse, _ = linalg.lapack.dpotri(self.upper, lower=0)
        full = inverse + inverse.T  # what lies below the diagonal of `inverse` is zero
        full[np.diag_indices_from(full)] = inverse.diagonal()
        full /= self.size
        full /= self.size[:, None]
        return np.asarray(full)


@dataclass(frozen=True, eq=False)
class DeviceFactor:
    """The same by torch on a device; arrays come from and go to the CPU.

    Parameters
    ----------
    lower : tensor (P, P)
        U transposed.
    size : tensor (P,)
        The diagonal of S.
    """

    lower: torch.Tensor
    size: torch.Tensor

    @classmethod
    def of(cls, gram: Array, size: Array, noise: float, device: str) -> DeviceFactor:
        """Factor the matrix whose diagonal is ``size`` squared."""
        scale = torch.as_tensor(size, device=device)
        matrix = torch.as_tensor(gram, device=device) / (noise * scale)
        matrix /= scale[:, None]
        for shift in SHIFTS:
            matrix.diagonal().fill_(1.0 + shift)
            lower, failed = torch.linalg.cholesky_ex(matrix)
            if not int(failed):
                return cls(lower, scale)
        raise DidNotConverge(SINGULAR)

    def log_determinant(self) -> float:
        """Of A."""
        return 2 * float(torch.log(self.lower.diagonal()).sum() + torch.log(self.size).sum())

    def solve(self, right: Array) -> Array:
        """``inv(A) @ right`` for a vector."""
        scaled = torch.as_tensor(right, device=self.size.device) / self.size
        found = torch.cholesky_solve(scaled[:, None], self.lower)[:, 0] / self.size
        return np.asarray(found.cpu().numpy())

    def inverse_diagonal(self) -> Array:
        """Diagonal of ``inv(A)``."""
        one = torch.eye(len(self.size), dtype=self.lower.dtype, device=self.lower.device)
        root = torch.linalg.solve_triangular(self.lower, one, upper=False)
        return np.asarray((root.square_().sum(0) / self.size**2).cpu().numpy())

    def inverse(self) -> Array:
        """``inv(A)``."""
        full = torch.cholesky_inverse(self.lower)
        full /= self.size
        full /= self.size[:, None]
        return np.asarray(full.cpu().numpy())


Factor = HostFactor | DeviceFactor
