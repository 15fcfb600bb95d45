"""Diffusion denoising, drawn: the panels of each view."""

from functools import lru_cache
from typing import Any

import numpy as np

from engine.diffusion_denoising import digits, forward, image, langevin, learn, luck, reverse, score
from engine.figures.panel import Axis, Layer, Panel, arrows, cloud, curve, field, images, marks, path

Panels = tuple[Panel, ...]
WALKS = {"ddpm": "DDPM", "ddim": "DDIM", "heun": "ODE, Heun", "langevin": "annealed Langevin"}
WALK_ROLES = {"ddpm": "model", "ddim": "second", "heun": "data", "langevin": "third"}


def plane(half: float) -> tuple[Axis, Axis]:
    """Two axes of space, as far as `half` from 0."""
    return Axis("x₁", -half, half), Axis("x₂", -half, half)


def about(value: float, error: float) -> tuple[float, float]:
    """Two standard errors below and above."""
    return value - 2 * error, value + 2 * error


def reach(cfg: Any) -> float:
    """How far the picture of a data set goes."""
    return score.half_width(forward.mixture(cfg.data, cfg.points))


def truth(cfg: Any) -> Layer:
    """The exact density of the data, the same in every frame."""
    return field("data", "data", _density(cfg.data, cfg.points))


@lru_cache(maxsize=16)
def _density(data: str, points: str) -> np.ndarray:
    p = forward.mixture(data, points)
    return forward.picture(p, 1.0, score.half_width(p))[0]


def of_learning(cfg: learn.Config) -> Panels:
    """Samples and their paths, the learned score on the exact one, the loss."""
    x, y = plane(reach(cfg))
    samples = (
        truth(cfg),
        path("paths", "muted", lambda f: f.paths, width=1, dash="solid", opacity=0.55),
        cloud("samples", "model", lambda f: f.samples),
    )
    pull = (
        arrows("exact score", "truth", lambda f: f.exact_score, width=3.2),
        arrows("learned", "model", lambda f: f.score, width=1.4),
    )
    loss = (
        curve("loss", "muted", lambda f: (f.step, f.loss), dash="solid", width=1),
        curve("loss, smoothed", "model", lambda f: (f.step, f.loss_ema)),
        curve("best possible", "truth", lambda f: (f.step, f.least)),
        curve("score error", "second", lambda f: (f.step, f.score_error), dash="dot"),
    )
    steps = Axis("training step", 0, cfg.train_steps)
    return (
        Panel("Samples", samples, x, y, equal=True, name="samples", draw="points",
              alt="Samples of the network over the density of the data"),
        Panel("Score at σ = 0.4", pull, x, y, equal=True, name="score", hall=False,
              alt="Arrows of the learned score on those of the exact score"),
        Panel("Loss and score error", loss, steps, Axis("", 0, 1.3), name="loss",
              alt="The training loss, the least loss that any network can reach, and the error of the score"),
    )  # fmt: skip


def of_forward(cfg: forward.Config) -> Panels:
    """The noised data with density and score, what is left of the signal, the distance to pure noise."""
    x, y = plane(reach(cfg))
    space = (
        field("density of x_t", "data", lambda f: f.density),
        arrows("score of x_t", "truth", lambda f: f.score),
        cloud("x_t", "model", lambda f: f.cloud, size=3, opacity=0.55),
    )
    times = Axis("t", 0, cfg.num_train_timesteps - 1)
    return (
        Panel("The data in noise", space, x, y, equal=True, name="space", draw="points",
              alt="Noised data with their exact density and score at step t"),
        Panel("Signal left, √ᾱ", _schedules(cfg, 1), times, Axis("√ᾱ", 0, 1), name="signal",
              alt="What is left of the signal over t, for each schedule"),
        Panel("Distance to pure noise", (
            curve("sliced W₂ to N(0, I)", "model", lambda f: (f.t, f.distance)),
            curve("floor", "truth", lambda f: (f.t, f.floor)),
        ), times, Axis("distance", 0, 0.6), name="distance", hall=False,
              alt="The distance of the noised data to pure noise over t"),
    )  # fmt: skip


def _schedules(cfg: forward.Config, column: int) -> tuple[Layer, ...]:
    """Every schedule's curve faintly, the chosen one in full with a mark at t."""
    others = [
        path("other schedules", "muted", table[:, [0, column]], width=1.2, dash="dot", opacity=0.9)
        for name, table in forward.curves(cfg.num_train_timesteps).items()
        if name != cfg.beta_schedule
    ]
    chosen = learn.SCHEDULES[cfg.beta_schedule]
    table = forward.curves(cfg.num_train_timesteps)[cfg.beta_schedule]
    whole = path("", "model", table[:, [0, column]], width=1.5, dash="solid", opacity=0.35)
    return (*others, whole, curve(chosen, "model", lambda f: (f.t, f.signal_left), width=3))


def of_reverse(cfg: reverse.Config) -> Panels:
    """The four samplers, two and two, and their distances over the calls they cost."""
    x, y = plane(reach(cfg))
    fork = cfg.fork_step > 0

    def one(name: str) -> Panel:
        role = WALK_ROLES[name]
        layers = [
            truth(cfg),
            cloud(WALKS[name], role, lambda f: getattr(f, name), size=3.5),
            path("one path", "ink", lambda f: getattr(f, f"{name}_path"), width=2, dash="solid", head=True),
        ]
        if fork:
            branch = lambda f: getattr(f, f"{name}_fork")  # noqa: E731
            layers.append(path("one draw changed", "adversary", branch, width=2, dash="dash", head=True))
        layers.append(marks("start", "ink", lambda f: f.start, drag=("start_x", "start_y")))
        side = "left" if name in ("ddpm", "heun") else "right"
        return Panel(WALKS[name], tuple(layers), x, y, equal=True, name=name, stack=side, legend=False, axes=False,
                     hall=name in ("ddpm", "heun"), draw="points" if name == "ddpm" else "",
                     alt=f"Samples of {WALKS[name]} and one path")  # fmt: skip

    distances = tuple(
        curve(WALKS[name], WALK_ROLES[name], lambda f, name=name: (f.budget, getattr(f, f"{name}_w2")))
        for name in WALKS
    )
    floor = curve("true samples", "truth", lambda f: (f.budget, f.floor))
    calls = Axis("network calls", 0, cfg.calls)
    chart = Panel("Sliced W₂ to the data", (*distances, floor), calls, Axis("distance", 0.05, 3, log=True), name="w2",
                  weight=1.25, alt="The distance to the data of each sampler over its network calls")  # fmt: skip
    return one("ddpm"), one("heun"), one("ddim"), one("langevin"), chart


def of_score(cfg: score.Config) -> Panels:
    """The denoiser's pull on the exact score, where it is wrong, the loss."""
    x, y = plane(score.half_width(forward.mixture(cfg.data, cfg.points).noised(1.0, min(cfg.sigma, 1.0))))
    pull = (
        field("noisy density", "data", lambda f: f.density),
        arrows("exact score", "truth", lambda f: f.exact, width=3),
        arrows("learned: (r(x) − x) / σ²", "model", lambda f: f.learned, width=1.3),
    )
    error = (
        field("error, σ‖Δ‖ / (1 + σ‖Δ‖)", "muted", lambda f: f.error / (1 + f.error), colours="heat"),
        cloud("noisy data", "data", lambda f: f.noisy, size=2.5, opacity=0.5),
    )
    loss = (
        curve("held-out loss", "model", lambda f: (f.step, f.loss, *about(f.loss, f.loss_error))),
        curve("best possible", "truth", lambda f: (f.step, f.least)),
    )
    top = max(0.02, 2.2 * min(cfg.sigma**2, 1.0))
    return (
        Panel("What the denoiser pulls towards", pull, x, y, equal=True, name="score", draw="points"),
        Panel("Where it is wrong", error, x, y, equal=True, name="error", hall=False),
        Panel("Loss", loss, Axis("training step", 0, cfg.train_steps), Axis("mean square error", 0, top), name="loss"),
    )


def of_levels(cfg: score.LevelsConfig) -> Panels:
    """The exact score, the learned one and the error between them, over place and noise level."""
    x, y = Axis("x₁, on the line x₂ = 0", -3, 3), Axis("noise σ", score.SIGMA_MIN, score.SIGMA_MAX, log=True)
    shared: dict[str, Any] = {"low": -2.5, "high": 2.5, "colours": "diverging"}
    return (
        Panel("Exact score", (field("x₁ part", "truth", lambda f: f.exact, **shared),), x, y, name="exact"),
        Panel("Learned", (field("x₁ part", "model", lambda f: f.learned, **shared),), x, y, name="learned"),
        Panel("Error", (field("length of the difference", "muted", lambda f: f.error, colours="heat"),), x, y,
              name="error", hall=False),
    )  # fmt: skip


def of_langevin(cfg: langevin.Config) -> Panels:
    """The chains over their target, what they get wrong, the distance to the target."""
    half = langevin.half_width(langevin.target(cfg))
    x, y = plane(half)
    chains = (
        field("target", "data", lambda f: f.density),
        arrows("score", "truth", lambda f: f.arrows, scale=0.8, width=1.2),
        cloud("chains", "model", lambda f: f.cloud),
        path("one of them", "ink", lambda f: f.path[-40:], width=1.2, dash="solid", opacity=0.6, head=True),
    )
    draw = "" if cfg.data in langevin.TARGETS else "points"
    space = Panel("Shaken chains", chains, x, y, equal=True, name="chains", draw=draw,
                  alt="Chains of Langevin dynamics over the density they should sample")  # fmt: skip
    return space, _balance(cfg), _distance(cfg, half)


def _balance(cfg: langevin.Config) -> Panel:
    """What the chains get wrong: the variance on one Gaussian, elsewhere the mass on each side."""
    steps = Axis("step", 0, cfg.steps)
    if cfg.data == "one_gaussian":
        layers = (
            curve("of the chains", "model", lambda f: (f.step, f.variance, *about(f.variance, f.variance_error))),
            curve("exact for this step", "truth", lambda f: (f.step, f.variance_exact)),
            curve("of the target", "data", lambda f: (f.step, f.variance_target), dash="dot"),
        )
        return Panel("Variance", layers, steps, Axis("variance", 0, 4), name="balance")
    layers = (
        curve("of the chains", "model", lambda f: (f.step, f.share_right, *about(f.share_right, f.share_error))),
        curve("true weight", "truth", lambda f: (f.step, f.weight_right)),
    )
    return Panel("Share on the right, x₁ > 0", layers, steps, Axis("share", 0, 1), name="balance")


def _distance(cfg: langevin.Config, half: float) -> Panel:
    layers = (
        curve("chains", "model", lambda f: (f.step, f.distance)),
        curve("true samples", "truth", lambda f: (f.step, f.floor)),
    )
    top = Axis("distance", 0, max(1.5, 0.9 * half))
    return Panel("Sliced W₂ to the target", layers, Axis("step", 0, cfg.steps), top, name="distance", hall=False)


def of_luck(cfg: luck.Config) -> Panels:
    """The luckiest and the unluckiest of the runs, and how far apart all of them are."""
    x, y = plane(reach(cfg))

    def one(name: str, role: str, title: str) -> Panel:
        layers = truth(cfg), cloud(title, role, lambda f: getattr(f, f"samples_{name}"))
        return Panel(title, layers, x, y, equal=True, name=name, legend=False, stack="clouds", axes=False,
                     draw="points" if name == "best" else "", alt=f"Samples of the {title} over the data")  # fmt: skip

    def band(name: str, title: str, role: str, most: float, *more: Layer) -> Panel:
        values = lambda f: (f.step, *(getattr(f, f"{name}_{end}") for end in ("mid", "low", "high")))  # noqa: E731
        layers = curve(f"median of {cfg.runs}; band: all", role, values), *more
        return Panel(title, layers, Axis("training step", 0, cfg.train_steps), Axis("", 0, most), name=name,
                     hall=name == "off", alt=f"{title}: the median run and the band of all runs")  # fmt: skip

    floor = curve("exact denoiser", "truth", lambda f: (f.step, f.attainable))
    return (
        one("best", "model", "luckiest run"),
        one("worst", "second", "unluckiest run"),
        band("off", "Share off the data", "model", 1.0),
        band("w2", "Sliced W₂ to the data", "model", 1.0, floor),
    )


def of_digits(cfg: digits.Config) -> Panels:
    """Six samples of each numeral under a real one, and how legible they are."""
    columns = digits.CLASSES
    sheet = lambda f: np.concatenate([digits.examples(cfg.data), _by_row(f.images)])  # noqa: E731
    legible = (
        curve(
            "read right",
            "model",
            lambda f: (f.progress + f.phase // 2 * f.step / (5 * cfg.num_inference_steps), 100 * f.legibility),
        ),
    )
    return (
        Panel("First row real, below it made to order", (images("", "data", sheet, columns=columns),), name="digits",
              axes=False, weight=2.2, alt="A real picture of each numeral, and six samples of each below"),
        Panel("Legibility", legible, Axis("training, then sampling", 0, 1.25), Axis("% read right", 0, 100),
              name="legibility", alt="The share of the samples that are read as the numeral asked for"),
    )  # fmt: skip


def _by_row(sheet: np.ndarray) -> np.ndarray:
    """From six of each numeral in turn to rows of ten numerals: (60, h, w) -> (60, h, w)."""
    if len(sheet) != digits.CLASSES * digits.EACH:
        return sheet
    h, w = sheet.shape[1:]
    return sheet.reshape(digits.CLASSES, digits.EACH, h, w).swapaxes(0, 1).reshape(-1, h, w)


def of_image(cfg: image.Config) -> Panels:
    """One picture, in pixels, as its code is decoded, and as the network guesses it; the noise on the way."""
    four = lambda f: np.stack([f.truth, f.pixels, f.image, f.denoised])  # noqa: E731
    captions = ("the picture", "in noise, pixels", "its code in noise", "the network's guess")
    way = (curve("√ᾱ", "data", lambda f: (_moment(f), f.alpha_bar**0.5)),)
    return (
        Panel("Into the noise and back", (images("", "data", four, columns=2, captions=captions),), name="image",
              axes=False, weight=1.4, draw="picture", alt="A picture, noised, and what the network makes of it"),
        Panel("Signal left on the way", way, Axis("frame", 0, image.FORWARD + cfg.num_inference_steps + 2),
              Axis("√ᾱ", 0, 1), name="way", alt="What is left of the signal on the way into the noise and back"),
    )  # fmt: skip


def _moment(f: image.Frame) -> int:
    return f.step + (image.FORWARD + 1 if f.phase == 2 else 0)
