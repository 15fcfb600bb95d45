"""What makes a variational autoencoder work, and what breaks it: panels, views and scenes."""

from math import isfinite, nan
from typing import Any

import numpy as np

from engine.figures.panel import Axis, Panel, arrows, cloud, curve, marks, path
from engine.figures.view import Readout, Scene, View
from engine.latent_spaces import trick

Panels = tuple[Panel, ...]


def of_trick(cfg: trick.Config) -> Panels:
    """The function with samples and slopes, the two histograms, the two running means."""
    known, shape = trick.exact(cfg), trick.drawn(cfg)
    at = trick.edges(known, cfg.samples)
    heights = dict(zip(("pathwise", "score"), trick.tallest(cfg), strict=True))
    z = Axis("z", cfg.mu - 4 * cfg.sigma, cfg.mu + 4 * cfg.sigma)
    near = shape[(shape[:, 0] >= z.low) & (shape[:, 0] <= z.high)]
    low, high = (float(end) for end in (near[:, 1].min(), near[:, 1].max()))
    room = 0.12 * (high - low or 1.0)
    ground = (
        path("density of z", "prior", near[:, [0, 2]] * (1, high - low) + (0, low), width=1.6),
        path("g(z)", "ink", near[:, :2], width=2),
        arrows("slope there", "model", lambda f: f.slopes, width=1.6),
        cloud("samples", "data", lambda f: f.spots, size=4),
    )
    gradient = Axis("estimate of the gradient", float(at[0]), float(at[-1]))
    goal = marks("exact", "truth", np.array([[known.gradient, 0.0]]), line="x")

    def bars(title: str, role: str, name: str, of: Any) -> Panel:
        tall = Axis("share of the estimates", 0, 1.15 * heights[name])
        layers = (path(title.lower(), role, of, width=2, dash="solid"), goal)
        return Panel(title, layers, gradient, tall, name=name, stack="histograms",
                     alt=f"Histogram of the {title.lower()} estimates with the exact gradient")  # fmt: skip

    count = Axis("estimates", trick.CHUNK, trick.CHUNK * trick.FRAMES, log=True)
    reach = 6 * (max(known.pathwise_var, known.score_var) / cfg.samples / trick.CHUNK) ** 0.5
    reach = max(reach, 1.3 * abs(known.gradient - known.pathwise_mean)) or 1.0
    means = (
        curve("score function", "adversary", lambda f: (f.count, f.score, *about(f.score, f.score_error))),
        curve("pathwise", "model", lambda f: (f.count, f.pathwise, *about(f.pathwise, f.pathwise_error))),
        path("exact", "truth", np.array([[count.low, known.gradient], [count.high, known.gradient]]), dash="dash"),
    )
    return (
        Panel("Samples of z on the function", ground, z, Axis("g(z)", low - room, high + room), name="function",
              hall=False, alt="The function, the density of z, samples and the slopes at them"),
        bars("Pathwise", "model", "pathwise", lambda f: f.pathwise_bars),
        bars("Score function", "adversary", "score", lambda f: f.score_bars),
        Panel("Mean so far, ± 2 standard errors", means, count,
              Axis("gradient", known.gradient - reach, known.gradient + reach), name="means", hall=False,
              alt="The running means of both estimators and the exact gradient"),
    )  # fmt: skip


def about(value: float, error: float) -> tuple[float, float]:
    """Two standard errors below and above."""
    return value - 2 * error, value + 2 * error


TRICK = View(
    "trick", "How does a gradient get through a sample?", trick.Config, trick.run, of_trick, fps=12,
    readouts=(
        Readout("estimates", lambda f: f.count),
        Readout("exact gradient", lambda f: f.exact, help="By quadrature"),
        Readout("pathwise", lambda f: f.pathwise, "estimate", error=lambda f: f.pathwise_error),
        Readout("score function", lambda f: f.score, "estimate", error=lambda f: f.score_error),
        Readout("variance ratio", lambda f: f.ratio if isfinite(f.ratio) else nan, "estimate",
                help="Of the score function's estimates over that of the pathwise ones, so far"),
        Readout("ratio, exact", lambda f: f.ratio_exact if isfinite(f.ratio_exact) else nan, help="By quadrature"),
    ),
    equation=lambda f, cfg: {
        "exact": f"{f.exact:.3f}", "pathwise": f"{f.pathwise:.3f}", "score": f"{f.score:.3f}",
        "ratio": f"{f.ratio_exact:.3g}" if isfinite(f.ratio_exact) else r"\infty",
    },
    code=(trick.pathwise, trick.score_function, trick.exact),
)  # fmt: skip
VIEWS = (TRICK,)
SCENES = (
    Scene("trick", "Same mean, twenty times the variance", "trick", {},
          "Both histograms are centred on the dashed line; one is a needle beside the other."),
    Scene("jump", "Where f jumps, slopes know nothing", "trick", {"function": "step", "mu": 0.5},
          "Every slope of a step is 0: the pathwise mean stays at 0, and the exact gradient is elsewhere."),
    Scene("ripple", "On a ripple, the score function wins", "trick",
          {"function": "ripple", "mu": 0.3, "sigma": 0.4},
          "Steep slopes of either sign cancel on average, and each of them is noise."),
)  # fmt: skip
