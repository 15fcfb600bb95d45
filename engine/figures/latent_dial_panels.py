"""The latent plane, components, columns and adversaries, drawn: the panels of each view."""

from math import isnan, nan
from typing import Any

import numpy as np

from engine.figures.panel import Axis, Layer, Panel, atlas, cell, cloud, curve, field, images, marks, metric, path
from engine.latent_spaces import adversary, axes, dial, meters, methods, spectrum
from engine.latent_spaces.pullback import CHANGE, LONGEST

Panels = tuple[Panel, ...]
ANGLES = np.linspace(0, 2 * np.pi, 73)
CIRCLES = np.stack([r * np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1) for r in (1, 2, 3)]).astype(np.float32)
TILT = np.array([[0.86, -0.22], [0.5, 0.38], [0.0, 0.9]], np.float32)  # from space to the plane of the picture


def steps_of(cfg: Any) -> Axis:
    """The axis of training steps."""
    return Axis("training step", 0, cfg.steps)


def z(i: int) -> str:
    """The name of a latent dimension, from 0."""
    return "z" + "".join(chr(ord("₀") + int(digit)) for digit in str(i + 1))


def latent_axes(cfg: dial.Config) -> tuple[Axis, Axis]:
    """The two axes of the latent plane."""
    first, second = dial.axes(cfg)
    names = (z(first), z(second) if cfg.n_components > 1 else "")
    if cfg.turned and cfg.n_components > 2:
        names = ("widest direction", "second widest")
    return Axis(names[0], -dial.REACH, dial.REACH), Axis(names[1], -dial.REACH, dial.REACH)


def of_dial(cfg: dial.Config) -> Panels:
    """The latent plane, what it decodes to, examples and their reconstructions, and two charts of the meters."""
    pictures = cfg.examples.pictures
    return (latent(cfg, pictures), *(decoded(cfg) if pictures else (in_space(cfg),)), cost(cfg), to_prior(cfg))


def latent(cfg: dial.Config, pictures: bool) -> Panel:
    """Codes by class over the prior, and how sure the encoder is of some of them."""
    layers: list[Layer] = []
    layers.append(path("prior: 1, 2, 3 σ", "prior", CIRCLES, width=1.5, dash="dot"))
    layers.append(cloud("codes, by class", "data", lambda f: f.codes, size=3.5, opacity=0.8))
    if methods.METHODS[cfg.method].noisy:
        layers.append(path("2σ of q(z | x)", "ink", lambda f: f.ellipses, width=1, opacity=0.6))
    if pictures:
        layers.append(metric("equal change", "model", lambda f: f.metric, level=CHANGE, longest=LONGEST))
        layers.append(atlas("hover: decoded", "model", lambda f: f.atlas))
    x, y = latent_axes(cfg)
    return Panel("Latent space", tuple(layers), x, y, equal=True, name="latent", weight=1.25,
                 alt="The codes of the examples, coloured by class, over circles of the prior")  # fmt: skip


def decoded(cfg: dial.Config) -> tuple[Panel, Panel]:
    """The plane decoded to a sheet of pictures, and held-out pictures with their reconstructions."""
    what = "Input, with noise, output" if cfg.method == "denoising" else "Input and output"
    return (
        Panel("What the plane decodes to", (images("", "model", lambda f: f.sheet, columns=dial.SHEET),), name="sheet",
              stack="pictures", axes=False, alt="Pictures decoded from a grid of places on the latent plane"),
        Panel(what, (images("", "data", lambda f: f.images, columns=10),), name="images", axes=False, stack="pictures",
              share=0.28, hall=False, alt="Held-out pictures above, their reconstructions below"),
    )  # fmt: skip


def in_space(cfg: dial.Config) -> Panel:
    """The points, and the plane decoded to a surface among them."""
    layers = (
        cloud("points", "data", lambda f: tilted(f.seen), size=3, opacity=0.7),
        path("the plane, decoded", "model", lambda f: tilted(f.mesh), width=1.2),
    )
    return Panel("In space, seen obliquely", layers, Axis("", -2.6, 2.6), Axis("", -2.6, 2.6), equal=True, name="space",
                 axes=False, alt="Points in space and the surface that the latent plane decodes to")  # fmt: skip


def tilted(points: np.ndarray) -> np.ndarray:
    """Points of space as a picture shows them: (..., 3) -> (..., 2); a class in a fourth number is kept."""
    flat = points[..., :3] @ TILT
    return np.concatenate([flat, points[..., 3:]], -1)


def metered(cfg: dial.Config, name: str, role: str, of: Any, row: int, dash: str = "") -> Layer:
    """A meter over the steps; with several seeds, the band of all of them."""
    if cfg.runs == 1:
        return curve(name, role, lambda f: (f.step, of(f)), dash=dash)
    return curve(name, role, lambda f: (f.step, of(f), *span(f.band, row)), dash=dash)


def cost(cfg: dial.Config) -> Panel:
    """−ELBO in its terms for the VAE, the squared error for the others; its top is what the mean costs."""
    squared, nats = meters.at_the_mean(cfg.examples)
    if methods.METHODS[cfg.method].noisy:
        layers = (
            metered(cfg, "−ELBO", "model", lambda f: f.wrong + f.pulled, 1),
            metered(cfg, "of it −log p(x | z)", "data", lambda f: f.wrong, 4, dash="dash"),
            metered(cfg, "of it KL", "prior", lambda f: f.pulled, 5, dash="dot"),
        )
        y = Axis("nats", -12, 30) if isnan(nats) else Axis("nats", 0, 1.25 * nats)
        return Panel("−ELBO, held-out", layers, steps_of(cfg), y, name="cost", stack="right", hall=False,
                     alt="The negative ELBO over the training, and its two terms")  # fmt: skip
    layers = (metered(cfg, "‖x − ψ(φ(x))‖²", "model", lambda f: f.error, 0),)
    return Panel("Squared error, held-out", layers, steps_of(cfg), Axis("", 0, 1.1 * squared), name="cost",
                 stack="right", hall=False,
                 alt="The squared error of the reconstruction over the training")  # fmt: skip


def to_prior(cfg: dial.Config) -> Panel:
    """How far all codes together are from the prior; for a VAE of many dimensions what each of them carries."""
    if methods.METHODS[cfg.method].noisy and cfg.n_components > 2:
        bars = path("KL of each dimension", "prior", lambda f: upright(f.kl), width=7)
        spans = path("over the seeds", "ink", lambda f: between_seeds(f.band[6:]), width=1.5, dash="solid")
        layers = (bars, spans) if cfg.runs > 1 else (bars,)
        return Panel("What each dimension carries", layers, Axis("dimension", 0.3, cfg.n_components + 0.7),
                     Axis("nats", 0, 4), name="carried", stack="right", legend=False, hall=False,
                     alt="The KL divergence of each latent dimension, as bars")  # fmt: skip
    layers = (
        metered(cfg, "sliced W₂", "model", lambda f: f.sliced, 2),
        curve("its floor", "model", lambda f: (f.step, f.sliced_floor), dash="dot", width=1),
        metered(cfg, "MMD", "second", lambda f: f.mmd, 3),
        curve("its floor ", "second", lambda f: (f.step, f.mmd_floor), dash="dot", width=1),
    )
    return Panel("From the codes to the prior", layers, steps_of(cfg), Axis("distance", 0.01, 3, log=True),
                 name="prior", stack="right", hall=False,
                 alt="Two distances from the codes to the prior, and their floors",
                 )  # fmt: skip


def span(band: np.ndarray, row: int) -> tuple[float, float]:
    """Least and most of one meter; NaN where there is none."""
    return (float(band[row, 0]), float(band[row, 1])) if row < len(band) else (nan, nan)


def between_seeds(band: np.ndarray) -> np.ndarray:
    """A line from the least to the most of each bar: (k, 2) -> (k, 2, 2)"""
    places = np.repeat(np.arange(1, len(band) + 1, dtype=np.float32)[:, None], 2, 1)
    return np.stack([places, band], 2)


def upright(heights: np.ndarray) -> np.ndarray:
    """A line from 0 to each of k heights, at 1, 2, …: (k,) -> (k, 2, 2)."""
    at = np.arange(1, len(heights) + 1, dtype=np.float32)
    return np.stack([np.stack([at, 0 * heights], 1), np.stack([at, heights], 1)], 1)


def of_pca(cfg: spectrum.Config) -> Panels:
    """The components so far, pictures remade of them, the spectrum, and what is lost."""
    most = len(spectrum.known(cfg.data, cfg.only).found.explained_variance)
    total = spectrum.total(cfg)
    number = Axis("component", 0, most + 1)
    eigen = (
        path("eigenvalues", "data", lambda f: f.spectrum, width=2),
        marks("the newest", "model", lambda f: f.newest),
    )
    lost = (
        curve("error, training pictures", "model", lambda f: (f.n_components, f.error), width=3),
        curve("eigenvalues left out", "truth", lambda f: (f.n_components, f.discarded), dash="dash"),
        curve("error, held-out", "second", lambda f: (f.n_components, f.held_out), dash="dot"),
    )
    return (
        Panel("Held-out pictures, and what the components make of them",
              (images("", "data", lambda f: f.images, columns=spectrum.COLUMNS),), name="images", axes=False,
              stack="left", weight=1.3, alt="Pictures, and below their reconstructions"),
        Panel("The components", (images("", "model", lambda f: f.components, columns=spectrum.COLUMNS),),
              name="components", axes=False, stack="left", weight=1.3,
              alt="The components so far, drawn as pictures"),
        Panel("What is lost", lost, number, Axis("squared error", 0, 1.05 * total), name="lost",
              alt="The squared error over the number of components, and the sum of the eigenvalues left out"),
        Panel("Spectrum", eigen, number, Axis("eigenvalue", 1e-4, 2 * total, log=True), name="spectrum",
              hall=False, alt="The eigenvalues of the covariance on a logarithmic scale"),
    )  # fmt: skip


def of_linear(cfg: axes.Config) -> Panels:
    """Which component each column is, for both networks; the columns as pictures; the angle to PCA's plane."""
    k, steps = cfg.n_components, steps_of(cfg)
    shared: dict[str, Any] = {"colours": "heat", "crisp": True}
    component = Axis("principal component", 0.5, k + 0.5)
    angles = (
        curve("autoencoder", "model", lambda f: (f.step, max(f.angle, 1e-4))),
        curve("VAE", "second", lambda f: (f.step, max(f.vae_angle, 1e-4)), dash="dash"),
    )
    near = (
        curve("autoencoder", "model", lambda f: (f.step, f.aligned)),
        curve("VAE", "second", lambda f: (f.step, f.vae_aligned), dash="dash"),
    )
    return (
        Panel("Components, autoencoder, VAE", (images("", "model", lambda f: f.columns, columns=k),), name="columns",
              axes=False, weight=1.2, alt="The principal components, and the decoders' columns below"),
        Panel("|cos|, autoencoder", (field("|cos|", "model", lambda f: f.cosines, **shared),), component,
              Axis("column", 0.5, k + 0.5), name="plain", stack="tables", legend=False,
              alt="How much each column of the autoencoder's decoder points along each component"),
        Panel("|cos|, VAE", (field("|cos|", "second", lambda f: f.vae_cosines, **shared),), component,
              Axis("column", 0.5, k + 0.5), name="vae", stack="tables", legend=False, hall=False,
              alt="How much each column of the VAE's decoder points along each component"),
        Panel("Angle to PCA's plane", angles, steps, Axis("degrees", 1e-4, 100, log=True), name="angle", stack="charts",
              alt="The largest principal angle to the span of the components over the training"),
        Panel("The column that is least a component", near, steps, Axis("|cos|", 0, 1.02), name="near", stack="charts",
              hall=False, alt="The least alignment of a column with a component over the training"),
    )  # fmt: skip


def of_adversary(cfg: adversary.Config) -> Panels:
    """The discriminator, the best one, what both say of the divergence, and the race."""
    x, y = (Axis(z(i - 1), -adversary.REACH, adversary.REACH) for i in (1, 2))
    codes = cloud("codes", "data", lambda f: f.codes, size=2.5, opacity=0.6)
    shared: dict[str, Any] = {"colours": "diverging"}
    says = (
        curve("what η says", "adversary", lambda f: (f.step, f.bound)),
        curve("2 JS − 2 log 2", "truth", lambda f: (f.step, f.divergence), dash="dash"),
    )
    roles = ("adversary", "model", "data", "second")
    race = tuple(
        curve(name, roles[i], lambda f, i=i: (cell(f.steps, i), cell(f.sliced, i)))
        for i, name in enumerate(adversary.RACE.values())
    )
    floor = path("true samples", "truth", np.array([[0, adversary.floor()], [cfg.steps, adversary.floor()]]),
                 dash="dash", width=1.5)  # fmt: skip
    return (
        Panel("Discriminator η: “from the prior”", (field("η", "adversary", lambda f: f.eta, **shared), codes), x, y,
              equal=True, weight=1.2, name="eta", alt="The discriminator on the latent plane, and the codes"),
        Panel("The best one, p / (p + q)", (field("η*", "truth", lambda f: f.best, **shared), codes), x, y,
              equal=True, weight=1.2, name="best", alt="The best discriminator for the same codes"),
        Panel("Race to the prior", (*race, floor), steps_of(cfg), Axis("sliced W₂", 0.03, 2, log=True), name="race",
              stack="charts", alt="The distance to the prior of four methods over their training"),
        Panel("What η says of the divergence", says, steps_of(cfg), Axis("nats", -1.6, 0), name="says", stack="charts",
              hall=False, alt="The discriminator's value over the training, and the largest one there is"),
    )  # fmt: skip
