"""Why learning the new erases the old: views and scenes."""

from typing import Any

import numpy as np

from engine.figures import forgetting_why_panels as panels
from engine.figures.panel import cell
from engine.figures.view import Readout, Scene, View
from engine.forgetting_curves import fisher, importance, interference, plane, room, subspace, winners


def whole(value: float) -> str:
    """A number without decimals; a dash where there is none."""
    return f"{value:.0f}" if np.isfinite(value) else "–"


def told(name: str) -> Any:
    """The mean of a table of three, by name."""
    return lambda f: cell(getattr(f, name), 0)


INTERFERENCE = View(
    "interference", "Does learning this harm what was learned?", interference.Config, interference.run,
    panels.of_interference, fps=12, follow=True,
    readouts=(
        Readout("cosine", told("cosine"), help="Of the two gradients over all examples, mean of eight networks"),
        Readout("old loss: forecast", lambda f: f.predicted,
                help="For the old loss, nats: the gradients’ product times minus the step size; mean of eight"),
        Readout("what came", lambda f: f.actual),
        Readout("sign foretold", lambda f: f.signs, percent=True, help="Share of all steps so far, of eight networks"),
        Readout("old task", lambda f: f.old_right, percent=True, help="Test examples read right"),
        Readout("new task", lambda f: f.new_right, percent=True),
    ),
    equation=lambda f, cfg: {"cos": f"{cell(f.cosine, 0):.2f}", "eta": f"{cfg.step_size:g}",
                             "forecast": f"{f.predicted:.2g}", "actual": f"{f.actual:.2g}"},
    code=(interference.take, interference.cosine, interference.away),
)  # fmt: skip
PLANE = View(
    "plane", "Where does EWC end up?", plane.Config, plane.run, panels.of_plane, fps=12, follow=True,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("λ", lambda f: f.strength),
        Readout("old task", lambda f: f.old_right, percent=True, help="Test examples read right, at the λ marked"),
        Readout("new task", lambda f: f.new_right, percent=True),
        Readout("both at once", lambda f: f.joint_right, percent=True),
        Readout("out of the plane", lambda f: f.outside, percent=True,
                help="Share of the way of the λ marked that is at right angles to the plane; one sees its shadow"),
    ),
    equation=lambda f, cfg: {"strength": f"{f.strength:.4g}", "old": whole(100 * f.old_right),
                             "new": whole(100 * f.new_right)},
    code=(plane.pulled, plane.basis, fisher.restricted, fisher.exact),
)  # fmt: skip
IMPORTANCE = View(
    "importance", "Which weights does the old task need?", importance.Config, importance.run, panels.of_importance,
    fps=8, follow=True,
    readouts=(
        Readout("read right", lambda f: f.right, percent=True, help="Of test digits"),
        Readout("over exact", lambda f: f.ratio, help="Sum of the chosen diagonal over that of the exact one"),
        Readout("correlation", lambda f: f.alike, help="Of the two diagonals"),
        Readout("hold half", lambda f: f.top_half, percent=True, help="The share of the weights that holds half of F"),
        Readout("KL / δᵀFδ", lambda f: f.half, digits=4, help="At length 0.01, mean of the ways: a half"),
        Readout("slope", lambda f: f.slope, "estimate", error=lambda f: 0.3,
                help="Of the difference: least squares over lengths 0.01 to 0.1, both in logarithms; 3 is expected"),
    ),
    equation=lambda f, cfg: {"ratio": f"{2 * f.half:.3f}", "slope": f"{f.slope:.1f}", "sum": f"{f.ratio:.2g}"},
    code=(fisher.Slopes, fisher.exact, fisher.empirical, fisher.minibatch),
)  # fmt: skip
ROOM = View(
    "room", "What room does the old task leave?", room.Config, room.run, panels.of_room, fps=12, follow=True,
    readouts=(
        Readout("room in 1", lambda f: cell(f.room, 0, 1) / 100, percent=True,
                help="Directions of the first layer that are not protected"),
        Readout("room in 2", lambda f: cell(f.room, 1, 1) / 100, percent=True),
        Readout("room in 3", lambda f: cell(f.room, 2, 1) / 100, percent=True),
        Readout("old change", lambda f: cell(f.change, 2), help="The largest, of a logit, on the stored examples"),
        Readout("old task", lambda f: cell(f.old, 0) / 100, percent=True, help="Test digits read right, projected"),
        Readout("new task", lambda f: cell(f.new, 0) / 100, percent=True),
    ),
    equation=lambda f, cfg: {"share": f"{cfg.threshold:g}", "change": f"{cell(f.change, 2):.1g}",
                             **{f"rank{i + 1}": whole(cell(f.ranks, i)) for i in range(3)},
                             **{f"size{i + 1}": whole(cell(f.sizes, i)) for i in range(3)}},
    code=(subspace.spans, subspace.rank, subspace.project),
)  # fmt: skip
WINNERS = View(
    "winners", "Do tasks forget less on units of their own?", winners.Config, winners.run, panels.of_winners, fps=15,
    follow=True,
    readouts=(
        Readout("overlap, first", lambda f: cell(f.overlap, 0, 1) / 100, percent=True,
                help="Of the units that are active on the old task and in the training on the new one"),
        Readout("overlap, last", lambda f: cell(f.overlap, -1, 1) / 100, percent=True),
        Readout("forgotten, first", lambda f: cell(f.forgotten, 0, 1) / 100, percent=True),
        Readout("forgotten, last", lambda f: cell(f.forgotten, -1, 1) / 100, percent=True),
        Readout("rank correlation", lambda f: f.together, help="Spearman: overlap and forgetting, twelve networks"),
        Readout("directions", lambda f: cell(f.components, 1),
                help="Principal components for 95 % of the activations’ variance on the old task, last setting"),
    ),
    equation=lambda f, cfg: {"first": whole(cell(f.overlap, 0, 1)), "last": whole(cell(f.overlap, -1, 1)),
                             "lost_first": whole(cell(f.forgotten, 0, 1)),
                             "lost_last": whole(cell(f.forgotten, -1, 1))},
    code=(winners.winners, winners.keep, winners.overlap),
)  # fmt: skip

VIEWS = (INTERFERENCE, PLANE, IMPORTANCE, ROOM, WINNERS)
SCENES = (
    Scene("turned", "Turn a task far enough, and it interferes", "interference", {},
          "Follow the dial: at 0° the gradients are the same, on the way they are at right angles, then opposed."),
    Scene("opposed", "Opposite tasks: one’s gain, the other’s loss", "interference", {"angle": 180},
          "The same points with the labels exchanged: every step towards the new task is one away from the old."),
    Scene("longstep", "A long step breaks the forecast", "interference", {"angle": 40, "step_size": 1, "steps": 40},
          "At 40° the first gradients agree, and yet the first step harms: the forecast is for short steps only."),
    Scene("valley", "Nearby, the Fisher knows the old loss", "plane", {},
          "From A’s weights to B’s the dashed parabola and the true divergence part only beyond the middle."),
    Scene("slider", "λ slides from learning to remembering", "plane", {"index": 9},
          "From left to right less of the new task is learned. Up to λ ≈ 30 more of the old is kept, then no more."),
    Scene("both", "No λ is as good as learning both at once", "plane", {"data": "permuted"},
          "The weights of both at once serve both tasks; the path of EWC passes them by."),
    Scene("cube", "What the form misses shrinks with the cube", "importance", {},
          "A tenth of the step: a hundredth of the KL, and about a thousandth of the difference."),
    Scene("idle", "Half of the weights hardly matter", "importance", {"direction": "idle"},
          "Moved at random as far as the weightier half, the idle half changes the outputs much less."),
    Scene("batch", "A mini-batch Fisher is far too small", "importance", {"kind": "minibatch"},
          "The gradients of different examples cancel before they are squared: the same λ means less."),
    Scene("exact", "Nothing old changes, and the new is learned", "room", {},
          "The outputs on twenty stored examples keep thirteen digits; the new task goes from chance to nine in ten."),
    Scene("nearly", "99 % of the energy, and it hardly forgets", "room",
          {"threshold": 0.99, "examples": 200},
          "About a third of the directions holds it; the rest is room, and nearly all that the new task needs."),
    Scene("full", "Full rank: no room, next to nothing learned", "room",
          {"threshold": 1, "examples": 600, "width": 20},
          "Hundreds of examples in narrow layers use every direction: what is protected is everything."),
    Scene("apart", "Dropout moves the new task to other units", "winners", {},
          "The new task, drawn downwards, goes where the old one is not, and less is forgotten."),
    Scene("fewer", "Fewer winners: less overlap, more forgotten", "winners",
          {"data": "permuted", "sweep": "k", "alpha": 0},
          "Overlap is not all: the few winners of the new task win on the old one’s inputs, too."),
    Scene("price", "The strongest dropout costs the new task", "winners", {"k": 40},
          "Every unit kept for the old task is lost to the new one."),
)  # fmt: skip
