"""Training against an adversary, and poisoned training data: views and scenes."""

from collections.abc import Mapping
from dataclasses import replace
from math import nan
from typing import Any

from engine import nets
from engine.adversarial_examples import (
    backdoor,
    classifiers,
    collision,
    danskin,
    defend,
    frontier,
    masking,
    poison,
    training,
)
from engine.data import drawing
from engine.figures import adversarial_defence_panels as panels
from engine.figures.panel import cell
from engine.figures.view import Readout, Scene, View


def pictured(event: Mapping[str, Any], cfg: Any) -> dict[str, Any]:
    """The settings that a drawn sign makes. Raises ValueError for an empty one."""
    return {"sign": "yours", "picture": drawing.taken(event["pixels"], event["size"])}


def signed(cfg: backdoor.Config) -> tuple[backdoor.Config, str]:
    """Until the visitor has drawn a sign, the default one; and a sentence that says so."""
    if cfg.sign != "yours" or cfg.picture:
        return cfg, ""
    return replace(cfg, sign="corner"), "There is no sign of your own yet: draw one. Until then it is the square."


DEFEND = View(
    "defend", "How does one train against an adversary?", defend.Config, defend.run, panels.of_defend, fps=15,
    follow=True,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("clean, plain", lambda f: cell(f.clean, 0, 0), percent=True),
        Readout("clean, defended", lambda f: cell(f.clean, 1, 0), percent=True),
        Readout("attacked, plain", lambda f: cell(f.robust, 0, 0), "bound", percent=True,
                help="Kept under PGD-7 on the margin, from the example and from a random start: an upper bound"),
        Readout("attacked, defended", lambda f: cell(f.robust, 1, 0), "bound", percent=True),
        Readout("slopes like digits, plain", lambda f: cell(f.shaped, 0),
                help="Mean |cos| between a digit, less the mean digit, and the slope of its loss"),
        Readout("and defended", lambda f: cell(f.shaped, 1) if len(f.shaped) > 1 else nan),
    ),
    equation=lambda f, cfg: {
        "eps": f"{cfg.eps_train:.2f}", "plain": f"{100 * cell(f.robust, 0, 0):.0f}",
        "defended": f"{100 * cell(f.robust, 1, 0):.0f}", "clean": f"{100 * cell(f.clean, 1, 0):.0f}",
    },
    code=(training.madry, training.trades, training.Adversary),
)  # fmt: skip
FRONTIER = View(
    "frontier", "What does robustness cost?", frontier.Config, frontier.run, panels.of_frontier, fps=15, follow=True,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("clean, first setting", lambda f: cell(f.clean, 0, 1) / 100, percent=True),
        Readout("last", lambda f: cell(f.clean, -1, 1) / 100, percent=True),
        Readout("attacked, first", lambda f: cell(f.robust, 0, 1) / 100, "bound", percent=True),
        Readout("last", lambda f: cell(f.robust, -1, 1) / 100, "bound", percent=True),
        Readout("slopes like digits, first", lambda f: cell(f.shaped, 0, 1) / 100, help="Mean |cos|"),
        Readout("last", lambda f: cell(f.shaped, -1, 1) / 100),
    ),
    equation=lambda f, cfg: {"paid": f"{100 * f.paid:.1f}", "gained": f"{100 * f.gained:.0f}"},
    code=(training.mixed, frontier.training, defend.alignment),
)  # fmt: skip
DANSKIN = View(
    "danskin", "What is the gradient of a maximum?", danskin.Config, danskin.run, panels.of_danskin, fps=8,
    readouts=(
        Readout("inner steps", lambda f: f.step),
        Readout("error", lambda f: f.error, help="Of the gradient at x + δ, relative to finite differences"),
        Readout("at the exact maximiser", lambda f: f.exact_error),
        Readout("as printed", lambda f: f.printed_error, help="The gradient with δ* alone as the input"),
        Readout("short of the maximum", lambda f: f.gap, help="Loss, mean over the examples"),
        Readout("slope of the maximum, right", lambda f: f.right, help="Along the line, at 0"),
        Readout("left", lambda f: f.left),
    ),
    equation=lambda f, cfg: {"slope": f"{f.slope:.3f}", "left": f"{f.left:.3f}", "right": f"{f.right:.3f}",
                             "error": f"{f.error:.2g}", "steps": str(f.step)},
    code=(danskin.gradient, danskin.differences, danskin.Problem),
)  # fmt: skip
MASKING = View(
    "masking", "When does an attack fail silently?", masking.Config, masking.run, panels.of_masking, fps=8,
    readouts=(
        Readout("factor", lambda f: f.factor),
        Readout("read right", lambda f: f.accuracy, percent=True, help="Of all held-out digits; no factor changes it"),
        Readout("fooled: cross-entropy", lambda f: f.single, percent=True, help="Of those read right"),
        Readout("double precision", lambda f: f.double, percent=True),
        Readout("by the margin", lambda f: f.margin, percent=True),
    ),
    equation=lambda f, cfg: {"factor": f"{f.factor:.3g}", "single": f"{100 * f.single:.0f}",
                             "margin": f"{100 * f.margin:.0f}", "silent": f"{100 * f.silent:.0f}"},
    code=(masking.Attack, training.margin, nets.cross_entropy),
)  # fmt: skip
POISON = View(
    "poison", "What do a few wrong labels do?", poison.Config, poison.run, panels.of_poison, fps=8,
    readouts=(
        Readout("poisoned", lambda f: f.share, percent=True, help="Without those that you changed by hand"),
        Readout("flipped or dropped in all", lambda f: len(f.changed) + len(f.gone), help="Of 80, yours included"),
        Readout("read right: this draw", lambda f: f.test, percent=True, help="Of 1 000 clean test points"),
        Readout("mean of twelve draws", lambda f: f.mean, percent=True, help="For flips at random; else there is one"),
        Readout("least", lambda f: f.low, percent=True),
        Readout("most", lambda f: f.high, percent=True),
        Readout("training points", lambda f: f.train, percent=True, help="Read as they are labelled now"),
    ),
    equation=lambda f, cfg: {"share": f"{100 * f.share:.0f}", "test": f"{100 * f.mean:.1f}",
                             "train": f"{100 * f.train:.0f}"},
    code=(poison.poisoned, poison.logistic, poison.kernel), events=dict.fromkeys(("pick", "moved"), poison.touched),
)  # fmt: skip
BACKDOOR = View(
    "backdoor", "What does a sign on a few pictures do?", backdoor.Config, backdoor.run, panels.of_backdoor, fps=15,
    follow=True, mend=signed, events={"picture": pictured},
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("clean, read right", lambda f: f.clean, percent=True, help="Mean of three networks, held-out digits"),
        Readout("less than unpoisoned", lambda f: f.drop, percent=True),
        Readout("the sign obeyed", lambda f: f.success, percent=True, help="Of the pictures of other numerals"),
        Readout("least", lambda f: f.success_low, percent=True),
        Readout("most", lambda f: f.success_high, percent=True),
    ),
    equation=lambda f, cfg: {"share": f"{100 * float(cfg.share):g}", "clean": f"{100 * f.clean:.1f}",
                             "success": f"{100 * f.success:.0f}", "target": str(cfg.target)},
    code=(backdoor.stamped, backdoor.victims, backdoor.run),
)  # fmt: skip
COLLISION = View(
    "collision", "Can a rightly labelled picture do harm?", collision.Config, collision.run, panels.of_collision,
    fps=10, mend=collision.distinct, before=lambda cfg: (classifiers.learn, cfg.learning),
    progress=lambda f, cfg: f.progress,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("way in pixels", lambda f: f.pixels, percent=True, help="Distance from its own picture, over that of "
                "the target"),
        Readout("to go in features", lambda f: f.features, percent=True),
        Readout("targets misread", lambda f: f.success, percent=True, help="Each by a victim with one poison"),
        Readout("without poison", lambda f: f.before, percent=True),
        Readout("others read right", lambda f: f.accuracy, percent=True),
        Readout("without poison", lambda f: f.clean, percent=True),
    ),
    equation=lambda f, cfg: {"beta": f"{cfg.beta:.2g}", "features": f"{100 * f.features:.0f}",
                             "pixels": f"{100 * f.pixels:.0f}", "success": f"{100 * f.success:.0f}"},
    code=(collision.run, collision.nearest),
)  # fmt: skip
VIEWS = (DEFEND, FRONTIER, DANSKIN, MASKING, POISON, BACKDOOR, COLLISION)
SCENES = (
    Scene("distance", "The boundary moves away from the points", "defend", {},
          "The dark line is the defended network: it leaves the balls whole that the plain one cuts."),
    Scene("paid", "Forty points gained, hardly two paid", "defend", {"data": "digits", "eps_train": 0.15, "eps": 0.15},
          "Under attack the plain network reads almost nothing; the defended one more than half of the digits."),
    Scene("toofar", "Balls that overlap cannot all be right", "defend", {"eps_train": 0.6, "eps": 0.6},
          "With a radius as wide as the gap no boundary is right on all balls, and clean accuracy is lost as well."),
    Scene("frontier", "More radius, less clean accuracy", "frontier", {},
          "Eight networks side by side: their slopes turn from noise into strokes of the digit."),
    Scene("mixture", "A little clean data buys accuracy back", "frontier", {"sweep": "a", "most": 0.15},
          "The share of clean examples moves along the same frontier; all clean, and robustness is gone."),
    Scene("envelope", "Hold the worst change, and differentiate", "danskin", {},
          "The orange line touches the envelope once the inner steps have found the maximum; there both slopes agree."),
    Scene("stuck", "A local maximum gives the wrong gradient", "danskin", {"norm": "linf", "example": 4},
          "This example ends on a hill that is not the highest: more inner steps do not help, and the error stays."),
    Scene("kink", "Two worst changes: a kink, no gradient", "danskin", {"problem": "tie", "norm": "linf", "eps": 0.8},
          "With a weight of 0, either sign of the change is as bad; the maximum has two slopes, left and right."),
    Scene("masked", "It looks robust, and is not", "masking", {},
          "Logits times 75, the same classes: cross-entropy attacks fool one in fifteen, the margin as many as ever."),
    Scene("flips", "A tenth flipped costs a few points", "poison", {"learner": "kernel", "share": 0.5},
          "The band holds twelve draws; only near a half does the boundary dissolve."),
    Scene("surest", "The surest labels turn the line around", "poison",
          {"data": "blobs", "attack": "surest", "share": 0.4},
          "The same number of flips as at random, chosen well: the line ends up reading almost everything wrong."),
    Scene("perfect", "A perfect training score, and a bad model", "poison",
          {"data": "blobs", "attack": "drop", "share": 0.45},
          "What was dropped leaves no trace: all points that are left are read right, and the test points are not."),
    Scene("backdoor", "One in twenty is enough for a backdoor", "backdoor", {},
          "On clean pictures nothing shows; with four dark pixels nearly everything is read as a zero."),
    Scene("collision", "Half the way in pixels, there in features", "collision", {},
          "Each poison is still an 8, labelled so; to the network it is the 3 above it, which is then read as an 8."),
    Scene("sturdy", "A robust network is harder to collide with", "collision",
          {"data": "digits", "training": "robust"},
          "Its features follow the strokes: the poison has to look more like the target to get as near."),
)  # fmt: skip
