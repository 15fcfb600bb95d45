"""The statements of the sheet on gradients, Hessians and how far a step may go, put to the test."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.autograd.functional import hessian

from engine.claim import Evidence, claim
from engine.device import generator
from engine.optimizer_paths import rates
from engine.optimizer_paths.problems import Problem, problem

PLACES = 200  # random places at which a flip is looked for


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def bends(loss: Callable[[Tensor], Tensor], w: Tensor) -> Tensor:
    """Second derivatives by autograd: (d,) -> (d, d)"""
    found = hessian(loss, w)
    assert isinstance(found, Tensor)  # of one tensor it is one
    return found


def least_squares() -> tuple[Tensor, Tensor, Tensor]:
    """Features (5, 5), square so that the printed form has a meaning, targets (5,) and weights (5,)."""
    return drawn(5, 5), drawn(5, seed=1), drawn(5, seed=2)


def half_square(phi: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
    """w -> |Phi w - y|^2 / 2"""
    return lambda w: ((phi @ w - y) ** 2).sum() / 2


def slope(loss: Callable[[Tensor], Tensor], w: Tensor) -> Tensor:
    """The gradient by autograd."""
    at = w.clone().requires_grad_(True)
    return torch.autograd.grad(loss(at), at)[0]


def apart(a: Tensor, b: Tensor) -> float:
    """|a - b| / |b|"""
    return float((a - b).norm() / b.norm())


@claim("GD-1")
def gradient_of_least_squares() -> Evidence:
    """Autograd of half the squared error against ΦᵀΦw − Φᵀy, for the loss in correct form and for the printed one."""
    phi, y, w = least_squares()
    formula = phi.T @ (phi @ w) - phi.T @ y
    gap = apart(slope(half_square(phi, y), w), formula)
    printed = apart(slope(half_square(phi.T, y), w), formula)
    numbers = {"relative gap of autograd and ΦᵀΦw − Φᵀy": gap, "the same with the loss as printed": printed}
    return Evidence(gap < 1e-10 and printed > 0.1, numbers)


@claim("GD-2")
def the_bracket_is_the_gradient() -> Evidence:
    """A step with ΦᵀΦw − Φᵀy against one by autograd; then what ∇ of that bracket, as printed, is."""
    phi, y, w = least_squares()
    bracket = lambda at: phi.T @ (phi @ at) - phi.T @ y  # noqa: E731
    step = w - 0.01 * bracket(w)
    gap = apart(step, w - 0.01 * slope(half_square(phi, y), w))
    printed = torch.autograd.functional.jacobian(bracket, w)
    constant = apart(torch.autograd.functional.jacobian(bracket, w + 1), printed)
    numbers = {
        "relative gap of the two steps": gap,
        "numbers in w": w.numel(),
        "numbers in ∇(bracket) as printed: the Hessian": printed.numel(),
        "how far that changes with w": constant,
    }
    return Evidence(gap < 1e-12 and printed.numel() == w.numel() ** 2 and constant < 1e-12, numbers)


@claim("GD-3")
def second_derivatives() -> Evidence:
    """Autograd's second derivatives of half the squared error against ΦᵀΦ, and the product of first ones."""
    phi, y, w = least_squares()
    gap = apart(bends(half_square(phi, y), w), phi.T @ phi)
    g = slope(half_square(phi, y), w)
    printed = apart(torch.outer(g, g), phi.T @ phi)
    numbers = {"relative gap of ∂²L and ΦᵀΦ": gap, "the same for ∂L ∂L, as printed": printed}
    return Evidence(gap < 1e-10 and printed > 0.1, numbers)


@claim("GD-4")
def when_the_hessian_rests() -> Evidence:
    """How much the Hessian changes from one place to another: with a linear model, and with a small tanh network."""
    phi, y, w = least_squares()
    linear = apart(bends(half_square(phi, y), w + 1), bends(half_square(phi, y), w))
    network = lambda at: ((torch.tanh(phi @ at[:20].reshape(5, 4)) @ at[20:] - y) ** 2).sum() / 2  # noqa: E731
    at = drawn(24, seed=3)
    curved = apart(bends(network, at - 0.1 * slope(network, at)), bends(network, at))
    numbers = {"change of H, linear model": linear, "change of H over one step, network": curved}
    return Evidence(linear < 1e-12 and curved > 0.1, numbers)


@claim("GD-5")
def expansion_of_a_step() -> Evidence:
    """L(w − εg) against L − εgᵀg + ε²gᵀHg/2 on a quadratic, for step sizes from 0.001 to 10."""
    phi, y, w = least_squares()
    loss, h = half_square(phi, y), phi.T @ phi
    g = slope(loss, w)
    gaps = []
    for size in (1e-3, 0.1, 1.0, 10.0):
        second = loss(w) - size * g @ g + size**2 / 2 * g @ h @ g
        gaps.append(float(abs(loss(w - size * g) - second) / abs(second)))
    return Evidence(max(gaps) < 1e-12, {"largest relative gap": max(gaps)})


@claim("GD-6")
def how_far_a_step_may_go() -> Evidence:
    """The loss of a quadratic just below and just above ε = 2gᵀg/(gᵀHg), and along half that step, at 200 places."""
    phi, y, _ = least_squares()
    loss, h = half_square(phi, y), phi.T @ phi
    flips, least = 0, 0
    for w in drawn(PLACES, 5, seed=4):
        g = slope(loss, w)
        limit = 2 * g @ g / (g @ h @ g)
        at = lambda share, w=w, g=g, limit=limit: float(loss(w - share * limit * g))  # noqa: E731
        flips += at(0.999) < float(loss(w)) < at(1.001)
        least += at(0.5) < min(at(0.499), at(0.501))
    numbers = {
        "places of 200 where the loss flips": 1.0 * flips,
        "places of 200 where half the limit is best": 1.0 * least,
    }
    return Evidence(flips == least == PLACES, numbers)


@claim("GD-7")
def the_largest_stable_step() -> Evidence:
    """The step size at which descent on a quadratic begins to run away, found by halving; and at it, no decrease."""
    curvatures, low, high = np.geomspace(0.01, 1.0, 10), 1.0, 3.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if _runs_away(curvatures, middle) else (middle, high)
    threshold = (low + high) / 4
    edge = np.zeros(10) + (curvatures == 1.0)
    size = [float((curvatures * x * x).sum() / 2) for x in (edge, edge * (1 - 2.0 * curvatures))]
    numbers = {"threshold × β / 2": threshold, "loss after a step of 2/β, from 0.5": size[1]}
    return Evidence(abs(threshold - 1) < 1e-5 and size[1] == size[0], numbers)


def _runs_away(curvatures: np.ndarray, size: float, steps: int = 4_000_000) -> bool:
    """Whether the error along some axis grows over many steps: |1 − εc|^steps, in logarithms."""
    return bool((steps * np.log(np.maximum(abs(1 - size * curvatures), 1e-300))).max() > 0)


def _gradients(p: Problem, distance: float, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Squared gradients of a descent with step 1/β, their running least, and the bound: (steps,) each."""
    x = rates.start(p, distance, 0)
    squared = rates.race(p, x, 1.0, steps).squared[:-1]
    return squared, np.minimum.accumulate(squared), rates.bounds(p, x, 1.0, steps).gradient


@claim("GD-8")
def rate_of_the_gradient() -> Evidence:
    """The least squared gradient of 3000 steps against its bound on five functions, and its slope on an endless one."""
    steps, shares = 3000, []
    for name in ("quadratic", "chain", "wavy", "corner", "tail"):
        _, least, bound = _gradients(problem(name, 100.0), 2.0, steps)
        shares.append(float((least / bound).max()))
    squared, _, _ = _gradients(problem("tail", 100.0), 2.0, steps)
    t = np.arange(1, steps + 1.0)
    order = float(np.polyfit(np.log(t[300:]), np.log(squared[300:]), 1)[0])
    growth = float(np.sqrt(squared[-1]) * t[-1] / (np.sqrt(squared[299]) * t[299]))
    numbers = {
        "largest share of the bound used": max(shares),
        "slope of ‖g‖² over t on the endless function": order,
        "growth of t‖g‖ from t = 300 to 3000; bounded as printed": growth,
    }
    return Evidence(max(shares) <= 1 and abs(order + 1) < 0.1 and growth > 2, numbers)


@claim("GD-9")
def steps_to_a_small_gradient() -> Evidence:
    """The first step with ‖g‖² ≤ δ against the bound, for five functions and thresholds δ from a tenth to 1e-4."""
    slack = np.inf
    for name in ("quadratic", "chain", "wavy", "corner", "tail"):
        p = problem(name, 100.0)
        x = rates.start(p, 2.0, 0)
        squared = rates.race(p, x, 1.0, 3000).squared
        for delta in np.geomspace(0.1, 1e-4, 7) * squared[0]:
            hit = np.flatnonzero(squared <= delta)
            if len(hit):
                slack = min(slack, rates.hitting_bound(p, x, 1.0, float(delta)) / max(1, int(hit[0])))
    return Evidence(slack >= 1, {"least bound / steps needed": float(slack)})
