"""Diffusion denoising, seen: its views and its scenes."""

from collections.abc import Mapping
from dataclasses import replace
from math import nan
from typing import Any

import numpy as np

from engine.data import drawing
from engine.data.points import encode, read_csv, standardise
from engine.diffusion_denoising import (
    digits,
    forward,
    image,
    langevin,
    learn,
    luck,
    model,
    reverse,
    samplers,
    schedules,
    score,
)
from engine.figures import diffusion_panels as panels
from engine.figures.brought import pictured
from engine.figures.view import Readout, Scene, View


def drawn(event: Mapping[str, Any], cfg: Any) -> dict[str, Any]:
    """The settings that a drawing makes. Raises ValueError for an empty one."""
    points = np.asarray(event["points"], float).reshape(-1, 2)
    if not len(points):
        raise ValueError("Nothing was drawn; draw at least one stroke, then press “Use it”.")
    return {"data": "yours", "points": encode(points)}


def brought(content: bytes) -> tuple[dict[str, Any], list[str]]:
    """The settings that a CSV of points makes, and what should be known of it. Raises ValueError."""
    points, notes = read_csv(content)
    points = standardise(points)
    if np.abs(points).max() > 3:
        notes = [*notes, "Points farther than three standard deviations from the middle were moved to the edge."]
    return {"data": "yours", "points": encode(points)}, notes


def uploaded(content: bytes) -> tuple[dict[str, Any], list[str]]:
    """The settings that a picture file makes. Raises ValueError."""
    return {"picture": drawing.encode_picture(image.read_picture(content))}, []


def _lopsided() -> str:
    """Nine tenths of the points on a ring on the left, one tenth on a ring on the right, as a drawing."""
    angle = np.linspace(0, 2 * np.pi, 54, endpoint=False)
    ring = 0.3 * np.stack([np.cos(angle), np.sin(angle)], 1)
    return encode(np.concatenate([ring + (-0.6, 0.4), ring[::9] + (2.2, -1.0)]))


CUT = {"beta_schedule": "linear", "num_train_timesteps": 50}  # keeps 78 % of the signal at its end
LOPSIDED = {"data": "yours", "points": _lopsided()}


def filled(cfg: Any) -> tuple[Any, str]:
    """Until there are points of the visitor's own, the default data; and a sentence that says so."""
    if cfg.data != "yours" or cfg.points:
        return cfg, ""
    start = type(cfg)().data
    return replace(cfg, data=start), (
        "There are no points of your own yet: draw some (the button “Draw your own data”), or bring a CSV. "
        f"Until then you see {start.replace('_', ' ')}."
    )


POINTS: dict[str, Any] = {
    "mend": filled,
    "events": {"drawn": drawn},
    "uploads": {"Bring points (CSV)": (("csv", "txt", "tsv"), brought)},
}


def _distance(name: str) -> Readout:
    return Readout(panels.WALKS[name], lambda f: getattr(f, f"{name}_w2"), "estimate", error=lambda f: f.floor_spread,
                   help="Sliced W₂ of its samples to a large true cloud")  # fmt: skip


FLOOR = Readout("floor", lambda f: f.floor, "estimate", error=lambda f: f.floor_spread,
                help="Sliced W₂ of as many true samples: no sampler can be told from perfect below it")  # fmt: skip

LEARN = View(
    "learn", "How does noise become data?", learn.Config, learn.run, panels.of_learning, fps=24,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("off the data", lambda f: f.off_manifold, "estimate", percent=True,
                help="Share of the samples farther than three standard deviations from every part of the data"),
        Readout("sliced W₂", lambda f: f.sliced_w2, "estimate", error=lambda f: f.floor_spread),
        FLOOR,
        Readout("score error", lambda f: f.score_error, "estimate", percent=True, help="Relative, root mean square"),
    ),
    equation=lambda f, cfg: {"loss": f"{f.loss_ema:.3f}", "step": str(f.step)},
    code=(learn.train, model.Denoiser, samplers.heun),
    **POINTS,
)  # fmt: skip
LUCK = View(
    "luck", "How much of the result is luck?", luck.Config, luck.run, panels.of_luck, fps=16,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("off the data, best", lambda f: f.off_low, "estimate", percent=True,
                help="Share of the samples farther than three standard deviations from every part of the data"),
        Readout("median", lambda f: f.off_mid, "estimate", percent=True),
        Readout("worst", lambda f: f.off_high, "estimate", percent=True),
        Readout("sliced W₂, median", lambda f: f.w2_mid, "estimate", error=lambda f: f.floor_spread),
        FLOOR,
    ),
    equation=lambda f, cfg: {"k": str(cfg.runs), "low": f"{100 * f.off_low:.0f}", "high": f"{100 * f.off_high:.0f}"},
    code=(luck.guesses, luck.run),
    **POINTS,
)  # fmt: skip
FORWARD = View(
    "forward", "What does the noise leave of the data?", forward.Config, forward.run, panels.of_forward, hold=True,
    readouts=(
        Readout("t", lambda f: f.t),
        Readout("ᾱ", lambda f: f.alpha_bar),
        Readout("signal left", lambda f: f.signal_left, percent=True, help="√ᾱ, the share of the amplitude"),
        Readout("σ", lambda f: f.sigma, help="Noise over signal"),
        Readout("signal to noise", lambda f: f.snr, help="ᾱ / (1 − ᾱ), in variance"),
        Readout("to pure noise", lambda f: f.distance, "estimate", error=lambda f: f.floor_spread, help="Sliced W₂"),
    ),
    equation=lambda f, cfg: {"alpha_bar": f"{f.alpha_bar:.4g}", "signal": f"{f.signal_left:.3g}"},
    code=(schedules.add_noise, schedules.linear, schedules.squaredcos_cap_v2, schedules.log_linear),
    **POINTS,
)  # fmt: skip
REVERSE = View(
    "reverse", "Which way back from the noise is the best?", reverse.Config, reverse.sample, panels.of_reverse, fps=12,
    before=lambda cfg: (learn.run, reverse.lesson(cfg)) if cfg.denoiser == "learned" else None,
    progress=lambda f, cfg: f.step / cfg.train_steps,
    readouts=(*map(_distance, panels.WALKS), FLOOR),
    equation=lambda f, cfg: {"calls": str(f.budget), "most": str(cfg.calls)},
    code=(samplers.ddpm_step, samplers.ddim_step, samplers.heun, samplers.annealed_langevin),
    **POINTS,
)  # fmt: skip
SCORE = View(
    "score", "Why does removing noise point to the data?", score.Config, score.run, panels.of_score, fps=20,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("score error", lambda f: f.relative_error, "estimate", percent=True, help="Relative, root mean square"),
        Readout("held-out loss", lambda f: f.loss, "estimate", error=lambda f: f.loss_error),
        Readout("best possible", lambda f: f.least, "estimate"),
        Readout("cost of σ alone", lambda f: f.smoothing, "estimate", percent=True,
                help="How far the exact score of the noisy data is from that of the data"),
    ),
    equation=lambda f, cfg: {"sigma": f"{cfg.sigma:.3g}", "error": f"{100 * f.relative_error:.1f}"},
    code=(model.score, score.train),
    **POINTS,
)  # fmt: skip
LEVELS = View(
    "levels", "At which noise is the network wrong?", score.LevelsConfig, score.survey, panels.of_levels, fps=24,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("error, all levels", lambda f: f.total_error, "estimate", percent=True),
        Readout("least noise", lambda f: f.level_error[0] if len(f.level_error) else nan, "estimate", percent=True),
        Readout("most noise", lambda f: f.level_error[-1] if len(f.level_error) else nan, "estimate", percent=True),
    ),
    equation=lambda f, cfg: {"error": f"{100 * f.total_error:.1f}"},
    code=(model.PREDICTION_TYPES["v_prediction"], model.target, score.atlas),
    **POINTS,
)  # fmt: skip
LANGEVIN = View(
    "langevin", "Does a shaken walk uphill find the data?", langevin.Config, langevin.run, panels.of_langevin, fps=24,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("ε", lambda f: f.epsilon),
        Readout("sliced W₂", lambda f: f.distance, "estimate", error=lambda f: f.floor_spread),
        FLOOR,
        Readout("crossings", lambda f: f.crossings),
        Readout("lost at step", lambda f: f.diverged if f.diverged >= 0 else nan),
    ),
    equation=lambda f, cfg: {"eps": f"{f.epsilon:.3g}", "k": str(f.step)},
    code=(langevin.langevin_step, langevin.stationary_variance, langevin.run),
    **POINTS,
)  # fmt: skip
DIGITS = View(
    "digits", "Can one order a digit?", digits.Config, digits.sample, panels.of_digits,
    before=lambda cfg: (digits.learn, cfg.learning), thin=8, follow=True, seed="noise",
    readouts=(
        Readout("read right", lambda f: f.legibility, "estimate", error=lambda f: f.legibility_error, percent=True),
        Readout("trained", lambda f: f.progress, percent=True),
        Readout("loss", lambda f: f.loss_ema, "estimate"),
        Readout("network calls", lambda f: f.calls),
    ),
    equation=lambda f, cfg: {"w": f"{cfg.guidance_scale:g}"},
    code=(digits.sample, digits.learn),
)  # fmt: skip
IMAGE = View(
    "image", "What survives the noise?", image.Config, image.walk, panels.of_image, fps=8,
    before=lambda cfg: (digits.learn, cfg.learning), progress=lambda f, cfg: f.progress, seed="noise",
    readouts=(
        Readout("t", lambda f: f.t),
        Readout("signal left", lambda f: f.alpha_bar**0.5, percent=True),
        Readout("network calls", lambda f: f.calls),
        Readout("reads as", lambda f: f.reads if f.reads >= 0 else nan, "estimate", help="By its nearest real picture"),
    ),
    equation=lambda f, cfg: {"signal": f"{f.alpha_bar**0.5:.3g}"},
    code=(image.walk, image.noisy_pixels),
    events={"picture": pictured},
    uploads={"Bring a picture": (("png", "jpg", "jpeg"), uploaded)},
)  # fmt: skip
VIEWS = (LEARN, LUCK, FORWARD, REVERSE, SCORE, LEVELS, LANGEVIN, DIGITS, IMAGE)
THUMB = replace(LEARN, name="thumb", panels=lambda cfg: [replace(panels.of_learning(cfg)[0], axes=False)], bare=True)
SCENES = (
    Scene("train", "A few hundred steps are enough", "learn", {},
          "The same start noise is carried to the data, better with every training step."),
    Scene("clean", "Guess the clean point: nearly twice the error", "learn", {"prediction_type": "sample"},
          "At little noise a small slip in the clean point is a large error of the score."),
    Scene("leftover", "A cut schedule gets the weights wrong", "learn", CUT | LOPSIDED,
          "One tenth of the data is on the right; more of the samples are. The network is not to blame: see Reverse."),
    Scene("seeds", "Training closes the band of luck", "luck", {},
          "Eight trained at once, each with its own weights, points and noise: they end closer than they were."),
    Scene("gamble", "By luck alone, twice the misses", "luck",
          {"data": "twentyfive_gaussians", "width": 16, "runs": 12, "train_steps": 500},
          "Twenty-five clusters and a small network: the unluckiest run misses twice as often as the luckiest."),
    Scene("drown", "A good schedule ends in pure noise", "forward", {}, "Drag the slider through t."),
    Scene("cut", "Linear β cut to 50 keeps 78 %", "forward", CUT,
          "Made for a thousand steps, cut to fifty: at the end the data are still there."),
    Scene("cosine", "Cosine spares the early steps", "forward", {"beta_schedule": "squaredcos_cap_v2"},
          "It destroys the signal evenly in t, where linear β does it early."),
    Scene("race", "Equal calls, unequal samples", "reverse", {}, "Forty network calls each, from the same noise."),
    Scene("few", "Ten calls are too few for Heun", "reverse", {"calls": 10},
          "It pays two a step, takes five steps, and a third of its samples miss the data."),
    Scene("same", "DDIM with η = 1 is DDPM", "reverse", {"eta": 1.0}, "Point for point, from the same draws."),
    Scene("fork", "One changed draw forks the path", "reverse", {"fork_step": 8},
          "The walks that draw noise part where the one draw differs; the ODE and DDIM draw none."),
    Scene("wrong", "Started in the wrong place", "reverse", CUT | LOPSIDED,
          "The denoiser is exact, and yet too many land on the right: the start is no sample of x_T."),
    Scene("tweedie", "Denoising is the score", "score", {},
          "The arrows of the trained denoiser fall onto those of the exact score."),
    Scene("coarse", "Too much noise blurs the score", "score", {"sigma": 1.0},
          "The denoiser learns the score of the blurred data, exactly, and not that of the data."),
    Scene("mixed", "v is right at every level", "levels", {}, "A mix of noise and clean point suits every level."),
    Scene("onesided", "The clean point fails at low noise", "levels", {"prediction_type": "sample"},
          "At little noise a small slip in the clean point is a large error of the score."),
    Scene("bias", "A finite step widens the variance", "langevin",
          {"data": "one_gaussian", "step_size": 1.0, "steps": 200},
          "With ε = 1 the chains settle at twice the variance of the target, as the formula says."),
    Scene("diverge", "Beyond ε = 2 it runs away", "langevin", {"data": "one_gaussian", "step_size": 2.1, "steps": 200},
          "Each step overshoots the mode by more than it came from."),
    Scene("far", "Far modes are not crossed", "langevin", {"gap": 8.0, "start": "left"},
          "All chains start on the left; 70 % of the mass is on the right."),
    Scene("anneal", "Annealing mends the weights", "langevin", {"gap": 8.0, "start": "left", "annealed": True},
          "First walk on a smoothed target, where there is no gap, then sharpen it."),
    Scene("order", "From nothing to legible in seconds", "digits", {}, "Autoencoder first, then the denoiser."),
    Scene("nobody", "Without the label, any digit", "digits", {"guidance_scale": 0.0}, "w = 0 does not listen."),
    Scene("plain", "Without guidance some are misread", "digits", {"guidance_scale": 1.0},
          "w = 1 samples what was learned of each numeral; turn w up to 2 and nearly all are read right."),
    Scene("hand", "The same on real handwriting", "digits", {"data": "digits"}, "1 797 digits, 8 by 8 pixels."),
    Scene("back", "As much noise as signal, and back", "image", {"timestep": 650},
          "Half of the variance is noise; what comes back is still the same picture, or nearly."),
    Scene("other", "Deep in noise, another digit", "image", {"timestep": 900}, "What was there is gone."),
    Scene("turned", "A three becomes an eight", "image", {"timestep": 780, "label": "8"},
          "Noise it, then ask for another numeral on the way back."),
)  # fmt: skip
