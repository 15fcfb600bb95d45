"""The anatomy of a variational autoencoder, drawn: the panels of each view."""

from typing import Any

import numpy as np

from engine.figures.panel import Axis, Panel, arrows, atlas, cloud, curve, field, images, marks, metric, path
from engine.latent_spaces import between, collapse, factors, holes, pullback, trick

Panels = tuple[Panel, ...]


def of_trick(cfg: trick.Config) -> Panels:
    """The function with samples and slopes, the two histograms, the two running means."""
    known, shape = trick.exact(cfg), trick.drawn(cfg)
    at = trick.edges(known, cfg.samples)
    z = Axis("z", cfg.mu - 3.3 * cfg.sigma, cfg.mu + 3.3 * cfg.sigma)
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
    tall = Axis("share of the estimates", 0, 1.15 * max(trick.tallest(cfg)))
    goal = marks("exact", "truth", np.array([[known.gradient, 0.0]]), line="x")

    def bars(title: str, role: str, name: str, of: Any) -> Panel:
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


def of_collapse(cfg: collapse.Config) -> Panels:
    """KL of every dimension by beta, error against rate, and what each network gives back."""
    n, values = cfg.n_components, collapse.data().values.cpu().numpy()
    step = (collapse.BETAS[1] / collapse.BETAS[0]) ** 0.5
    beta = Axis("noise variance of the decoder, σ² = β", collapse.BETAS[0] / step, collapse.BETAS[-1] * step, log=True)
    stairs = np.stack([np.repeat(values[:n], 2), np.repeat(np.arange(n + 1), 2)[1:-1] + 0.5], 1)
    light = (
        field("KL, nats", "model", lambda f: f.kl, low=0.0, high=1.6, colours="heat", crisp=True),
        path("λᵢ = σ²", "adversary", stairs, width=2.5, dash="solid"),
    )
    best = collapse.exact_frontier(collapse.data().values, n)
    price = (
        path("best linear, exact", "truth", best, dash="dash", width=2.5),
        path("networks", "model", lambda f: f.frontier, width=1.4, dash="solid"),
        cloud("one β each", "model", lambda f: f.frontier, size=6),
    )
    captions = ("input", *(f"{beta:.2g}" for beta in collapse.BETAS[:: collapse.EVERY]))
    return (
        Panel("KL of each dimension", light, beta, Axis("dimension, by its KL", 0.5, n + 0.5), weight=1.2, name="kl",
              alt="The KL of every latent dimension for each beta, dark where it is zero"),
        Panel("Error against rate", price, Axis("rate: KL in nats a picture", 0, 14),
              Axis("squared error a picture", 0, 5.2), name="frontier",
              alt="The squared error over the rate of each network, and the best that linear networks can do"),
        Panel("Given back, by σ²", (images("", "model", lambda f: f.images, columns=len(captions), captions=captions),),
              axes=False, weight=1.3, name="back", hall=False,
              alt="Held-out digits, and below each beta what its network gives back"),
    )  # fmt: skip


def circles() -> np.ndarray:
    """One, two and three standard deviations of the prior: (3, 49, 2)."""
    angle = np.linspace(0, 2 * np.pi, 49)
    return np.arange(1, 4)[:, None, None] * np.stack([np.cos(angle), np.sin(angle)], 1)


def of_holes(cfg: holes.Config) -> Panels:
    """Codes of the data under draws of the prior, one over the other, what the draws decode to, how good that is."""
    x, y = (Axis(f"z{i}", -holes.REACH, holes.REACH) for i in "₁₂")
    plane = (
        field("codes of the data, q(z)", "data", lambda f: f.q, high=1.5),
        path("prior, 1 to 3 σ", "prior", circles(), width=1.2),
        cloud("draws of the prior", "model", lambda f: f.draws, size=3.5),
        cloud("draws in holes", "adversary", lambda f: f.in_holes, size=5),
    )
    ratio = (
        field("log₁₀ of q(z) / p(z)", "data", lambda f: f.ratio, low=-2.0, high=2.0, colours="diverging"),
        path("prior, 1 to 3 σ", "prior", circles(), width=1.2),
    )

    def strip(title: str, role: str, of: Any, alt: str) -> Panel:
        layers = (images("", role, of, columns=holes.ROW),)
        return Panel(title, layers, axes=False, name=title, stack="pictures", alt=alt)

    distance = (
        curve("draws in holes", "adversary", lambda f: (f.count, f.hole, *about(f.hole, f.hole_error))),
        curve("other draws", "model", lambda f: (f.count, f.inside, *about(f.inside, f.inside_error))),
        curve("reconstructions", "data", lambda f: (f.count, f.remade), dash="dash"),
    )
    return (
        Panel("Drawn from the prior", plane, x, y, equal=True, name="plane", weight=1.2,
              alt="The density of the codes of all data, the prior's circles, and draws of the prior"),
        strip("Draws where data encode", "model", lambda f: f.good, "Six draws where data encode, decoded"),
        strip("Draws in holes", "adversary", lambda f: f.bad, "Six draws in holes, decoded"),
        strip("Reconstructions", "data", lambda f: f.back, "Six held-out pictures, reconstructed"),
        Panel("Codes against the prior", ratio, x, y, equal=True, name="ratio", stack="right", hall=False,
              alt="The density of the codes over that of the prior"),
        Panel("Distance to the nearest real picture", distance, Axis("draws", 0, holes.FRAMES * holes.FRESH),
              Axis("rms over pixels", 0, 0.25), name="distance", stack="right", hall=False,
              alt="The mean distance of decoded draws to the nearest real picture"),
    )  # fmt: skip


def about(value: float, error: float) -> tuple[float, float]:
    """Two standard errors below and above."""
    return value - 2 * error, value + 2 * error


def of_factors(cfg: factors.Config) -> Panels:
    """What each dimension knows of each factor, strips of every dimension, and the gap over beta."""
    n, count = cfg.n_components, len(factors.NAMES)
    known = (field("mutual information, nats", "model", lambda f: f.information, high=0.5, colours="heat", crisp=True),)
    names = " ".join(f"{i + 1} {SHORT[name]}" for i, name in enumerate(factors.NAMES))
    beta = Axis("β = σ²", factors.BETAS[0] * 0.9, factors.BETAS[-1] * 1.1, log=True)
    gap = (curve("MIG", "model", lambda f: (f.beta, f.mig)),)
    price = (
        curve("squared error", "adversary", lambda f: (f.beta, f.error)),
        curve("dimensions in use", "data", lambda f: (f.beta, f.active)),
    )
    return (
        Panel("What a dimension knows", known, Axis(names, 0.5, count + 0.5),
              Axis("dimension, the largest KL first", 0.5, n + 0.5), weight=1.4, name="matrix",
              alt="The mutual information of every latent dimension with every factor of the glyphs"),
        Panel("One dimension changed at a time", (images("", "model", lambda f: f.strips, columns=factors.STOPS),),
              axes=False, weight=1.2, name="strips", alt="A strip of decoded glyphs for each latent dimension"),
        Panel("Mutual information gap", gap, beta, Axis("MIG", 0, 0.08), name="mig", stack="right", hall=False,
              alt="The mutual information gap over beta"),
        Panel("What it costs", price, beta, Axis("", 0, 14), name="cost", stack="right", hall=False,
              alt="The squared error and the number of dimensions in use over beta"),
    )  # fmt: skip


SHORT = {"slant": "slant", "thickness": "pen", "rotation": "turn", "size": "size", "aspect": "wide", "shift_x": "→",
         "shift_y": "↓", "elastic": "bend"}  # fmt: skip


SENT = ("sent", "came back", "error")


def of_between(cfg: between.Config) -> Panels:
    """The plane with two ends to drag, the two ways as strips, how far each is from real pictures, a picture sent."""
    x, y = (Axis(f"z{i}", -between.REACH, between.REACH) for i in "₁₂")
    plane = (
        cloud("codes", "data", lambda f: f.codes, size=2.5, opacity=0.45),
        cloud("held-out, to click", "ink", lambda f: f.held, size=5, opacity=0.5, hollow=True, pick=True),
        *(
            (path("equal change everywhere", "muted", lambda f: f.everywhere, width=1, dash="solid"),)
            if cfg.ellipses
            else ()
        ),
        path("", "model", lambda f: f.ends, width=2),
        path("equal change: here", "model", lambda f: f.ellipse, width=2, dash="solid"),
        metric("at the pointer", "second", lambda f: f.metric, level=pullback.CHANGE, longest=pullback.LONGEST),
        marks("", "model", lambda f: f.here),
        marks("", "ink", lambda f: f.ends[:1], labels=("from",), drag=("x1", "y1")),
        marks("", "ink", lambda f: f.ends[1:], labels=("to",), drag=("x2", "y2")),
        marks("the picture sent", "adversary", lambda f: f.landed),
        atlas("", "model", lambda f: f.atlas),
    )
    share = Axis("share of the way", 0, 1)
    off = (
        curve("straight on the plane", "model", lambda f: (f.share, f.latent_off)),
        curve("straight in pixels", "adversary", lambda f: (f.share, f.pixel_off)),
    )
    return (
        Panel("Drag the two ends", plane, x, y, equal=True, name="plane", weight=1.4,
              alt="The latent plane with two ends, the line between them and the decoder's ellipse"),
        Panel("Plane above, pixels below", (images("", "model", lambda f: f.strips, columns=between.STRIP),),
              axes=False, name="strips", stack="ways", weight=1.2,
              alt="Nine stops of the way on the latent plane, and nine of the way from pixel to pixel"),
        Panel("Here", (images("", "model", lambda f: f.now, columns=2, captions=("decoded", "mixed")),), axes=False,
              name="now", stack="ways", weight=1.2, hall=False, alt="The decoded place, and the mix of both ends"),
        Panel("Through the encoder and back", (images("", "data", lambda f: f.sent, columns=3, captions=SENT),),
              axes=False, name="sent", stack="right", share=0.7, draw="picture",
              alt="The picture that was sent through the encoder, what came back, and the error"),
        Panel("Distance to the nearest real picture", off, share, Axis("rms over pixels", 0, 0.25),
              name="off", stack="right", hall=False, alt="How far either way is from real pictures"),
    )  # fmt: skip
