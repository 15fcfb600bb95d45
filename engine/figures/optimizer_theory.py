"""What is proved about steps, seen: momentum in a valley, the longest stable step, and bounds on how slow it can be."""

from math import inf, nan

import numpy as np

from engine.figures.optimizer_race import land, minima, nth
from engine.figures.panel import Axis, Layer, Panel, curve, field, marks, path
from engine.figures.view import Readout, Scene, View
from engine.optimizer_paths import momentum, problems, rates, stability
from engine.optimizer_paths.rules import NAMES

Panels = tuple[Panel, ...]
DIRECTIONS = (("flattest", "data", "solid"), ("middle", "second", "dash"), ("steepest", "third", "dot"))
RULES = {"gd": ("ink", "solid"), "momentum": ("data", "solid"), "nesterov": ("prior", "dash")}


def of_momentum(cfg: momentum.Config) -> Panels:
    """The pad of step size and momentum, the error of each direction, and the size of all of it."""
    space = (
        field("digits won a step", "data", momentum.pad(cfg.condition), low=0.0, high=1.1),
        path("stable left of it", "ink", np.array([[2.0, 0.0], [4.0, 1.0]]), width=1.6, dash="solid"),
        marks("fastest", "truth", np.array([momentum.best(cfg.condition)])),
        marks("yours, to drag", "ink", lambda f: f.point, drag=("alpha", "beta")),
    )
    steps, exact = Axis("step", 0, max(1, cfg.steps)), momentum.courses(cfg.condition, cfg.alpha, cfg.beta, cfg.steps)
    high = 1.1 * float(np.clip(abs(exact[:, :, 1]).max(), 1, 3))
    parts = (
        path("closed form", "muted", np.clip(exact, (0, -high), (inf, high)), width=5, dash="solid", opacity=0.35),
        *(_part(i, *look, high) for i, look in enumerate(DIRECTIONS)),
    )
    sizes = (
        path("best, no momentum", "muted", momentum.unaided(cfg.condition, cfg.steps), dash="dash"),
        curve("this run", "model", lambda f: (f.step, f.size)),
    )
    return (
        Panel("Step size and momentum", space, Axis("step size α, in units of 1/λ_max", 0, 4), Axis("momentum β", 0, 1),
              name="pad", weight=1.2, alt="How fast each pair of step size and momentum is, with the pair chosen"),
        Panel("Error in each direction", parts, steps, Axis("error", -high, high), name="parts", stack="error",
              alt="The error along the flattest, a middle and the steepest direction, over the closed form"),
        Panel("Size of the error", sizes, steps, Axis("root mean square", 1e-9, 10, log=True), name="size",
              stack="error", alt="The size of the error, beside that of the best step size without momentum"),
    )  # fmt: skip


def _part(i: int, name: str, role: str, dash: str, high: float) -> Layer:
    return curve(name, role, lambda f: (f.step, np.clip(nth(f.error, i), -high, high)), dash=dash)


def of_stability(cfg: stability.Config) -> Panels:
    """The path, what has become of the loss at every step size, and the loss along the next step."""
    (left, low), (right, high) = cfg.loss.low, cfg.loss.high
    space = (
        *land(cfg.loss),
        *minima(cfg.loss),
        path(NAMES[cfg.rule], RULES[cfg.rule][0], lambda f: f.path, dash="solid", head=True),
        marks("start, to drag", "ink", cfg.start[None], drag=("start_x", "start_y")),
    )
    shares = Axis("step size, in units of 2/λ_max", 0, stability.WIDEST)
    cliff = (
        *(layer for i, name in enumerate(stability.RULES_HERE) for layer in _cliff(cfg, i, name)),
        marks("this run", "model", lambda f: f.here),
    )
    line = (
        path("parabola above", "adversary", lambda f: f.above, dash="dash"),
        path("tangent", "muted", lambda f: f.tangent, width=1.4, dash="dot"),
        path("true loss", "data", lambda f: f.line, width=2.6),
        marks("lands here", "model", lambda f: f.landing),
        marks("as high as now", "truth", lambda f: f.turn),
    )
    return (
        Panel("Downhill", space, Axis("x", left, right), Axis("y", low, high), equal=True, name="plane", weight=1.2,
              alt="The path of the rule on the surface, seen from above"),
        Panel("Loss after all step sizes", cliff, shares,
              Axis("loss / first loss", stability.LEAST, stability.MOST, log=True), name="cliff", stack="right",
              alt="The loss after as many steps with each step size, for three rules, and the limit of each"),
        Panel("Along the next step", line, shares, Axis("change of loss", stability.DEEP, stability.TALL),
              name="line", stack="right",
              alt="The loss along the next step, under a parabola and over its tangent, and where the step lands"),
    )  # fmt: skip


def _cliff(cfg: stability.Config, i: int, name: str) -> tuple[Layer, Layer]:
    """The loss of a rule after every step size, and a thin line at its limit."""
    role, dash = RULES[name]
    at = stability.limit(name, cfg.mu)
    wall = np.array([[at, stability.LEAST], [at, stability.MOST]])
    limit = path("", role, wall, width=1.2, dash="dot", opacity=0.8)
    return limit, path(_short(name), role, lambda f: nth(f.cliff, i), width=2.4, dash=dash)


def _short(name: str) -> str:
    return "descent" if name == "gd" else NAMES[name]


ENVELOPES = {  # name in Bounds -> name, role
    "convex": ("bound, 1/t", "data"),
    "linear": ("bound, linear", "truth"),
    "fast": ("bound, 1/t²", "model"),
    "floor": ("nothing is lower", "ink"),
}


def of_rates(cfg: rates.Config) -> Panels:
    """The loss under its bounds, the gradient under its own with the time by which a target is met, and a cut."""
    p, bounds = rates.course(cfg).problem, rates.envelopes(cfg)
    proved = [key for key in ENVELOPES if key in bounds and not (key == "linear" and p.floor)]
    even = bool(p.pl) and not p.convex  # a linear rate is straight over even steps, 1/t over the steps' logarithm
    low, high = rates.span(cfg)
    above = tuple(
        path(*ENVELOPES[key], np.maximum(bounds[key], (0, low / 10)), dash="dot" if key == "floor" else "dash")
        for key in proved
    )
    runs = [curve("descent", "data", lambda f: (f.step, max(f.loss, low / 10)))]
    if p.convex:
        runs.append(curve("Nesterov", "model", lambda f: (f.step, max(f.fast, low / 10)), dash="solid"))
    steps = Axis("step", 0 if even else 1, max(2, cfg.steps), log=not even)
    return (
        Panel("Loss above the lowest", (*above, *runs), steps, Axis("L − L*", low, high, log=True), name="loss",
              weight=1.2, alt="The loss of gradient descent and of Nesterov's method, and their bounds"),
        _gradients(cfg, bounds["gradient"]),
        _cut(cfg, p),
    )  # fmt: skip


def _gradients(cfg: rates.Config, bound: np.ndarray) -> Panel:
    """The least squared gradient under its bound, which is drawn on until it meets the target, if that is near."""
    p, x, seen, _ = rates.course(cfg)
    due = rates.hitting_bound(p, x, cfg.step_size, cfg.delta)
    far, top = float(np.clip(2 * due, max(2, cfg.steps), 50 * cfg.steps)), float(bound[0, 1])
    ends = [float(seen.squared.min()), cfg.delta, top / far]
    low, high = max(1e-12 * top, min(ends) / 3, rates.NOTHING / 10), 3 * max(top, cfg.delta)
    layers = (
        path("its bound, 1/t", "data", np.array([[1, top], [far, top / far]]), dash="dash"),
        curve("|g|², least", "data", lambda f: (f.step, max(f.gradient, low / 10))),
        path("target δ", "muted", np.array([[1, cfg.delta], [far, cfg.delta]]), width=1.4),
        marks("at the latest", "adversary", lambda f: f.target),
        marks("met", "truth", lambda f: f.arrival[np.isfinite(f.arrival[:, 0])]),
    )
    return Panel("Squared gradient", layers, Axis("step", 1, far, log=True), Axis("|g|²", low, high, log=True),
                 name="gradient", stack="right",
                 alt="The least squared gradient of descent under its bound, and when a target is met")  # fmt: skip


def _cut(cfg: rates.Config, p: problems.Problem) -> Panel:
    """The function along the line through the start, and where the runs are along it."""
    layers = [
        path("the function", "muted", lambda f: f.cut, width=2, dash="solid"),
        marks("descent", "data", lambda f: f.place),
    ]
    if p.convex:
        layers.append(marks("Nesterov", "model", lambda f: f.fast_place))
    reach = rates.reach(cfg)
    return Panel("On the line through the start", tuple(layers), Axis("place", -reach, reach),
                 Axis("share of the first loss", 0, 1.5), name="cut", stack="right", hall=False,
                 alt="The function along the line through the start, with both methods on it")  # fmt: skip


def in_tex(value: float) -> str:
    """Three digits, with a power of ten where the number is far from 1."""
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{value:.3g}" if abs(int(exponent)) < 4 else rf"{mantissa}\cdot 10^{{{int(exponent)}}}"


MOMENTUM = View(
    "momentum", "How much momentum is best?", momentum.Config, momentum.run, of_momentum, fps=20, hold=True,
    mend=momentum.settled,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("error", lambda f: f.size, help="Root mean square over the three directions, 1 at the start"),
        Readout("factor a step", lambda f: f.rate, help="What the error is multiplied by in the end, at each step"),
        Readout("steps a digit", lambda f: f.steps_a_digit, help="Steps for a tenth of the error, in the end"),
        Readout("at best", lambda f: f.best_steps, help="Steps a digit at the best step size and momentum"),
        Readout("directions that swing", lambda f: f.ringing, percent=True, help="Complex or negative roots"),
    ),
    equation=lambda f, cfg: {
        "alpha": f"{cfg.alpha:.3g}", "beta": f"{cfg.beta:.3g}", "limit": f"{f.limit:.3g}", "rate": f"{f.rate:.4f}",
    },
    code=(momentum.roots, momentum.rate, momentum.best, momentum.closed_form, momentum.replay),
)  # fmt: skip
STABILITY = View(
    "stability", "How long may a step be?", stability.Config, stability.run, of_stability, fps=12, hold=True,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("loss / first loss", lambda f: f.loss if stability.LEAST < f.loss < stability.MOST else nan,
                help="From 1e-6 to 1e6, what the picture can show"),
        Readout("limit", lambda f: f.limit, "bound", help="Longest stable step of the rule, in units of 2/λ_max"),
        Readout("factor a step", lambda f: f.growth, help="Of the error along the sharpest direction of the minimum"),
        Readout("along the gradient", lambda f: f.bound if np.isfinite(f.bound) else nan, "bound",
                help="2 g'g/(g'Hg) here, in units of 2/λ_max: a shorter step down the gradient lowers a quadratic"),
        Readout("diverged at", lambda f: f.lost if f.lost >= 0 else nan),
    ),
    equation=lambda f, cfg: {
        "size": f"{cfg.step_size:.3g}", "limit": f"{f.limit:.4g}",
        "bound": f"{f.bound:.3f}" if np.isfinite(f.bound) else r"\infty", "rule": NAMES[cfg.rule],
        "beta": f"{f.smooth:.3g}",
    },
    code=(stability.matrix, stability.growth, stability.limit, stability.bound, stability.along),
)  # fmt: skip
RATES = View(
    "rates", "How slow can it be?", rates.Config, rates.run, of_rates, fps=12, hold=True,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("|g|², least", lambda f: f.gradient),
        Readout("at most", lambda f: f.gradient_bound, "bound", help="2β(L₀ − L*) / (t s(2 − s))"),
        Readout("target met at", lambda f: f.hit, help="The step after which |g|² was first at most δ"),
        Readout("at the latest", lambda f: f.hit_bound, "bound"),
        Readout("bounds used", lambda f: f.closest, percent=True,
                help="The largest share of any bound that a run has used up so far; 100 % would touch it"),
    ),
    equation=lambda f, cfg: {
        "t": str(f.step), "gradient": in_tex(f.gradient), "bound": in_tex(f.gradient_bound),
        "due": f"{f.hit_bound:.4g}", "delta": in_tex(cfg.delta), "s": f"{cfg.step_size:g}",
    },
    code=(rates.descend, rates.accelerate, rates.bounds, rates.hitting_bound),
)  # fmt: skip
VIEWS = (MOMENTUM, STABILITY, RATES)
SCENES = (
    Scene("fastest", "The best momentum is five times faster", "momentum", {"alpha": 3.30579, "beta": 0.669421},
          "Both at their best: with momentum the error is at 1/100 after 42 steps; without, after 221."),
    Scene("ringing", "Too much momentum swings back and forth", "momentum", {"alpha": 1.0, "beta": 0.95, "steps": 200},
          "Every direction overshoots its goal again and again, and a tenth of the step size does not mend it."),
    Scene("cliff", "Beyond 2/λ_max the loss grows", "stability", {"step_size": 1.02},
          "The sharp direction grows by 4 % a step; with a step 4 % shorter it would shrink by 4 %."),
    Scene("early", "Nesterov falls off before plain descent", "stability", {"rule": "nesterov", "step_size": 0.7},
          "Its cliff stands at (1+μ)/(1+2μ) = 0.68; that of descent at 1, that of momentum at 1+μ = 1.9."),
    Scene("floor", "Nesterov's stays within 4× of the floor", "rates", {"function": "chain", "steps": 50},
          "On this chain nothing that combines gradients can be below the dotted curve."),
    Scene("straight", "Not convex, and yet a straight line down", "rates",
          {"function": "wavy", "step_size": 0.4, "steps": 40, "log_delta": -6.0},
          "It lingers where the slope is small for so high a loss, and then loses 64 % of it at every step."),
)  # fmt: skip
