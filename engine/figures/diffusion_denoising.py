"""Diffusion denoising, seen: its views and its scenes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.data.points import encode
from engine.diffusion_denoising import langevin, score
from engine.figures.panel import Axis, Panel, arrows, cloud, curve, field, path
from engine.figures.view import Readout, Scene, View


def drawn(event: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a drawing makes. Raises ValueError for an empty one."""
    return {"data": "yours", "points": encode(np.asarray(event["points"], float).reshape(-1, 2))}


def plane(half: float = 3.0) -> tuple[Axis, Axis]:
    """Two axes of space."""
    return Axis("x₁", -half, half), Axis("x₂", -half, half)


def _reach(cfg: Any) -> float:
    return langevin.half_width(langevin.target(cfg))


def _langevin(cfg: langevin.Config) -> tuple[Panel, ...]:
    x, y = plane(_reach(cfg))
    chains = (
        field("target density", "data", lambda f: f.density),
        arrows("exact score", "truth", lambda f: f.arrows, scale=0.8),
        cloud("chains", "model", lambda f: f.cloud, size=4),
        path("one chain", "second", lambda f: f.path, width=1.2, dash="solid", opacity=0.55, head=True),
    )
    alt = "Chains of Langevin dynamics over the density they should sample"
    space = Panel(
        "Shaken chains",
        chains,
        x,
        y,
        equal=True,
        name="chains",
        draw="" if cfg.data == "two_modes" else "points",
        alt=alt,
    )
    return space, _balance(cfg), _distance(cfg)


def _balance(cfg: langevin.Config) -> Panel:
    """What the chains get wrong: the variance on one Gaussian, elsewhere the mass on each side."""
    steps = Axis("step", 0, cfg.steps)
    if cfg.data == "one_gaussian":
        layers = (
            curve("of the chains", "model", lambda f: (f.step, f.variance, *_about(f.variance, f.variance_error))),
            curve("exact for this step size", "truth", lambda f: (f.step, f.variance_exact)),
            curve("of the target", "data", lambda f: (f.step, f.variance_target), dash="dot"),
        )
        return Panel("Variance", layers, steps, Axis("variance", 0, 4), name="balance")
    layers = (
        curve("of the chains", "model", lambda f: (f.step, f.share_right, *_about(f.share_right, f.share_error))),
        curve("true weight", "truth", lambda f: (f.step, f.weight_right)),
    )
    return Panel("Share on the right, x₁ > 0", layers, steps, Axis("share", 0, 1), name="balance")


def _about(value: float, error: float) -> tuple[float, float]:
    return value - 2 * error, value + 2 * error


def _distance(cfg: langevin.Config) -> Panel:
    layers = (
        curve("chains", "model", lambda f: (f.step, f.distance)),
        curve("as many true samples", "truth", lambda f: (f.step, f.floor)),
    )
    top = max(1.5, 0.9 * _reach(cfg))
    steps = Axis("step", 0, cfg.steps)
    return Panel("Sliced W₂ to the target", layers, steps, Axis("distance", 0, top), name="distance", hall=False)


def _score(cfg: score.Config) -> tuple[Panel, ...]:
    x, y = plane(score.half_width(score.mixture(cfg.data, cfg.points).noised(1.0, min(cfg.sigma, 1.0))))
    field_layers = (
        field("noisy density", "data", lambda f: f.density),
        arrows("exact score", "truth", lambda f: f.exact, width=3),
        arrows("learned: (r(x) − x) / σ²", "model", lambda f: f.learned, width=1.3),
    )
    error = (
        field("error, σ‖Δ‖ / (1 + σ‖Δ‖)", "muted", lambda f: f.error / (1 + f.error), low=0, high=1, colours="heat"),
        cloud("noisy data", "data", lambda f: f.noisy, size=2.5, opacity=0.5),
    )
    loss = (
        curve("held-out loss", "model", lambda f: (f.step, f.loss, *_about(f.loss, f.loss_error))),
        curve("best possible", "truth", lambda f: (f.step, f.least)),
    )
    steps = Axis("training step", 0, cfg.train_steps)
    top = max(0.05, 1.5 * min(cfg.sigma**2, 1.2))
    return (
        Panel("What the denoiser pulls towards", field_layers, x, y, equal=True, name="score", draw="points"),
        Panel("Where it is wrong", error, x, y, equal=True, name="error", hall=False),
        Panel("Loss", loss, steps, Axis("mean square error", 0, top), name="loss"),
    )


LANGEVIN = View(
    "langevin",
    "Does a shaken walk uphill find the distribution?",
    langevin.Config,
    langevin.run,
    _langevin,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("ε", lambda f: f.epsilon),
        Readout("sliced W₂", lambda f: f.distance, "estimate", error=lambda f: f.floor_spread),
        Readout(
            "floor", lambda f: f.floor, "estimate", error=lambda f: f.floor_spread, help="The same of true samples"
        ),
        Readout("crossings", lambda f: f.crossings),
        Readout("diverged at step", lambda f: f.diverged if f.diverged >= 0 else float("nan")),
    ),
    code=(langevin.langevin_step, langevin.run),
    equation=lambda f, cfg: {"eps": f"{f.epsilon:.3g}", "k": str(f.step), "limit": f"{f.largest_step:.3g}"},
    events={"drawn": drawn},
)
SCORE = View(
    "score",
    "Why does removing noise point to where the data are?",
    score.Config,
    score.run,
    _score,
    readouts=(
        Readout("training step", lambda f: f.step),
        Readout("score error", lambda f: f.relative_error, "estimate", percent=True, help="Relative, root mean square"),
        Readout("held-out loss", lambda f: f.loss, "estimate", error=lambda f: f.loss_error),
        Readout("best possible", lambda f: f.least, "estimate"),
        Readout("cost of σ alone", lambda f: f.smoothing, "estimate", percent=True),
    ),
    code=(score.examine, score.train),
    equation=lambda f, cfg: {"sigma": f"{cfg.sigma:.3g}", "error": f"{100 * f.relative_error:.1f}"},
    events={"drawn": drawn},
)
VIEWS = (LANGEVIN, SCORE)
THUMB = View("thumb", "", langevin.Config, langevin.run, lambda cfg: _langevin(cfg)[:1], bare=True)
SCENES = (
    Scene("bias", "A finite step widens the variance", "langevin",
          {"data": "one_gaussian", "step_size": 1.0, "steps": 200},
          "With ε = 1 the chains settle at twice the variance of the target, exactly as the formula says."),
    Scene("diverge", "Beyond ε = 2 it diverges", "langevin", {"data": "one_gaussian", "step_size": 2.1, "steps": 200},
          "Each step overshoots the mode by more than it came from."),
    Scene("far", "Far modes are not crossed", "langevin", {"gap": 8.0, "start": "left"},
          "All chains start on the left; 70 % of the mass is on the right."),
    Scene("anneal", "Annealing mends the weights", "langevin", {"gap": 8.0, "start": "left", "annealed": True},
          "First walk on a smoothed target, where there is no gap, then sharpen it."),
    Scene("tweedie", "Denoising is the score", "score", {},
          "The arrows of the trained denoiser fall onto those of the exact score."),
    Scene("coarse", "Too much noise blurs the score", "score", {"sigma": 1.0},
          "The denoiser learns the score of the blurred data, exactly, not that of the data."),
)  # fmt: skip
