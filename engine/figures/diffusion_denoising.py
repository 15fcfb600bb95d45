"""Diffusion denoising: its views and scenes."""

from engine.diffusion_denoising import langevin
from engine.figures.panel import Axis, Panel, arrows, cloud, curve, field, path
from engine.figures.view import Readout, Scene, View


def _langevin(cfg):
    half = float(max(3.0, cfg.gap / 2 + 3)) if cfg.data == "two_modes" else 3.0
    x, y = Axis("x₁", -half, half), Axis("x₂", -half, half)
    return (
        Panel("Chains", (
            field("density of the target", "data", lambda f: f.density),
            cloud("chains", "model", lambda f: f.cloud),
            path("one chain", "second", lambda f: f.path, head=True),
        ), x, y, equal=True, name="chains"),
        Panel("Score", (
            field("density", "data", lambda f: f.density),
            arrows("exact score", "truth", lambda f: f.arrows),
        ), x, y, equal=True, name="score"),
        Panel("Distance", (
            curve("sliced W₂", "model", lambda f: (f.step, f.distance)),
        ), Axis("step", 0, cfg.steps), Axis("distance", 0, 4), name="distance"),
    )


VIEWS = (
    View("langevin", "Does a random walk uphill find the distribution?", langevin.Config, langevin.run, _langevin,
         readouts=(Readout("step", lambda f: f.step), Readout("sliced W₂", lambda f: f.distance, "estimate", error=lambda f: f.floor_spread)),
         code=(langevin.langevin_step,)),
)
SCENES = (
    Scene("far", "Far modes are not crossed", "langevin", {"gap": 8.0, "start": "left"}, "All chains start left."),
)
