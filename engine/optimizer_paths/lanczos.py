"""The sharpest directions of a loss, and how its curvatures are spread, from products with the Hessian alone."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.optimizer_paths.task import Task

Product = Callable[[Tensor], Tensor]  # (k, size) -> (k, size)
MOST = 120  # Lanczos steps at the most


class Krylov(NamedTuple):
    """k runs of Lanczos's method: H seen in an orthonormal basis, where it is tridiagonal."""

    alpha: np.ndarray  # (k, m) the diagonal
    beta: np.ndarray  # (k, m) beside it; the last one is what the basis leaves out
    basis: Tensor  # (k, m, size)

    def ritz(self, run: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues (m,), rising, and eigenvectors (m, m), in columns, of one run's tridiagonal matrix."""
        beside = self.beta[run, :-1]
        return np.linalg.eigh(np.diag(self.alpha[run]) + np.diag(beside, 1) + np.diag(beside, -1))


def lanczos(product: Product, start: Tensor, most: int = MOST, tolerance: float = 0.0, count: int = 1) -> Krylov:
    """Lanczos's method with full re-orthogonalisation from every row of start: (k, size).

    It ends after `most` steps, or once the `count` largest Ritz values of the first run have residuals below
    `tolerance` times the largest of them.
    """
    k, size = start.shape
    most = min(most, size)
    basis, alpha, beta = start.new_zeros(k, most, size), np.zeros((k, most)), np.zeros((k, most))
    vector = start / start.norm(dim=1, keepdim=True)
    for i in range(most):
        basis[:, i] = vector
        image = product(vector)
        alpha[:, i] = (image * vector).sum(1).cpu().numpy()
        known = basis[:, : i + 1]
        for _ in range(2):  # twice is enough (Parlett, 1980)
            image = image - torch.bmm(torch.bmm(image[:, None], known.mT), known)[:, 0]
        length = image.norm(dim=1, keepdim=True)
        beta[:, i] = length[:, 0].cpu().numpy()
        so_far = Krylov(alpha[:, : i + 1], beta[:, : i + 1], known)
        if beta[:, i].max() <= 1e-7 * np.abs(alpha[:, : i + 1]).max() or _settled(so_far, tolerance, count):
            return so_far
        vector = image / length.clamp_min(1e-30)
    return Krylov(alpha, beta, basis)


def _settled(found: Krylov, tolerance: float, count: int) -> bool:
    m = found.alpha.shape[1]
    if not tolerance or m < 2 * count + 2 or m % 2:
        return False
    values, vectors = found.ritz()
    return bool((found.beta[0, -1] * np.abs(vectors[-1, -count:]) <= tolerance * abs(values[-1])).all())


def top(
    product: Product, size: int, count: int, rng: torch.Generator, *, like: Tensor, tolerance: float = 1e-4
) -> tuple[np.ndarray, Tensor]:
    """The `count` largest eigenvalues (count,), falling, and their unit vectors (count, size)."""
    return _leading(product, torch.randn(1, size, generator=rng).to(like), count, tolerance)


def _leading(product: Product, start: Tensor, count: int, tolerance: float) -> tuple[np.ndarray, Tensor]:
    found = lanczos(product, start, tolerance=tolerance, count=count)
    values, vectors = found.ritz()
    pick = torch.from_numpy(vectors[:, : -count - 1 : -1].T.copy()).to(start)
    return values[: -count - 1 : -1], pick @ found.basis[0]


def sharpness(task: Task, weights: Tensor, rng: torch.Generator, tolerance: float = 1e-3) -> float:
    """lambda_max of the Hessian at weights (1, size), to about 1e-6 of it.

    Lanczos in the precision of the weights finds the vector, from the gradient, which leans towards sharp directions,
    and a little noise. One forward pass in float64 then gives its Rayleigh quotient, whose error is the square of the
    vector's.
    """
    product, noise = task.curvature(weights), torch.randn(weights.shape, generator=rng).to(weights)
    slope = product.gradient
    start = slope / slope.norm().clamp_min(1e-30) + 0.1 * noise / noise.norm()
    unit = _leading(product, start, 1, tolerance)[1].double().cpu()
    fine = task.to(torch.float64, "cpu").bend(weights.double().cpu(), unit)
    return float(fine / unit.square().sum())


def density(found: Krylov, places: np.ndarray, width: float) -> np.ndarray:
    """Share of the eigenvalues per unit at places (p,): stochastic Lanczos quadrature (Ghorbani et al. 2019).

    Every Ritz value counts by the square of its vector's first entry, as a Gaussian bump of standard deviation
    `width`; mean over the runs.
    """
    total = np.zeros_like(places, dtype=float)
    for run in range(len(found.alpha)):
        values, vectors = found.ritz(run)
        bumps = np.exp(-0.5 * ((places[:, None] - values) / width) ** 2) / (width * np.sqrt(2 * np.pi))
        total += bumps @ vectors[0] ** 2
    return total / len(found.alpha)
