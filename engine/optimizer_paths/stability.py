"""How long a step may be: the loss after every step size, in units of 2/λ_max, and along the next step."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, inf
from typing import NamedTuple

import numpy as np

from engine.knob import knob
from engine.optimizer_paths.descent import Run, clipped, stages
from engine.optimizer_paths.rules import NAMES, RULES, Hyper
from engine.optimizer_paths.surfaces import TITLES, Surface, surface

Array = np.ndarray
FRAMES, CUT = 120, 89  # frames of a run at most; places on the line along a step
RULES_HERE = ("gd", "momentum", "nesterov")
SURFACES_HERE = ("bowl", "ravine", "saddle", "himmelblau", "rosenbrock", "plateau")
WIDEST = 2.2  # the largest step size shown, in units of 2 / lambda_max
SHARES = np.linspace(0.02, WIDEST, 110)  # of the cliff: 0.02, 0.04, ...
LEAST, MOST = 1e-6, 1e6  # of the first loss: what the cliff can show
DEEP, TALL = -4.0, 6.0  # changes of the loss along a step that are shown
TINY, COARSE = 1e-10, 1e4  # half-widths that are no step; roundings that a change of the loss must be above


@dataclass(frozen=True)
class Config:
    """The settings of one run whose step size is measured by the largest curvature at the minimum."""

    rule: str = knob("gd", "rule", choices={name: NAMES[name] for name in RULES_HERE})
    step_size: float = knob(
        0.9, "step size", 0.02, WIDEST, symbol=r"\varepsilon", step=0.01, help="in units of 2/λ_max, at the minimum"
    )
    mu: float = knob(0.9, "momentum", 0.0, 0.99, symbol=r"\mu", step=0.01)
    surface: str = knob("ravine", "surface", choices={name: TITLES[name] for name in SURFACES_HERE})
    condition: float = knob(
        10.0, "condition number", 1.0, 1000.0, symbol=r"\kappa", log=True, help="of the ravine: its largest curvature"
    )
    steps: int = knob(60, "steps", 0, 300)
    start_x: float = knob(-1.7, "start, x", -5.0, 5.0, step=0.01, folded=True)
    start_y: float = knob(0.6, "start, y", -5.0, 5.0, step=0.01, folded=True)

    @property
    def loss(self) -> Surface:
        """The surface chosen."""
        return surface(self.surface, self.condition)

    @property
    def start(self) -> Array:
        """Where to begin, moved into the picture: (2,)"""
        return np.clip([self.start_x, self.start_y], self.loss.low, self.loss.high)

    @property
    def unit(self) -> float:
        """2 / lambda_max: what step sizes are measured by."""
        return 2 / self.loss.curvature


class Frame(NamedTuple):
    """The run after some steps. Step sizes are in units of 2 / lambda_max, losses are above the lowest."""

    step: int
    place: Array  # (1, 2) float32
    path: Array  # (m, 2) float32 the way there
    loss: float  # over the first loss, from 1e-6 to 1e6
    cliff: Array  # (3, 110, 2) float32 of each rule: step size, and its loss now over the first loss
    here: Array  # (1, 2) this run on the cliff
    limit: float  # the step size from which on the rule does not settle on a quadratic
    growth: float  # what one step multiplies the error by in the end, along the sharpest direction of the minimum
    bound: float  # 2 g'g / (g'Hg): below it a step down the gradient lowers the local parabola; inf where none is
    smooth: float  # beta over lambda_max: the largest curvature on the line that is drawn
    line: Array  # (89, 2) float32 step size along the next step's direction d, change of loss over |d|^2/(2 lambda_max)
    above: Array  # (89, 2) float32 the parabola of curvature beta, which the loss cannot be above
    tangent: Array  # (89, 2) float32
    landing: Array  # (1, 2) float32 where the step lands on that line
    turn: Array  # (1, 2) float32 where the local parabola is back at today's loss; far away where that is nowhere
    change: float  # of the loss by the next step, in the same units; exact
    lost: int  # the step at which the run diverged, -1 before


class Line(NamedTuple):
    """The loss along a direction, all changes in units of |d|^2 / (2 lambda_max)."""

    true: Array  # (n,)
    above: Array  # (n,)
    tangent: Array  # (n,)
    beta: float  # the largest |curvature| on the line
    turn: float  # the step size, in units of 2 / lambda_max, at which the local parabola is back at 0; inf for none


def limit(rule: str, mu: float) -> float:
    """The step size, in units of 2 / lambda_max, from which on a rule does not settle on a quadratic.

    1 for gradient descent, 1 + mu with momentum (Polyak, 1964), (1 + mu) / (1 + 2 mu) for Nesterov's (Cohen et al.,
    2021).
    """
    return {"gd": 1.0, "momentum": 1 + mu, "nesterov": (1 + mu) / (1 + 2 * mu)}[rule]


def matrix(rule: str, share: float, mu: float) -> Array:
    """What one step does to (error, velocity) where the curvature times the step size is 2 share: (2, 2).

    It is read off the rule itself: on a quadratic a step is linear, so two steps tell all of it.
    """
    error, velocity = np.eye(2)
    state = (velocity,) if RULES[rule].init(error) else ()
    moved, after = RULES[rule].step(lambda at: at, error, state, Hyper(mu=mu), 0, 2 * share)
    return np.stack([moved, *(after or (0 * moved,))])


def growth(rule: str, share: float, mu: float) -> float:
    """The larger |eigenvalue| of that matrix: above 1 the error grows."""
    return float(np.abs(np.linalg.eigvals(matrix(rule, share, mu))).max())


def races(cfg: Config) -> Iterator[Run]:
    """Each of the three rules with each step size of the cliff, and last with the one chosen, one step longer."""
    shares = np.append(SHARES, cfg.step_size)
    lrs = np.broadcast_to(cfg.unit * shares[:, None], (cfg.steps + 1, len(RULES_HERE), len(shares), 1))
    starts = np.tile(cfg.start, (len(shares), 1))
    return stages(cfg.loss, RULES_HERE, starts, Hyper(mu=cfg.mu), lrs, np.zeros((0, len(shares), 2)))


def heights(ground: Surface, seen: Run, k: int) -> Array:
    """Loss above the lowest after k steps over the first one, from 1e-6 to 1e6, where a run is lost 1e6: (3, n)"""
    first, gap = (np.maximum(ground.f(at) - ground.lowest, 0.0) for at in (seen.places[0, 0, 0], seen.places[k]))
    away = (seen.lost >= 0) & (seen.lost <= k)
    return np.where(away, MOST, np.clip(np.nan_to_num(gap / (float(first) or 1.0), nan=MOST), LEAST, MOST))


def along(ground: Surface, w: Array, d: Array, shares: Array) -> Line:
    """The loss at w + 2 share / lambda_max d, its tangent, and the parabola that the descent lemma puts above it.

    f(w + s d) <= f + s g'd + s^2 beta |d|^2 / 2 where no curvature on the way is above beta (Nesterov, 2004, 1.2.2).
    A step too short to be told from rounding changes nothing.
    """
    s, size, now = 2 * shares / ground.curvature, float(d @ d), ground.f(w)
    beta = float(np.abs(np.linalg.eigvalsh(ground.hessian(w + s[:, None] * d))).max())
    unit = size / (2 * ground.curvature)
    if size <= (TINY * ground.half * ground.curvature) ** 2 or unit <= COARSE * np.spacing(max(abs(now), 1.0)):
        none = np.zeros(len(s))
        return Line(none, none, none, beta, inf)
    slope, bend = float(ground.gradient(w) @ d), float(d @ ground.hessian(w) @ d)
    true, tangent = (ground.f(w + s[:, None] * d) - now) / unit, s * slope / unit
    turn = -slope * ground.curvature / bend if bend > 0 else inf
    return Line(true, tangent + s**2 * beta * ground.curvature, tangent, beta, turn)


def bound(ground: Surface, w: Array) -> float:
    """2 g'g / (g'Hg) in units of 2 / lambda_max; inf where the loss does not bend up along the gradient."""
    g = ground.gradient(w)
    bend = float(g @ ground.hessian(w) @ g)
    return float(g @ g) * ground.curvature / bend if bend > 0 else inf


def run(cfg: Config) -> Iterator[Frame]:
    """At most 121 frames, the start first; what diverges stays where it last was."""
    stride, raced = max(1, ceil(cfg.steps / FRAMES)), races(cfg)
    next(raced)
    for k, seen in enumerate(raced):  # after k + 1 steps: the last frame shows a next step too
        if k % stride == 0 or k == cfg.steps:
            yield _frame(cfg, seen, k)


def _frame(cfg: Config, seen: Run, k: int) -> Frame:
    ground, rule = cfg.loss, RULES_HERE.index(cfg.rule)
    height, way, lost = heights(ground, seen, k), seen.places[: k + 2, rule, -1], int(seen.lost[rule, -1])
    return Frame(
        step=k,
        place=clipped(ground, way[k : k + 1]),
        path=clipped(ground, way[: k + 1]),
        loss=float(height[rule, -1]),
        cliff=np.stack(np.broadcast_arrays(SHARES, height[:, :-1]), -1).astype(np.float32),
        here=np.array([[cfg.step_size, height[rule, -1]]]),
        limit=limit(cfg.rule, cfg.mu),
        growth=growth(cfg.rule, cfg.step_size, cfg.mu),
        bound=bound(ground, way[k]),
        lost=lost if 0 <= lost <= k else -1,
        **_next_step(cfg, way[k], way[k + 1]),
    )


def _next_step(cfg: Config, now: Array, then: Array) -> dict:
    """What Frame holds of the line along the next step, by its name there."""
    shares = np.linspace(0, WIDEST, CUT)
    d = (then - now) / (cfg.step_size * cfg.unit)
    line, lands = (along(cfg.loss, now, d, at) for at in (shares, np.array([cfg.step_size])))
    drawn = [np.stack([shares, np.clip(one, DEEP, TALL)], 1).astype(np.float32) for one in line[:3]]
    change = float(lands.true[0])
    return {
        "smooth": line.beta / cfg.loss.curvature,
        "line": drawn[0],
        "above": drawn[1],
        "tangent": drawn[2],
        "landing": np.array([[cfg.step_size, np.clip(change, DEEP, TALL)]]),
        "turn": np.array([[np.clip(line.turn, -1, 2 * WIDEST), 0.0]]),
        "change": change,
    }
