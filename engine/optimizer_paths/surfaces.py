"""Surfaces to walk down: bowl, ravine, Rosenbrock's valley and others, each a formula of x and y, or one's own."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import cos, pi, sin

import numpy as np

from engine.optimizer_paths.formula import Formula
from engine.optimizer_paths.rules import Slope

Array = np.ndarray
SINGULAR = 1e-14  # a determinant smaller than this, times the squared size of the matrix, is 0


@dataclass(frozen=True)
class Surface:
    """A loss over the plane, all of it over float64 arrays w: (..., 2)."""

    name: str
    formula: str  # as a visitor would type it
    centre: tuple[float, float] = (0.0, 0.0)  # of the part that is shown
    half: float = 2.0  # half the edge of that part, a square
    minima: tuple[tuple[float, float], ...] = ()  # those known in closed form
    start: tuple[float, float] = (-1.0, 1.0)  # a place from where it is interesting

    @cached_property
    def function(self) -> Formula:
        """The formula, read."""
        return Formula(self.formula)

    def f(self, w: Array) -> Array:
        """The loss: (..., 2) -> (...), NaN where it is not finite."""
        return self.function(w)

    def gradient(self, w: Array) -> Array:
        """(..., 2) -> (..., 2)"""
        return self.function.gradient(w)

    def hessian(self, w: Array) -> Array:
        """(..., 2) -> (..., 2, 2)"""
        return self.function.hessian(w)

    def solve(self, w: Array, g: Array) -> Array:
        """s with H(w) s = g, the shortest one where H is singular: (..., 2), (..., 2) -> (..., 2)"""
        h = self.hessian(w)
        a, b, c, gx, gy = h[..., 0, 0], h[..., 0, 1], h[..., 1, 1], g[..., 0], g[..., 1]
        s = np.empty(np.broadcast_shapes(w.shape, g.shape))
        with np.errstate(all="ignore"):
            det, trace = a * c - b * b, a + c
            flat = abs(det) <= SINGULAR * (a * a + 2 * b * b + c * c)
            s[..., 0], s[..., 1] = (c * gx - b * gy) / det, (a * gy - b * gx) / det
            if flat.any():  # rank one: H / trace^2 is its pseudoinverse; rank none: 0
                scale = np.where(flat, np.where(trace == 0, 0.0, 1 / (trace * trace)), 0.0)
                s[flat] = (scale[..., None] * np.stack([a * gx + b * gy, b * gx + c * gy], -1))[flat]
        return s

    @property
    def slope(self) -> Slope:
        """The gradient as a rule takes it."""
        return Slope(self.gradient, self.solve)

    @cached_property
    def curvature(self) -> float:
        """A curvature to measure step sizes by: the largest at the first known minimum, else the 90th percentile.

        The percentile is over 32 x 32 places of what is shown; 1 where the surface is flat or no number at all.
        """
        sharp = self.name not in ("ackley", "yours")  # Ackley's minimum is the tip of a cone
        h = self.hessian(np.array(self.minima[:1]) if sharp else self.grid(32)).reshape(-1, 2, 2)
        h = h[np.isfinite(h).all((1, 2))]
        largest = abs(np.linalg.eigvalsh(h)).max(1) if len(h) else np.zeros(1)
        found = float(np.quantile(largest, 0.9))
        return found if 1e-9 < found < 1e12 else 1.0

    @cached_property
    def lowest(self) -> float:
        """The loss at the lowest known minimum; of a typed formula, the lowest of 201 x 201 places that are shown."""
        found = self.f(np.array(self.minima) if self.minima else self.grid(201))
        return float(np.nanmin(found)) if np.isfinite(found).any() else 0.0

    @property
    def low(self) -> tuple[float, float]:
        """The lower left corner of what is shown."""
        return self.centre[0] - self.half, self.centre[1] - self.half

    @property
    def high(self) -> tuple[float, float]:
        """The upper right corner of what is shown."""
        return self.centre[0] + self.half, self.centre[1] + self.half

    def grid(self, edge: int) -> Array:
        """The middles of edge x edge pixels of what is shown: (edge, edge, 2), the first row at the bottom."""
        along = self.half * ((2 * np.arange(edge) + 1) / edge - 1)
        return np.stack(np.meshgrid(along + self.centre[0], along + self.centre[1]), -1)


def bowl(condition: float, tilt: float) -> Surface:
    """A round quadratic bowl."""
    return Surface("bowl", "(x**2 + y**2) / 2", half=2.0, minima=((0.0, 0.0),), start=(-1.6, 1.1))


def ravine(condition: float, tilt: float) -> Surface:
    """A quadratic with curvatures 1 and `condition`, turned by `tilt` degrees."""
    c, s = (round(turn(pi * tilt / 180), 9) for turn in (cos, sin))
    along, across = ("x", "y") if tilt == 0 else (f"({c:g}*x + {s:g}*y)", f"({c:g}*y - {s:g}*x)")
    text = f"({along}**2 + {condition:g}*{across}**2) / 2"
    return Surface("ravine", text, half=2.0, minima=((0.0, 0.0),), start=(-1.7, 0.6))


def rosenbrock(condition: float, tilt: float) -> Surface:
    """A bent valley with steep walls and a nearly flat floor (Rosenbrock, 1960)."""
    return Surface("rosenbrock", "(1 - x)**2 + 100*(y - x**2)**2", (0.0, 1.0), 2.0, ((1.0, 1.0),), (-1.2, 1.0))


def beale(condition: float, tilt: float) -> Surface:
    """Flat in the middle, with steep corners (Beale, 1958)."""
    text = "(1.5 - x + x*y)**2 + (2.25 - x + x*y**2)**2 + (2.625 - x + x*y**3)**2"
    return Surface("beale", text, half=4.0, minima=((3.0, 0.5),), start=(1.0, 1.5))


def himmelblau(condition: float, tilt: float) -> Surface:
    """Four minima of equal depth (Himmelblau, 1972)."""
    found = ((3.0, 2.0), (-2.805118086953, 3.131312518250), (-3.779310253378, -3.283185991286),
             (3.584428340330, -1.848126526964))  # fmt: skip
    return Surface("himmelblau", "(x**2 + y - 11)**2 + (x + y**2 - 7)**2", half=5.0, minima=found, start=(-0.5, -0.8))


def saddle(condition: float, tilt: float) -> Surface:
    """A saddle at 0 between two minima."""
    found = ((0.0, -1.0), (0.0, 1.0))
    return Surface("saddle", "x**2/2 - y**2/2 + y**4/4", half=2.0, minima=found, start=(-1.5, 0.05))


def ackley(condition: float, tilt: float) -> Surface:
    """A funnel full of dents, with a cone at its bottom (Ackley, 1987)."""
    text = "20 + e - 20*exp(-0.2*sqrt((x**2 + y**2)/2)) - exp((cos(2*pi*x) + cos(2*pi*y))/2)"
    return Surface("ackley", text, half=4.0, minima=((0.0, 0.0),), start=(-2.8, 2.3))


def rastrigin(condition: float, tilt: float) -> Surface:
    """A bowl full of dents (Rastrigin, 1974)."""
    text = "20 + x**2 + y**2 - 10*cos(2*pi*x) - 10*cos(2*pi*y)"
    return Surface("rastrigin", text, half=3.0, minima=((0.0, 0.0),), start=(-2.3, 1.7))


def plateau(condition: float, tilt: float) -> Surface:
    """A hole in a plain: far from it there is almost no slope."""
    return Surface("plateau", "1 - exp(-(x**2 + y**2)/2)", half=5.0, minima=((0.0, 0.0),), start=(-3.6, 2.0))


SURFACES: dict[str, Callable[[float, float], Surface]] = {
    "bowl": bowl,
    "ravine": ravine,
    "rosenbrock": rosenbrock,
    "beale": beale,
    "himmelblau": himmelblau,
    "saddle": saddle,
    "ackley": ackley,
    "rastrigin": rastrigin,
    "plateau": plateau,
}
TITLES = {
    "bowl": "bowl",
    "ravine": "ravine",
    "rosenbrock": "Rosenbrock's valley",
    "beale": "Beale",
    "himmelblau": "Himmelblau, four minima",
    "saddle": "saddle",
    "ackley": "Ackley, a dented funnel",
    "rastrigin": "Rastrigin, a dented bowl",
    "plateau": "plateau",
    "yours": "your formula",
}
YOURS = "sin(x)*cos(y) + (x**2 + y**2)/20"


@lru_cache(64)
def surface(name: str, condition: float = 30.0, formula: str = YOURS, tilt: float = 0.0) -> Surface:
    """The surface of that name; `condition` and `tilt` (degrees) shape the ravine, `formula` is the text of "yours".

    Raises ValueError for a formula that cannot be read and KeyError for a name that there is not.
    """
    if name == "yours":
        return Surface("yours", formula, half=4.0, start=(-3.0, 2.5))
    return SURFACES[name](condition, tilt)
