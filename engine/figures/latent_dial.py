"""Latent spaces, seen: one dial of nine methods, principal components, a linear autoencoder, and an adversary."""

from math import isfinite
from typing import Any

from engine.data.pictures import KEPT, read_pictures
from engine.figures import latent_dial_panels as panels
from engine.figures.panel import cell
from engine.figures.view import Readout, Scene, View
from engine.latent_spaces import adversaries, adversary, axes, dial, gap, learning, methods, pca, spectrum
from engine.latent_spaces import coder as coding
from engine.latent_spaces.data import YOURS

LEAST = 10  # pictures that a training wants


def told(value: float) -> str:
    """A number for the formula; a dash where there is none."""
    return f"{value:.2f}" if isfinite(value) else r"\text{–}"


def brought(content: bytes) -> tuple[dict[str, Any], list[str]]:
    """The settings that a visitor's pictures make, and what should be known of them. Raises ValueError."""
    found, notes = read_pictures(content, least=LEAST)
    classes = f", {len(found.names)} classes" if len(found.names) > 1 else ""
    return {"data": YOURS, "pictures": KEPT.keep(found)}, [f"{len(found.images)} pictures{classes}.", *notes]


DIAL = View(
    "dial", "What does a latent space keep?", dial.Config, dial.run, panels.of_dial, fps=15, follow=True,
    mend=dial.possible,
    uploads={"Bring pictures (zip or CSV)": (("zip", "csv", "txt", "png", "jpg", "jpeg"), brought)},
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("squared error", lambda f: f.error, help="Of the reconstruction of held-out examples, summed over x"),
        Readout("−ELBO", lambda f: f.wrong + f.pulled, "estimate", help="Nats per held-out example; the VAE's"),
        Readout("KL", lambda f: f.pulled, help="Of it, nats per held-out example, all dimensions"),
        Readout("sliced W₂ / floor", lambda f: f.sliced / f.sliced_floor, "estimate",
                help="Distance of the codes to the prior over that of as many true samples of it"),
        Readout("neighbours agree", lambda f: f.knn, percent=True,
                help="Held-out codes whose nearest code on the plane has their class"),
    ),
    equation=lambda f, cfg: {"wrong": told(f.wrong), "kl": told(f.pulled), "error": f"{f.error:.3g}",
                             "beta": f"{cfg.beta:.3g}", "sliced": f"{f.sliced:.3f}", "floor": f"{f.sliced_floor:.3f}"},
    code=(methods.vae, methods.matching, coding.kl, gap.mmd2, gap.sliced_w2_squared, learning.learn),
)  # fmt: skip
PCA = View(
    "pca", "What do principal components keep?", spectrum.Config, spectrum.run, panels.of_pca, fps=8, hold=True,
    readouts=(
        Readout("components", lambda f: f.n_components),
        Readout("eigenvalue λ_k", lambda f: f.eigenvalue, help="Variance along the newest component"),
        Readout("explained", lambda f: f.cumulative, percent=True, help="Share of the variance, of all so far"),
        Readout("squared error", lambda f: f.error, help="Measured: mean over the training pictures"),
        Readout("Σ of λ left out", lambda f: f.discarded, help="What the squared error must be"),
        Readout("held-out error", lambda f: f.held_out, help="Mean over pictures that the components never saw"),
    ),
    equation=lambda f, cfg: {"k": f"{f.n_components}", "error": f"{f.error:.4f}", "sum": f"{f.discarded:.4f}",
                             "ratio": f"{100 * f.cumulative:.1f}"},
    code=(pca.pca, spectrum.run),
)  # fmt: skip
LINEAR = View(
    "linear", "Does a linear autoencoder find components?", axes.Config, axes.run, panels.of_linear, fps=15,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("angle to PCA's plane", lambda f: f.angle, help="Degrees, the largest principal angle, autoencoder"),
        Readout("excess error", lambda f: f.excess, percent=True, help="Squared error over that of PCA, less 1"),
        Readout("least |cos|, autoencoder", lambda f: f.aligned, help="Of a decoder column and its nearest component"),
        Readout("least |cos|, VAE", lambda f: f.vae_aligned),
        Readout("ELBO short of its limit", lambda f: f.likelihood - f.elbo, help="Nats below probabilistic PCA's"),
    ),
    equation=lambda f, cfg: {"angle": f"{f.angle:.2f}", "aligned": f"{f.aligned:.3f}", "vae": f"{f.vae_aligned:.3f}",
                             "elbo": f"{f.elbo:.3f}", "limit": f"{f.likelihood:.3f}"},
    code=(axes.squared_error, axes.negative_elbo, pca.principal_angles),
)  # fmt: skip
ADVERSARY = View(
    "adversary", "Who matches the prior first?", adversary.Config, adversary.run, panels.of_adversary, fps=30,
    follow=True,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("η says", lambda f: f.bound, help="E_p log η + E_q log(1 − η), nats; q: a kernel density of the codes"),
        Readout("2 JS − 2 log 2", lambda f: f.divergence, help="What the best discriminator would say of them"),
        Readout("|η − η*|", lambda f: f.off, help="Mean over codes and prior alike"),
        Readout("AAE / floor", lambda f: cell(f.sliced, 0) / f.floor, "estimate"),
        Readout("sliced / floor", lambda f: cell(f.sliced, 2) / f.floor, "estimate"),
    ),
    equation=lambda f, cfg: {"bound": f"{f.bound:.3f}", "exact": f"{f.divergence:.3f}", "off": f"{f.off:.3f}"},
    code=(adversary.compared, adversary.density, adversaries.Discriminator),
)  # fmt: skip
VIEWS = (DIAL, PCA, LINEAR, ADVERSARY)
SCENES = (
    Scene("manifold", "Two numbers hold ten numerals", "dial", {},
          "A VAE trained live: hover the plane, and the decoder draws what lies there."),
    Scene("unruly", "Without a prior, codes go where they like", "dial",
          {"data": "digits", "method": "deep", "steps": 600},
          "It reconstructs better than the VAE, and its codes are twice as far from the prior as samples of it are."),
    Scene("crowd", "A penalty on the crowd matches the prior", "dial",
          {"data": "digits", "method": "wae_sw", "beta": 3.0, "steps": 600},
          "The sliced WAE asks nothing of a single code; all together come nearly as close as true samples would."),
    Scene("dark", "Pull too hard, and nothing is kept", "dial", {"data": "digits", "beta": 30.0, "steps": 300},
          "At β = 30 the KL of both dimensions goes to zero: every picture gets the same code, and the same output."),
    Scene("sheet", "A bent sheet unrolls where PCA cannot", "dial", {"data": "s_curve", "method": "deep", "steps": 400},
          "The decoded plane bends along the S; choose PCA, and a flat plane cuts through it."),
    Scene("sum", "The error is the eigenvalues left out", "pca", {},
          "Measured on the pictures and summed from the spectrum: the two curves are one."),
    Scene("glyphs", "Half the variance in a few pictures", "pca", {"data": "glyphs"},
          "Of 784 directions a handful explain half of the variance."),
    Scene("span", "The same plane, but not the same axes", "linear", {},
          "The autoencoder's angle to PCA's plane falls to zero; its columns stay mixtures of the components."),
    Scene("race", "The adversary matches, and keeps the most", "adversary", {},
          "Four ways to the prior from one seed: at these weights the adversarial one gives up least of the pictures."),
    Scene("bound", "What it says never exceeds the truth", "adversary", {"beta": 0.1, "steps": 300},
          "Whatever η has learned, its value stays below 2 JS − 2 log 2, which the best discriminator would reach."),
)  # fmt: skip
