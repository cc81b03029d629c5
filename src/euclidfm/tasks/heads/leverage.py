"""Leave-one-out by leverages, without the difference of two numbers near one.

A ridge with penalty a gives galaxy i the leverage h_i; its leave-one-out residual is r_i / (1 - h_i). With no
more galaxies than features and a small penalty, both r_i and 1 - h_i are tiny. As differences they would be
rounding errors. Here they are sums of two parts: what the penalty leaves of each direction (a / (v + a) for
an eigenvalue v), and what lies outside the span of the features.

Shapes: n galaxies, m features, k directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh, qr, svd

__all__ = ["NEAR_ONE", "Directions", "unexplained"]

NEAR_ONE = 1e-3
"""Below this, 1 - h is computed without a difference."""


@dataclass
class Directions:
    """Left singular vectors of centred, weighted features, and what lies outside their span.

    Attributes
    ----------
    values : (k,) array
        Eigenvalues of the scatter matrix, all positive.
    U : (n, k) array
        Orthonormal, and orthogonal to the constant.
    outside : (n,) array
        Share of each galaxy's unit vector outside the span of `U` and the constant.
    basis : (n, k + 1) array
        The constant and `U`.
    """

    values: np.ndarray
    U: np.ndarray
    outside: np.ndarray
    basis: np.ndarray

    @classmethod
    def of(cls, A: np.ndarray, constant: np.ndarray) -> Directions:
        """Decompose (n, m) weighted features, given the (n,) unit vector along which they have no part."""
        return cls._of(*_singular(_reflected(A, constant)[1:]), constant)

    @classmethod
    def of_gram(cls, K: np.ndarray) -> Directions:
        """Decompose the (n, n) products of centred features with one another, without weights.

        Faster than `of` for many sums of the same blocks. Penalties must be above the rounding errors of the
        largest eigenvalue.
        """
        n = len(K)
        constant = np.full(n, 1.0 / np.sqrt(n))
        once = _reflected(K, constant)
        values, V = eigh(_reflected(once.T, constant)[1:, 1:], check_finite=False)
        keep = values > n * np.finfo(float).eps * max(values[-1], 0.0)
        return cls._of(values[keep], V[:, keep], constant)

    @classmethod
    def _of(cls, values: np.ndarray, inner: np.ndarray, constant: np.ndarray) -> Directions:
        U = _reflected(np.concatenate([np.zeros((1, inner.shape[1])), inner]), constant)
        basis = np.concatenate([constant[:, None], U], axis=1)
        return cls(values, U, _outside(basis), basis)

    def residuals(self, target: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        """(n,) residuals of a ridge, and (n,) values of 1 - h; the target has no part along the constant."""
        left = penalty / (self.values + penalty)
        share = self.outside + (self.U**2) @ left
        return self.U @ (left * (self.U.T @ target)) + self._beyond(target), share

    def _beyond(self, target: np.ndarray) -> np.ndarray:
        """Part of the target outside the span, projected twice ("twice is enough", Parlett 1980)."""
        if self.basis.shape[1] >= len(target):
            return np.zeros(len(target))
        for _ in range(2):
            target = target - self.basis @ (self.basis.T @ target)
        return target


def _reflected(M: np.ndarray, constant: np.ndarray) -> np.ndarray:
    """Householder's reflection that makes the constant the first axis, which is then left out."""
    mirror = constant.copy()
    mirror[0] += 1.0
    mirror /= np.linalg.norm(mirror)
    return M - 2.0 * np.outer(mirror, mirror @ M)


def unexplained(B: np.ndarray) -> np.ndarray:
    """(n,) diagonal of ``1 - B (B'B + 1)^-1 B'``; B are (n, m) features over the roots of their penalties."""
    values, U = _singular(B)
    return np.asarray(_outside(U) + (U**2) @ (1.0 / (values + 1.0)))


def _singular(A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(k,) squared singular values above rounding, and their (n, k) left vectors."""
    n, m = A.shape
    if not n or not m:
        return np.empty(0), np.empty((n, 0))
    if n < m:  # a triangle of n rows instead of the wide matrix
        A = qr(A.T, mode="r", check_finite=False)[0][:n].T
    U, s, _ = svd(A, full_matrices=False, check_finite=False)
    keep = s > max(n, m) * np.finfo(float).eps * s[0]
    return s[keep] ** 2, U[:, keep]


def _outside(basis: np.ndarray) -> np.ndarray:
    """(n,) squared length of each unit vector's part outside the span of an (n, k) orthonormal basis."""
    n, k = basis.shape
    if k >= n:
        return np.zeros(n)
    share = 1.0 - (basis**2).sum(axis=1)
    rows = np.flatnonzero(share < NEAR_ONE)
    parts = np.zeros((n, len(rows)))
    parts[rows, np.arange(len(rows))] = 1.0
    for _ in range(2):
        parts -= basis @ (basis.T @ parts)
    share[rows] = (parts**2).sum(axis=0)
    return np.asarray(share)
