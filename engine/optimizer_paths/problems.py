"""Functions of which everything is known that a rate asks for: smoothness, convexity, PL, the minimum."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

CHAIN, AXES, TAIL = 100, 10, 0.1  # links of the chain, dimensions of the quadratic, power of the tail


def still(budget: float) -> float:
    """Nowhere beyond the start."""
    return 0.0


@dataclass(frozen=True, eq=False)
class Problem:
    """A function with its greatest lower bound, 0, at 0 (or far away), and what is known of it."""

    title: str
    dimensions: int
    loss: Callable[[np.ndarray], np.ndarray]  # L - L*, (..., d) -> (...)
    gradient: Callable[[np.ndarray], np.ndarray]  # (..., d) -> (..., d)
    beta: float  # the gradient is beta-Lipschitz
    pl: float = 0.0  # |g|^2 >= 2 pl (L - L*) everywhere; 0 where there is no such number
    convex: bool = False
    ray: np.ndarray | None = None  # the direction of the start, where it is not drawn
    drift: Callable[[float], float] = still  # how far away a run may come, from s * steps
    floor: Callable[[np.ndarray, float], np.ndarray] | None = None  # lower bound from t and |x0 - x*|^2


def quadratic(condition: float) -> Problem:
    """Half the sum of c_i x_i^2, ten curvatures c_i from 1 / condition to 1."""
    along = np.geomspace(1 / condition, 1, AXES)
    return Problem(
        "quadratic", AXES, lambda x: (along * x * x).sum(-1) / 2, lambda x: along * x, 1.0, 1 / condition, True
    )


def stretch(x: np.ndarray) -> np.ndarray:
    """A x / 4 with A = tridiag(-1, 2, -1): (..., d) -> (..., d)."""
    out = 2 * x
    out[..., 1:] -= x[..., :-1]
    out[..., :-1] -= x[..., 1:]
    return out / 4


def chain_floor(t: np.ndarray, apart: float) -> np.ndarray:
    """No method whose places are the start plus a sum of gradients is lower after t steps (Nesterov, 2004, 2.1.2).

    For Nesterov's own scale it is (1/(t + 1) - 1/(n + 1)) / 8; it grows with the squared distance of the start.
    """
    n = CHAIN
    own = n * (2 * n + 1) / (6 * (n + 1))  # |x0 - x*|^2 in that scale
    return np.maximum(1 / (t + 1) - 1 / (n + 1), 0) / 8 * apart / own


def chain(condition: float) -> Problem:
    """Nesterov's worst function, a chain of links: x'A x / 8, from the start from which news travels a link a step."""
    least = math.sin(math.pi / (2 * (CHAIN + 1))) ** 2  # the smallest eigenvalue of A / 4
    ray = -(1 - np.arange(1, CHAIN + 1) / (CHAIN + 1))
    return Problem(
        "chain, the worst case", CHAIN, lambda x: (x * stretch(x)).sum(-1) / 2, stretch, 1.0, least, True,
        ray / np.linalg.norm(ray), floor=chain_floor,
    )  # fmt: skip


def wavy(condition: float) -> Problem:
    """x^2 + 3 sin^2 x: not convex and yet PL (Karimi, Nutini and Schmidt, 2016, with mu = 1/32).

    The least of f'^2 / 2f is 0.1755, at x = 1.91; beyond |x| = 4 it is at least (2|x| - 3)^2 / (2 x^2 + 6) > 0.6.
    """
    return Problem(
        "wavy: PL, not convex", 1, lambda x: (x**2 + 3 * np.sin(x) ** 2).sum(-1), lambda x: 2 * x + 3 * np.sin(2 * x),
        8.0, 0.175, ray=np.ones(1),
    )  # fmt: skip


def corner(condition: float) -> Problem:
    """Huber's function, x^2 / 2 as far as 1 and |x| - 1/2 beyond (Huber, 1964): convex, not PL."""

    def loss(x: np.ndarray) -> np.ndarray:
        far = np.abs(x)
        return np.where(far <= 1, far**2 / 2, far - 0.5).sum(-1)

    return Problem("slope with a round bottom", 1, loss, lambda x: np.clip(x, -1, 1), 1.0, 0.0, True, np.ones(1))


def tail(condition: float) -> Problem:
    """(1 + x^2)^(-1/20): falls towards 0 for ever and has no minimum, is neither convex nor PL."""

    def slope(x: np.ndarray) -> np.ndarray:
        return -TAIL * x * (1 + x**2) ** (-TAIL / 2 - 1)

    return Problem(
        "endless slope", 1, lambda x: ((1 + x**2) ** (-TAIL / 2)).sum(-1), slope, TAIL, ray=np.ones(1),
        drift=lambda budget: ((TAIL + 2) * budget + 60) ** (1 / (TAIL + 2)),
    )  # fmt: skip


MAKERS = {"quadratic": quadratic, "chain": chain, "wavy": wavy, "corner": corner, "tail": tail}
PROBLEMS = {name: make(100.0) for name, make in MAKERS.items()}


def problem(name: str, condition: float) -> Problem:
    """The function of that name; the condition number is of the quadratic alone. Raises ValueError for another."""
    if name not in MAKERS:
        raise ValueError(f"Saw the function “{name}”, expected one of {', '.join(MAKERS)}.")
    return quadratic(condition) if name == "quadratic" else PROBLEMS[name]
