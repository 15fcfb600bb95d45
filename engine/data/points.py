"""Points in the plane whose density and score are known exactly, because every set is a mixture of Gaussians."""

import base64
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from engine.data.upload import MOST, read_csv, standardise
from engine.device import DEVICE

__all__ = [
    "Mixture", "SETS", "mixture", "encode", "check_code", "decode", "drawn", "read_csv", "standardise",
]  # fmt: skip

EDGE = 3.0  # a drawing lies in [-EDGE, EDGE]²


@dataclass(frozen=True, eq=False)
class Mixture:
    """Σ_k weights[k] · N(centres[k], std[k]² I): a density of the plane, exact at every noise level.

    centres: (k, 2), weights: (k,) positive with sum 1, std: (k,) positive; all float64 on the CPU.
    Every method takes x: (..., 2) in float32 or float64, and answers on its device in its dtype.
    Raises ValueError when the three do not fit each other.
    """

    centres: Tensor
    weights: Tensor
    std: Tensor

    def __post_init__(self) -> None:
        k = self.centres.shape[0]
        if k == 0 or self.centres.shape != (k, 2) or not self.weights.shape == self.std.shape == (k,):
            seen = [tuple(t.shape) for t in (self.centres, self.weights, self.std)]
            raise ValueError(f"Saw centres, weights and std of shapes {seen}, expected (k, 2), (k,) and (k,), k ≥ 1.")
        if not (bool((self.weights > 0).all()) and abs(float(self.weights.sum()) - 1) < 1e-9):
            raise ValueError(
                f"Saw weights with sum {float(self.weights.sum()):.6g}, expected positive ones with sum 1."
            )
        if not bool((self.std > 0).all()):
            raise ValueError(f"Saw a smallest std of {float(self.std.min()):.6g}, expected it above 0.")

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n independent draws: (n, 2) float32 on DEVICE, drawn by a CPU generator."""
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
        return (self.centres[k] + self.std[k, None] * noise).float().to(DEVICE)

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x), in nats: (..., 2) -> (...)."""
        least = 0.5 / float(self.std.max()) ** 2
        logits = self._logits(x)
        top = logits.amax(-1, keepdim=True)
        parts = (logits - top).clamp(min=-60).exp()  # below that they are nothing, and denormal numbers are slow
        return parts.sum(-1).log() + top[..., 0] - least * x.square().sum(-1)

    def score(self, x: Tensor) -> Tensor:
        """∇ log p(x) = Σ_k p(k | x) (centres[k] − x) / std[k]²: (..., 2) -> (..., 2)."""
        pull = self._posterior(x) @ _like(self._pull, x)
        return pull[..., :2] - x * pull[..., 2:]

    def noised(self, scale: float, std: float) -> "Mixture":
        """The law of scale · x0 + std · ε, with ε ~ N(0, I): again a mixture (scale may be 0 when std is not)."""
        return Mixture(scale * self.centres, self.weights, torch.sqrt((scale * self.std) ** 2 + std**2))

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        """E[x0 | x0 + sigma · ε = x]: (..., 2) -> (..., 2), equal to x + sigma² · noised(1, sigma).score(x)."""
        noisy = self.noised(1.0, sigma)
        keep = (self.std / noisy.std) ** 2  # the share of x that component k keeps
        mean = torch.cat([(1 - keep)[:, None] * self.centres, keep[:, None]], 1)
        mean = noisy._posterior(x) @ _like(mean, x)
        return mean[..., :2] + x * mean[..., 2:]

    @cached_property
    def _affine(self) -> Tensor:
        """(4, k): log weights[k] N(x; k) = [x, |x|², 1] @ it − |x|² / (2 max std²), with no large terms to cancel."""
        precision = self.std**-2
        size = self.centres.square().sum(1)
        level = self.weights.log() - torch.log(2 * math.pi * self.std**2) - 0.5 * precision * size
        curvature = 0.5 * (precision.min() - precision)
        return torch.cat([precision * self.centres.T, curvature[None], level[None]])

    @cached_property
    def _pull(self) -> Tensor:
        """(k, 3): each centre over its variance, and one over its variance."""
        return torch.cat([self.centres, torch.ones_like(self.std)[:, None]], 1) / self.std[:, None] ** 2

    def _logits(self, x: Tensor) -> Tensor:
        affine = _like(self._affine, x)
        logits = x @ affine[:2] + affine[3]
        return logits + x.square().sum(-1, keepdim=True) * affine[2] if bool(self._affine[2].any()) else logits

    def _posterior(self, x: Tensor) -> Tensor:
        """p(k | x): (..., k); what is below e^-60 of the largest is kept there, as denormal numbers are slow."""
        logits = self._logits(x)
        return torch.softmax(torch.maximum(logits, logits.amax(-1, keepdim=True) - 60), -1)


def _like(constant: Tensor, x: Tensor) -> Tensor:
    return constant.to(x.dtype).to(x.device)


# --- the sets ---------------------------------------------------------------------------------------------------


def _scaled(centres: Tensor, std: float, weights: Tensor | None = None) -> Mixture:
    """The mixture moved to mean 0 and scaled to a pooled standard deviation of 1 per axis."""
    k = len(centres)
    weights = torch.full((k,), 1 / k, dtype=torch.float64) if weights is None else weights / weights.sum()
    centres = centres - weights @ centres
    size = math.sqrt(float(weights @ centres.square().sum(1)) / 2 + std**2)
    return Mixture(centres / size, weights, torch.full((k,), std / size, dtype=torch.float64))


def _steps(low: float, high: float, n: int) -> Tensor:
    """The middles of n equal steps from low to high: (n,) float64."""
    return low + (high - low) * (torch.arange(n, dtype=torch.float64) + 0.5) / n


def _polar(radius: Tensor | float, angle: Tensor) -> Tensor:
    return torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], -1)


@cache
def moons() -> Mixture:
    """Two interleaved half circles."""
    arc = _polar(1.0, _steps(0, math.pi, 96))
    return _scaled(torch.cat([arc, torch.tensor([1.0, 0.5]) - arc]), 0.06)


@cache
def swiss_roll() -> Mixture:
    """A rolled-up line, one and a half turns; denser where it is tighter."""
    angle = _steps(1.5 * math.pi, 4.5 * math.pi, 256)
    return _scaled(_polar(angle, angle), 0.35)


@cache
def eight_gaussians() -> Mixture:
    """Eight equal blobs on a ring."""
    return _scaled(_polar(1.0, torch.arange(8, dtype=torch.float64) * math.pi / 4), 0.07)


@cache
def twentyfive_gaussians() -> Mixture:
    """A five by five grid of equal blobs."""
    line = torch.arange(-2, 3, dtype=torch.float64)
    return _scaled(torch.cartesian_prod(line, line), 0.1)


@cache
def checkerboard() -> Mixture:
    """The eight dark squares of a four by four board."""
    cell = torch.cartesian_prod(_steps(0, 1, 8), _steps(0, 1, 8))
    corners = [(i, j) for i in range(4) for j in range(4) if (i + j) % 2 == 0]
    return _scaled(torch.cat([cell + torch.tensor(corner, dtype=torch.float64) for corner in corners]), 0.085)


@cache
def circles() -> Mixture:
    """Two concentric circles, half of the mass on each."""
    inner, outer = _polar(0.45, _steps(0, 2 * math.pi, 96)), _polar(1.0, _steps(0, 2 * math.pi, 96))
    return _scaled(torch.cat([inner, outer]), 0.05)


@cache
def pinwheel() -> Mixture:
    """Five bent arms, thickest in their middle."""
    radius = _steps(0.25, 1.75, 48)
    arms = [_polar(radius, 0.5 * torch.exp(radius) + 0.4 * math.pi * arm) for arm in range(5)]
    weights = torch.exp(-0.5 * ((radius - 1) / 0.35) ** 2) * (0.4 + radius)
    return _scaled(torch.cat(arms), 0.07, weights.repeat(5))


@cache
def spiral() -> Mixture:
    """Two arms that wind around each other, evenly filled along their length."""
    angle = 3 * math.pi * _steps(0.003, 1, 160).sqrt()
    arm = _polar(angle, angle)
    return _scaled(torch.cat([arm, -arm]), 0.3)


SETS: dict[str, Callable[[], Mixture]] = {
    "moons": moons,
    "swiss_roll": swiss_roll,
    "eight_gaussians": eight_gaussians,
    "twentyfive_gaussians": twentyfive_gaussians,
    "checkerboard": checkerboard,
    "circles": circles,
    "pinwheel": pinwheel,
    "spiral": spiral,
}


def mixture(name: str, code: str = "") -> Mixture:
    """The set of that name; "yours" is the one that code spells. Raises ValueError for any other name."""
    if name == "yours":
        return drawn(code)
    if name not in SETS:
        raise ValueError(f"Saw a point set called {name!r}, expected one of {', '.join(SETS)} or yours.")
    return SETS[name]()


# --- the visitor's own points -----------------------------------------------------------------------------------


def encode(points: np.ndarray) -> str:
    """(n, 2) points as URL-safe text: 4 characters a point, 12 bits a coordinate (steps of 0.0015).

    Points beyond [-3, 3] go to the edge; of more than 512 points, 512 evenly spaced in their order are kept.
    Raises ValueError unless points are (n, 2) and finite.
    """
    points = np.asarray(points, dtype=np.float64).reshape(-1, 2) if np.size(points) == 0 else np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"Saw points of shape {points.shape}, expected (n, 2) and every coordinate finite.")
    if len(points) > MOST:
        points = points[np.linspace(0, len(points) - 1, MOST).round().astype(int)]
    cells = np.rint((np.clip(points, -EDGE, EDGE) + EDGE) * (4095 / (2 * EDGE))).astype(np.int64)
    packed = cells[:, 0] << 12 | cells[:, 1]
    data = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], 1).astype(np.uint8)
    return base64.urlsafe_b64encode(data.tobytes()).decode()


def check_code(code: str) -> str:
    """The code itself (the empty one too). Raises ValueError with a sentence when it spells no drawing."""
    odd = re.search(r"[^A-Za-z0-9_-]", code)
    if odd:
        raise ValueError(f"Saw {odd[0]!r} in the code of a drawing, expected only letters, digits, - and _.")
    if len(code) % 4 or len(code) > 4 * MOST:
        raise ValueError(
            f"Saw a drawing's code of {len(code)} characters, expected 4 for each point and at most {MOST} points."
        )
    return code


def decode(code: str) -> np.ndarray:
    """The points that a code spells: (n, 2) float64 in [-3, 3]. Raises ValueError like check_code."""
    data = np.frombuffer(base64.urlsafe_b64decode(check_code(code)), np.uint8).reshape(-1, 3).astype(np.int64)
    packed = data[:, 0] << 16 | data[:, 1] << 8 | data[:, 2]
    return np.stack([packed >> 12, packed & 4095], 1) * (2 * EDGE / 4095) - EDGE


@lru_cache(maxsize=64)
def drawn(code: str) -> Mixture:
    """A mixture with a component at each point of the drawing, kept where it was drawn.

    Its std is 0.7 of the median distance to the second-nearest other place, between 0.04 and 0.15.
    Raises ValueError for an empty drawing, or like check_code.
    """
    points = decode(code)
    if len(points) == 0:
        raise ValueError("Saw an empty drawing, expected at least one point: draw on the picture or upload a CSV.")
    places, counts = np.unique(points, axis=0, return_counts=True)
    centres = torch.from_numpy(places)
    gaps = torch.cdist(centres, centres).sort(1).values[:, 1:3]
    std = min(max(0.7 * float(gaps[:, -1].median()), 0.04), 0.15) if len(places) > 1 else 0.15
    weights = torch.from_numpy(counts / counts.sum())
    return Mixture(centres, weights, torch.full((len(places),), std, dtype=torch.float64))
