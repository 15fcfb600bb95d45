"""The meta-gradient taken apart: views and scenes."""

from math import isfinite, nan

import numpy as np

from engine.figures import maml_gradient_panels as panels
from engine.figures.panel import cell
from engine.figures.view import Readout, Scene, View
from engine.maml_adaptation import jacobians, surface, taylor


def number(value: float, digits: int = 3) -> str:
    """A number in the formula."""
    return f"{value:.{digits}g}" if isfinite(value) else r"\text{–}"


def signed(value: float) -> str:
    """A number that is added, with its sign, to a thousandth."""
    return f"{round(value, 3) + 0.0:+.3g}" if isfinite(value) else r"+\text{–}"


def degrees(frame: surface.Frame, i: int) -> float:
    """An angle to MAML's gradient; what is left of rounding is 0."""
    return round(cell(frame.turned, i), 6)


def power(value: float) -> str:
    """A small number in the formula."""
    if not isfinite(value):
        return r"\text{–}"
    return f"{value:.1e}" if value else "0"


def matrix(rows: np.ndarray) -> str:
    """A matrix in the formula."""
    return r"\\".join("&".join(number(float(value), 2) for value in row) for row in rows)


AMOUNTS = ("MAML: c₂", 0, 1), ("FOMAML", 1, 1), ("Reptile", 2, 1), ("its c₁", 2, 0)
SURFACE = View(
    "surface", "Which way is down, after a few steps?", surface.Config, surface.run, panels.of_surface, fps=2,
    hold=True,
    readouts=(
        Readout("loss on B", lambda f: f.loss, help="After the inner steps, mean over the five tasks"),
        Readout("FOMAML off by, degrees", lambda f: degrees(f, 1), help="Angle to MAML's gradient"),
        Readout("Reptile by", lambda f: degrees(f, 2)),
        Readout("joint by", lambda f: degrees(f, 3)),
        Readout("I − εH: least", lambda f: cell(f.factor, 0), help="Eigenvalues at your weights, over all five tasks"),
        Readout("I − εH: largest", lambda f: cell(f.factor, 1)),
        Readout("2/λ", lambda f: f.limit, help="λ is the largest curvature of A at your weights"),
        Readout("diverged", lambda f: f.diverged or nan, help="Of five tasks"),
    ),
    equation=lambda f, cfg: {"k": str(f.step), "loss": number(f.loss)},
    code=(surface.maml, surface.fomaml, surface.reptile, surface.joint),
)  # fmt: skip
JACOBIANS = View(
    "jacobians", "What does a step do to a gradient?", jacobians.Config, jacobians.run, panels.of_jacobians, fps=2,
    hold=True,
    readouts=(
        Readout("other order off by", lambda f: f.miss, percent=True, help="Of the length of the right gradient"),
        Readout("degrees", lambda f: f.turned, help="Angle between the two"),
        Readout("stretch: most", lambda f: cell(f.stretch, 0), help="Singular values of the product"),
        Readout("least", lambda f: cell(f.stretch, 1)),
        Readout("against autograd", lambda f: f.error, help="Relative difference from automatic gradients"),
        Readout("2/λ", lambda f: f.limit, help="λ is the task's largest curvature on A at your weights"),
        Readout("diverged at step", lambda f: f.diverged if f.diverged >= 0 else nan),
    ),
    equation=lambda f, cfg: {
        "k": str(f.step), "rows": matrix(f.product),
    },
    code=(jacobians.factors, jacobians.product, jacobians.through),
)  # fmt: skip
TAYLOR = View(
    "taylor", "What do all these methods have in common?", taylor.Config, taylor.run, panels.of_taylor, fps=10,
    readouts=(
        *(
            Readout(label, lambda f, i=i, j=j: cell((f.first, f.second)[j], i), "estimate", digits=4,
                    error=lambda f, i=i, j=j: abs(cell((f.first, f.second)[j], i) - cell(f.theory, i, j)),
                    help=f"Amount of {('the mean gradient', 'α × agreement')[j]}; ± is the distance from theory")
            for label, i, j in AMOUNTS
        ),
        Readout("slope: left", lambda f: cell(f.order, 0), help="MAML, between the last two step sizes"),
        Readout("FOMAML − MAML", lambda f: cell(f.order, 3)),
    ),
    equation=lambda f, cfg: {
        name + "_mean": number(cell(f.first, i)) for i, name in enumerate(taylor.WAYS)
    } | {
        name + "_inner": signed(cell(f.second, i)) for i, name in enumerate(taylor.WAYS)
    } | {"alpha": power(f.size)},
    code=(taylor.methods, taylor.terms, taylor.theory),
)  # fmt: skip
VIEWS = (SURFACE, JACOBIANS, TAYLOR)
SCENES = (
    Scene("moves", "The best start moves as steps are added", "surface", {},
          "Play: without a step the loss is least in the middle of the tasks; with more steps its valley moves away."),
    Scene("uphill", "Here joint training climbs the surface", "surface", {"phi_x": -2.4, "phi_y": 1.6},
          "Its arrow is the way down before any step; after one step it leads up, and MAML goes the other way."),
    Scene("wall", "Beyond a wall the inner steps run away", "surface", {"fast_lr": 1.1},
          "Curvature grows outwards; where the step is too long for it, each one is longer than the one before."),
    Scene("order", "In the other order it goes elsewhere", "jacobians", {},
          "The factors of the steps do not commute: MAML's arrow and the pink one part after two steps."),
    Scene("same", "With one curvature the order does not matter", "jacobians", {"bend": 0.0},
          "Without the quartic term all factors are the same matrix: both arrows lie on each other."),
    Scene("flat", "Only the flat direction comes back", "jacobians", {"condition": 30.0, "bend": 0.0, "fast_lr": 0.8},
          "The circle becomes a needle: along the steep direction every step has taken the error away, and the blame."),
    Scene("twice", "MAML asks for agreement twice as much", "taylor", {},
          "Lower right: MAML's line ends at −2, those of FOMAML and Reptile at −1."),
    Scene("alone", "With one minibatch all are joint training", "taylor", {"adaptation_steps": 1},
          "One gradient and nothing before it: amounts of 1 and 0, and nothing left but rounding."),
    Scene("kink", "With ReLU the two terms are not all", "taylor", {"units": "relu", "shots": 20, "seed": 5},
          "What is left stays up or falls in jumps: a step across a kink is in no second derivative."),
)  # fmt: skip
