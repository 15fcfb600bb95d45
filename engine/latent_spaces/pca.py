"""Principal components: the directions in which examples vary most, and how much is lost with the others."""

from typing import NamedTuple

import torch
from torch import Tensor


class PCA(NamedTuple):
    """The k widest directions of n examples with d numbers each; names and scaling are scikit-learn's."""

    mean: Tensor  # (d,)
    components: Tensor  # (k, d) unit vectors, the widest first
    explained_variance: Tensor  # (k,) with n − 1 below
    explained_variance_ratio: Tensor  # (k,) share of the whole variance

    def encode(self, x: Tensor) -> Tensor:
        """Coordinates u_i·(x − mean): (n, d) -> (n, k)."""
        return (x.to(self.mean) - self.mean) @ self.components.T

    def decode(self, codes: Tensor) -> Tensor:
        """mean + Σ_i codes_i u_i: (n, k) -> (n, d)."""
        return self.mean + codes.to(self.mean) @ self.components


def pca(x: Tensor, n_components: int | None = None) -> PCA:
    """The principal components of x: (n, d), in float64, by its singular values (Pearson 1901; Eckart & Young 1936).

    Signs are chosen so that the largest entry of each component is positive. Raises ValueError unless
    1 ≤ n_components ≤ min(n, d), n ≥ 2 and x varies.
    """
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"Saw examples of shape {tuple(x.shape)}, expected (n, d) with n of 2 or more.")
    most = min(x.shape)
    k = most if n_components is None else n_components
    if not 1 <= k <= most:
        raise ValueError(f"Saw n_components = {k}, expected 1 to {most} for {len(x)} examples of {x.shape[1]} numbers.")
    x = x.double()
    mean = x.mean(0)
    values, rows = torch.linalg.svd(x - mean, full_matrices=False)[1:]
    variance = values.square() / (len(x) - 1)
    if float(variance.sum()) <= 1e-12 * float(x.square().mean()):
        raise ValueError("Saw examples that are all the same, expected some that differ.")
    sign = rows.gather(1, rows.abs().argmax(1, keepdim=True)).sign()
    return PCA(mean, (rows * sign)[:k], variance[:k], (variance / variance.sum())[:k])


def rank(x: Tensor) -> int:
    """In how many directions the rows of x: (n, d) vary, to the precision of float32."""
    if not len(x):
        return 0
    values = torch.linalg.svdvals(x.double() - x.double().mean(0))
    return int((values > 1e-6 * values.max().clamp_min(1e-12) * max(x.shape) ** 0.5).sum())


def principal_angles(a: Tensor, b: Tensor) -> Tensor:
    """Angles between the spans of the rows of a: (k, d) and b: (k, d), in radians, the smallest first: (k,) float64.

    From the sines, which are exact where the angles are small (Björck & Golub 1973).
    """
    a, b = (torch.linalg.qr(m.double().T)[0] for m in (a, b))
    cos = torch.linalg.svdvals(a.T @ b).clamp(0, 1)
    sin = torch.linalg.svdvals(b - a @ (a.T @ b)).clamp(0, 1).flip(0)
    return torch.where(cos > 0.7, torch.arcsin(sin), torch.arccos(cos))
