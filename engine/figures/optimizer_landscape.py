"""Loss landscapes of real networks, seen: panels, views and scenes."""

from math import inf, nan
from typing import Any

import numpy as np

from engine.figures.optimizer_race import nth
from engine.figures.panel import Axis, Layer, Panel, cloud, contours, curve, field, marks, path
from engine.figures.view import Readout, Scene, View
from engine.optimizer_paths import (
    batches,
    between,
    edge,
    lanczos,
    landscape,
    plane,
    rescale,
    spectrum,
    task,
    training,
)

Panels = tuple[Panel, ...]
LOSS = Axis("loss", 1e-3, 10, log=True)
LEVELS = (-2.5, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5)  # of log10 of the loss
THREE = ("model", "second", "third")  # roles of three runs, from the smallest step size to the largest


def steps_of(cfg: Any) -> Axis:
    """The axis of training steps."""
    return Axis("training step", 0, cfg.steps)


def of_landscape(cfg: landscape.Config) -> Panels:
    """The plane with the path's shadow on it, its true loss beside that of the plane, how far it is off the plane."""
    unit = "path lengths" if cfg.directions == "path" else "lengths of the weights"
    x, y = (Axis(f"along direction {i}, in {unit}", -cfg.half, cfg.half) for i in (1, 2))
    ground = (
        field("log₁₀ loss", "data", lambda f: f.height, low=-3.0, high=1.0),
        contours("", "muted", lambda f: f.height, levels=LEVELS),
        path("the path's shadow", "model", lambda f: f.path, width=2.5, head=True),
        marks("end of the path", "truth", np.zeros((1, 2))),
    )
    loss = (
        curve("of the network itself", "model", lambda f: (f.step, f.true_loss)),
        curve("of the plane under it", "data", lambda f: (f.step, f.plane_loss), dash="dash"),
    )
    off = (curve("distance off the plane", "adversary", lambda f: (f.step, 100 * f.residual)),)
    return (
        Panel("Loss on the plane", ground, x, y, equal=True, weight=1.3, name="plane",
              alt="The loss on a plane through the weights, and the shadow of the training's path on it"),
        Panel("True loss, and the plane's", loss, steps_of(cfg), LOSS, name="loss",
              alt="The loss of the network and the loss of the plane under it over the training"),
        Panel("Off the plane", off, steps_of(cfg), Axis("% of the distance to the end", 0, 102), name="off", hall=False,
              alt="How far the network is off the plane over the training"),
    )  # fmt: skip


def of_spectrum(cfg: spectrum.Config) -> Panels:
    """The density of the Hessian's eigenvalues, its largest one against the limit, the loss."""
    top, limit = spectrum.TOP, spectrum.stability_limit(cfg.rule, cfg.step_size, cfg.mu)
    density = (
        path("eigenvalues", "model", lambda f: f.density, width=2),
        marks("λ_max", "adversary", lambda f: np.array([[f.largest, 0.0]]), line="x"),
    )
    largest: tuple[Layer, ...] = (curve("λ_max", "model", lambda f: (f.step, f.largest)),)
    if np.isfinite(limit):
        line = np.array([[0, limit], [cfg.steps, limit]])
        largest += (path("limit of the step size", "truth", line, dash="dash"),)
    loss = (curve("loss", "model", lambda f: (f.step, f.loss)),)
    return (
        Panel("How the curvatures are spread", density, Axis("eigenvalue of the Hessian", -0.15 * top, top),
              Axis("share per unit", 1e-5, 10, log=True), weight=1.3, name="density",
              alt="The density of the eigenvalues of the Hessian on a logarithmic scale"),
        Panel("The sharpest direction", largest, steps_of(cfg), Axis("λ_max", 0.1, 1000, log=True), name="largest",
              alt="The largest eigenvalue over the training, and the largest one that the step size allows"),
        Panel("Loss", loss, steps_of(cfg), LOSS, name="loss", hall=False, alt="The training loss"),
    )  # fmt: skip


def of_rescale(cfg: rescale.Config) -> Panels:
    """Two cuts through the loss, and the sharpness over the factor."""
    cuts = (
        path("random direction", "adversary", lambda f: f.plain, width=2.5),
        path("filter-normalised", "model", lambda f: f.fair, width=2.5, dash="dash"),
    )
    factor = Axis("factor of the first layer", 1 / cfg.furthest, cfg.furthest, log=True)
    sharp = (curve("λ_max", "adversary", lambda f: (f.factor, f.largest)),)
    level = (curve("loss", "model", lambda f: (f.factor, f.loss)),)
    return (
        Panel("Cuts through the loss", cuts, Axis("place on the cut, in lengths of the weights", -cfg.reach, cfg.reach),
              Axis("log₁₀ loss", -3, 3), name="cuts", weight=1.3,
              alt="The loss along a random direction and along a filter-normalised one"),
        Panel("Sharpness of the very same function", sharp, factor, Axis("λ_max", 0.3, 1e5, log=True), name="sharp",
              alt="The largest eigenvalue over the factor"),
        Panel("Its loss", level, factor, LOSS, name="loss", hall=False, alt="The loss over the factor: it stays"),
    )  # fmt: skip


def of_between(cfg: between.Config) -> Panels:
    """The loss on the line between two networks, and the height of the wall over their training."""
    line: tuple[Layer, ...] = (path("on the line", "model", lambda f: f.line, width=2.5),)
    wall: tuple[Layer, ...] = (curve("as they are", "model", lambda f: (f.step, f.wall)),)
    if cfg.match:
        line += (path("units reordered", "truth", lambda f: f.matched, width=2.5, dash="dash"),)
        wall += (curve("units reordered", "truth", lambda f: (f.step, f.matched_wall)),)
    line += (marks("the two networks", "ink", lambda f: f.ends, labels=("first", "second")),)
    right = (
        curve("the two networks", "model", lambda f: (f.step, 100 * f.accuracy)),
        curve("halfway", "adversary", lambda f: (f.step, 100 * f.middle_accuracy)),
    )
    return (
        Panel("The straight way between", line, Axis("place on the line", -0.25, 1.25), Axis("log₁₀ loss", -3, 1.5),
              name="line", weight=1.3, alt="The loss on the straight line through two trained networks"),
        Panel("Height of the wall", wall, steps_of(cfg), Axis("loss above the ends", 0, 0.6), name="wall",
              alt="The height of the wall between the two networks over their training"),
        Panel("Read right", right, steps_of(cfg), Axis("% of the test set", 0, 100), name="right", hall=False,
              alt="The accuracy of the two networks and of the one halfway"),
    )  # fmt: skip


def of_batches(cfg: batches.Config) -> Panels:
    """The grid's sharpness, sharpness against lr/B, how long each cell has trained, and SAM's radius."""
    half = 2**0.5
    x = Axis("step size", batches.STEP_SIZES[0] / half, batches.STEP_SIZES[-1] * half, log=True)
    y = Axis("batch size", batches.BATCHES[0] / half, batches.BATCHES[-1] * half, log=True)
    ratio = Axis("log₁₀ of step size / batch size", -3.6, -1.1)
    grid = (field("λ_max", "adversary", lambda f: f.largest, low=0.0, high=6.0, colours="heat", crisp=True),)
    sharp = (cloud("one cell", "model", lambda f: f.sharp, size=7),)
    trained = (cloud("one cell", "second", lambda f: f.trained, size=7),)
    sam = (path("λ_max", "third", lambda f: f.sam, width=2.5, head=True),)
    return (
        Panel("Sharpness of each cell", grid, x, y, name="grid", alt="The largest eigenvalue by batch and step size"),
        Panel("Sharpness against lr / B", sharp, ratio, Axis("log₁₀ of λ_max", -0.4, 1.0), name="sharp",
              alt="The largest eigenvalue of each cell over its step size divided by its batch size"),
        Panel("How long it trained", trained, ratio, Axis("log₁₀ of step size × steps", -0.5, 2.5), name="trained",
              stack="right", hall=False, alt="Step size times steps of each cell over its ratio"),
        Panel("SAM's radius, lr 0.1, B 32", sam, Axis("ρ", -0.01, 0.21), Axis("λ_max", 0, 6), name="sam", stack="right",
              hall=False, alt="The largest eigenvalue over the radius of SAM"),
    )  # fmt: skip


def of_edge(cfg: edge.Config) -> Panels:
    """Sharpness in units of the limit, the sharpness itself, and the loss, of three step sizes."""
    names = [f"step size {size:.3g}" for size in cfg.step_sizes]

    def three(of: Any) -> tuple[Layer, ...]:
        dashes = ("solid", "dash", "dot")
        return tuple(
            curve(names[i], THREE[i], lambda f, i=i: (f.step, nth(of(f), i)), dash=dashes[i]) for i in range(3)
        )

    line = path("edge of stability", "truth", np.array([[0, 1], [cfg.steps, 1]]), dash="dash")
    return (
        Panel("Sharpness over its limit", (*three(lambda f: f.share), line), steps_of(cfg),
              Axis("λ_max / limit", 0, 1.6), weight=1.3, name="share",
              alt="The largest eigenvalue over the limit of each step size, as they train"),
        Panel("Sharpness", three(lambda f: f.largest), steps_of(cfg), Axis("λ_max", 0.01, 100, log=True),
              name="largest", hall=False, alt="The largest eigenvalue of three runs"),
        Panel("Loss", three(lambda f: f.loss), steps_of(cfg), Axis("loss", 1e-5, 3, log=True), name="loss",
              alt="The loss of three runs"),
    )  # fmt: skip


WATCHED: dict[str, Any] = {
    "before": lambda cfg: (training.learn, cfg.training),
    "progress": lambda f, cfg: f.progress,
}
LANDSCAPE = View(
    "landscape", "What does a network's loss look like?", landscape.Config, landscape.run, of_landscape, fps=12,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("true loss", lambda f: f.true_loss, help="Of the network, over the whole training set"),
        Readout("variance explained", lambda f: f.explained, percent=True,
                help="Share of the path's squared distances from its end that lies in the plane"),
        Readout("off the plane", lambda f: f.residual, percent=True,
                help="Distance from the plane, as a share of the distance from the path's end"),
        Readout("read right", lambda f: f.accuracy, percent=True, help="Of the test set"),
        Readout("ran away at", lambda f: f.diverged if f.diverged >= 0 else nan),
    ),
    equation=lambda f, cfg: {"explained": f"{100 * f.explained:.1f}",
                             "off": f"{100 * f.residual:.0f}" if f.residual == f.residual else r"\text{–}"},
    code=(plane.random_directions, plane.losses, plane.shadow),
    **WATCHED,
)  # fmt: skip
SPECTRUM = View(
    "spectrum", "How many directions are sharp?", spectrum.Config, spectrum.run, of_spectrum, fps=8,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("λ_max", lambda f: f.largest, "estimate", error=lambda f: f.largest_error),
        Readout("λ_min", lambda f: f.smallest, "estimate"),
        Readout("limit", lambda f: f.limit, help="Beyond it the rule is unstable on a quadratic"),
        Readout("almost flat", lambda f: f.near_zero, "estimate", percent=True,
                help="Share of the eigenvalues below a fiftieth of the largest"),
        Readout("loss", lambda f: f.loss),
    ),
    equation=lambda f, cfg: {"largest": f"{f.largest:.3g}", "near": f"{100 * f.near_zero:.1f}"},
    code=(lanczos.lanczos, lanczos.density, task.Curvature),
    **WATCHED,
)  # fmt: skip
RESCALE = View(
    "rescale", "Is a sharp minimum a worse one?", rescale.Config, rescale.run, of_rescale, fps=8, hold=True,
    readouts=(
        Readout("factor", lambda f: f.factor),
        Readout("λ_max", lambda f: f.largest),
        Readout("as trained, times", lambda f: f.ratio),
        Readout("change of outputs", lambda f: f.output_change, help="Largest one, relative to the largest output"),
        Readout("loss", lambda f: f.loss),
        Readout("read right", lambda f: f.accuracy, percent=True, help="Of the test set"),
    ),
    equation=lambda f, cfg: {"factor": f"{f.factor:.3g}", "ratio": f"{f.ratio:.3g}"},
    code=(rescale.rescaled, lanczos.sharpness),
    **WATCHED,
)  # fmt: skip
BETWEEN = View(
    "between", "Is there a wall between two minima?", between.Config, between.run, of_between, fps=10,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("wall", lambda f: f.wall, help="Highest loss on the line above the straight line between its ends"),
        Readout("wall, reordered", lambda f: f.matched_wall),
        Readout("loss of the two", lambda f: f.loss),
        Readout("apart", lambda f: f.gap, help="Distance in weights, over their length"),
        Readout("halfway reads right", lambda f: f.middle_accuracy, percent=True),
    ),
    equation=lambda f, cfg: {"wall": f"{f.wall:.3f}", "matched": f"{f.matched_wall:.3f}"},
    code=(between.matched, between.wall),
)  # fmt: skip
BATCHES = View(
    "batches", "Does noise find flatter minima?", batches.Config, batches.run, of_batches, fps=10,
    readouts=(
        Readout("trained", lambda f: f.done, percent=True),
        Readout("rank correlation", lambda f: f.rank, "estimate", help="Of λ_max and lr/B over the cells (Spearman)"),
        Readout("with training time", lambda f: f.time_rank, help="Of lr × steps and lr/B; 0 where all train alike"),
        Readout("sharpest cell", lambda f: f.largest.max(initial=0.0), "estimate"),
        Readout("flattest cell", lambda f: f.largest.min(initial=inf), "estimate"),
    ),
    equation=lambda f, cfg: {"rank": f"{f.rank:.2f}", "time": f"{f.time_rank:.2f}"},
    code=(batches.Row, batches.run),
)  # fmt: skip
EDGE = View(
    "edge", "What stops the loss from getting sharper?", edge.Config, edge.run, of_edge, fps=20,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("λ_max / limit", lambda f: nth(f.share, 0), help="Of the smallest step size"),
        Readout("× √2", lambda f: nth(f.share, 1)),
        Readout("× 2", lambda f: nth(f.share, 2)),
        Readout("loss", lambda f: nth(f.loss, 0)),
        Readout("ran away at", lambda f: f.diverged if f.diverged >= 0 else nan),
    ),
    equation=lambda f, cfg: {"limit": f"{nth(f.limit, 0):.3g}", "largest": f"{nth(f.largest, 0):.3g}"},
    code=(edge.follow, spectrum.stability_limit),
)  # fmt: skip
VIEWS = (LANDSCAPE, SPECTRUM, RESCALE, BETWEEN, BATCHES, EDGE)
SCENES = (
    Scene("valley", "Two directions hold most of the path", "landscape", {},
          "The plane of the path's own main directions; the loss drawn beside it is the network's, not the plane's."),
    Scene("blind", "A random plane misses the path", "landscape", {"directions": "random"},
          "From two thousand directions two were drawn: the path's shadow hardly moves, and it is off the plane."),
    Scene("gorge", "The sharpest plane is a narrow gorge", "landscape", {"directions": "sharp"},
          "The same minimum and the same distances as in a random plane, and a loss many times higher."),
    Scene("bulk", "Nearly all curvatures are almost zero", "spectrum", {},
          "A few eigenvalues stand out; the others lie in a spike at 0."),
    Scene("below", "On digits the limit is never met", "spectrum", {"rule": "gd", "step_size": 0.1},
          "The sharpest direction stays far below the dashed line, 2/ε."),
    Scene("ahead", "SAM ends flatter", "spectrum", {"rule": "sam", "step_size": 0.1, "rho": 0.2},
          "Pin it, then choose gradient descent: the same steps end at a larger λ_max."),
    Scene("sharper", "The same function, sixty times sharper", "rescale", {"furthest": 11.0},
          "One layer up, the next one down: no output moves, and λ_max grows with the square of the factor."),
    Scene("fair", "A filter-normalised cut sees no change", "rescale", {"furthest": 100.0},
          "Its direction is scaled with the layers, so it is the same cut through the same function."),
    Scene("wall", "Between two minima stands a wall", "between", {"match": False},
          "Each reads the digits well; the network halfway between them does worse."),
    Scene("reorder", "Reordered, most of the wall is gone", "between", {},
          "The second network's hidden units are listed in another order: the same function, elsewhere."),
    Scene("together", "Twenty steps together, and no wall", "between", {"shared": 20},
          "They part after twenty steps, each with its own batches, and stay in one valley."),
    Scene("noise", "At equal flow, noise means flatter", "batches", {},
          "Every cell has the same step size × steps: the sharpness falls as lr/B grows."),
    Scene("confound", "At equal epochs, lr/B is training time", "batches", {"equal": "epochs"},
          "The right-hand chart is a straight line: what looks like an effect of noise is also one of time."),
    Scene("edge", "It sharpens until its step stops it", "edge", {},
          "Three step sizes, three limits: λ_max climbs to each and hovers there."),
    Scene("control", "Digits with relu leave the edge alone", "edge",
          {"task": "digits", "step_size": 0.1, "steps": 1500},
          "The same descent on another task: λ_max falls away from its limit."),
)  # fmt: skip
