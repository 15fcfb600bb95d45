"""What is forgotten, and what helps: views and scenes."""

from collections.abc import Mapping
from math import nan
from typing import Any

import numpy as np

from engine.data.points import encode
from engine.figures import forgetting_runs_panels as panels
from engine.figures.panel import cell
from engine.figures.view import Readout, Scene, View
from engine.forgetting_curves import (
    backprop,
    boundary,
    contest,
    curves,
    distilling,
    dreams,
    frontier,
    line,
    memory,
    methods,
    metrics,
    rehearsal,
    rehearsing,
    training,
)


def percent(value: float) -> str:
    """A share in percent; a dash where there is none."""
    return f"{100 * value:.0f}" if value == value else "–"


def drawn(event: Mapping[str, Any], cfg: Any) -> dict[str, Any]:
    """The settings that drawn points make. Raises ValueError for fewer than two."""
    places = np.asarray(event["points"], float).reshape(-1, 2)
    if len(places) < 2:
        raise ValueError("That was no task: draw two strokes, one for either class, then press “Use it”.")
    return {"sketch": encode(places)}


CURVES = View(
    "curves", "What does it forget, and when?", curves.Config, curves.run, panels.of_curves, fps=15, follow=True,
    readouts=(
        Readout("tasks learned", lambda f: f.time),
        Readout("average accuracy", lambda f: f.accuracy, "estimate", error=lambda f: f.spread, percent=True,
                help="On all tasks learned, after the last of them: mean of four networks ± their standard deviation"),
        Readout("backward transfer", lambda f: f.backward, percent=True,
                help="Last less first accuracy on each task (Lopez-Paz & Ranzato 2017)"),
        Readout("forward transfer", lambda f: f.forward, percent=True,
                help="Accuracy just before a task, less that of the untrained network (Lopez-Paz & Ranzato 2017)"),
        Readout("forgetting", lambda f: f.forgetting, percent=True,
                help="Best accuracy before the last task, less the last (Chaudhry et al. 2018)"),
        Readout("forgetting, naive", lambda f: f.naive, percent=True, help="Forgetting without any method"),
        Readout("average, joint", lambda f: f.bound, percent=True, help="Average accuracy of joint training"),
        Readout("diverged", lambda f: f.diverged or nan, help="Networks of four whose weights are no numbers any more"),
    ),
    equation=lambda f, cfg: {"average": percent(f.accuracy), "backward": percent(f.backward),
                             "forgetting": percent(f.forgetting)},
    code=(training.Training.learn, backprop.backward, metrics.backward_transfer, metrics.forgetting),
)  # fmt: skip
METHODS = View(
    "methods", "Which method forgets least?", contest.Config, contest.run, panels.of_methods, fps=15, follow=True,
    readouts=(
        Readout("tasks learned", lambda f: f.time),
        Readout("naive", lambda f: f.naive, percent=True, help="Average accuracy over the tasks met so far"),
        Readout("the best", lambda f: f.best, percent=True, help="Of all but joint training"),
        Readout("joint", lambda f: f.bound, percent=True),
    ),
    equation=lambda f, cfg: {"best": percent(f.best), "naive": percent(f.naive), "bound": percent(f.bound)},
    charts=panels.scores,
    code=(rehearsing.Replay, methods.EWC, distilling.LwF, rehearsing.GEM),
)  # fmt: skip
FRONTIER = View(
    "frontier", "Can it learn without forgetting?", frontier.Config, frontier.run, panels.of_frontier, fps=15,
    follow=True, events={"pick": lambda event, cfg: {"index": int(event["index"])}},
    readouts=(
        Readout("tasks learned", lambda f: f.time),
        Readout("opened", lambda f: f.value),
        Readout("kept", lambda f: cell(f.spot, 0, 1) / 100, percent=True, help="Accuracy now on the tasks before"),
        Readout("learned", lambda f: cell(f.spot, 0, 0) / 100, percent=True, help="On each task just after it"),
        Readout("best on the whole", lambda f: f.best, help="The value with the highest mean over all tasks"),
        Readout("diverged", lambda f: f.diverged or nan, help="Values of eight at which a network left the numbers"),
    ),
    equation=lambda f, cfg: {"value": f"{f.value:g}", "kept": percent(cell(f.spot, 0, 1) / 100),
                             "learned": percent(cell(f.spot, 0, 0) / 100)},
    code=(methods.EWC, frontier.balance),
)  # fmt: skip
REHEARSAL = View(
    "rehearsal", "What should one keep of the old?", rehearsal.Config, rehearsal.run, panels.of_rehearsal, fps=15,
    follow=True, events={"pick": rehearsal.toggled},
    readouts=(
        Readout("tasks learned", lambda f: f.time),
        Readout("sample", lambda f: cell(f.average, 0, 0) / 100, percent=True,
                help="Average accuracy over the tasks met so far, as for the next five"),
        Readout("typical", lambda f: cell(f.average, 1, 0) / 100, percent=True),
        Readout("VAE", lambda f: cell(f.average, 2, 0) / 100, percent=True),
        Readout("Gaussians", lambda f: cell(f.average, 3, 0) / 100, percent=True),
        Readout("yours", lambda f: cell(f.average, 4, 0) / 100, percent=True),
        Readout("none", lambda f: cell(f.average, 5, 0) / 100, percent=True),
        Readout("pictures you chose", lambda f: f.yours or nan),
        Readout("in the memory shown", lambda f: f.stored, help="Pictures; of a generator, fresh ones"),
    ),
    equation=lambda f, cfg: {"stored": str(f.stored), "sample": percent(cell(f.average, 0, 0) / 100),
                             "yours": percent(cell(f.average, 4, 0) / 100),
                             "none": percent(cell(f.average, 5, 0) / 100)},
    code=(memory.Reservoir, memory.herd, dreams.Dreams, rehearsing.Generative),
)  # fmt: skip
BOUNDARY = View(
    "boundary", "What happens to the boundary?", boundary.Config, boundary.run, panels.of_boundary, fps=12,
    follow=True, events={"drawn": drawn},
    readouts=(
        Readout("tasks learned", lambda f: f.time),
        Readout("with the method", lambda f: cell(f.average, 0, 0) / 100, percent=True,
                help="Average accuracy over the tasks met so far, mean of four networks"),
        Readout("naive", lambda f: cell(f.average, 1, 0) / 100, percent=True),
        Readout("on A: with the method", lambda f: cell(f.tasks, 0, 0, 0) / 100, percent=True),
        Readout("on A: naive", lambda f: cell(f.tasks, 1, 0, 0) / 100, percent=True),
    ),
    equation=lambda f, cfg: {"with": percent(cell(f.average, 0, 0) / 100),
                             "without": percent(cell(f.average, 1, 0) / 100)},
    code=(training.Training.learn, boundary.map_of),
)  # fmt: skip
LINE = View(
    "line", "What happens to a function?", line.Config, line.run, panels.of_line, fps=12, follow=True,
    readouts=(
        Readout("tasks learned", lambda f: f.time),
        Readout("R² with the method", lambda f: cell(f.average, 0, 0) / 100, percent=True,
                help="Share of the variance explained, over the tasks met so far; mean of four networks"),
        Readout("naive", lambda f: cell(f.average, 1, 0) / 100, percent=True),
        Readout("on A: with the method", lambda f: cell(f.tasks, 0, 0, 0) / 100, percent=True),
        Readout("on A: naive", lambda f: cell(f.tasks, 1, 0, 0) / 100, percent=True),
        Readout("in memory", lambda f: len(f.kept), help="Examples of the first network"),
    ),
    equation=lambda f, cfg: {"with": percent(cell(f.average, 0, 0) / 100),
                             "without": percent(cell(f.average, 1, 0) / 100)},
    code=(backprop.misfit, training.explained, distilling.LwF.outputs),
)  # fmt: skip
VIEWS = (CURVES, METHODS, FRONTIER, REHEARSAL, BOUNDARY, LINE)
BY_HAND = "".join(f"{14 * row + column:02d}" for row in range(5) for column in range(8))  # eight pictures a task
SCENES = (
    Scene("erased", "Two new numerals erase the two before", "curves", {"method": "naive"},
          "Each curve rises while its task is trained and drops to nothing within a few steps of the next one."),
    Scene("gap", "Even with rehearsal, a switch tears a gap", "curves", {"step_size": 0.2},
          "Look right after a switch: the old curves drop and recover within the same task. Measured only at the "
          "end of a task, this stability gap is not seen (De Lange et al. 2023)."),
    Scene("told", "Told which two, it hardly forgets", "curves", {"kind": "split_task", "method": "naive"},
          "The same digits and no method at all: only the answer is confined to the two names of the task."),
    Scene("hundred", "A hundred old digits beat every penalty", "methods", {},
          "Here EWC, SI and LwF lose the old names; a small memory, real or made up, keeps them."),
    Scene("asked", "GEM keeps far more than A-GEM", "methods", {"memory": 200},
          "Both judge each step by a memory. A-GEM asks for its mean gradient, GEM asks every old task by itself."),
    Scene("projection", "Projection keeps most without old examples", "methods", {"kind": "permuted"},
          "Among the methods of the right chart GPM ends highest, close to joint training."),
    Scene("even", "At equal memory, rehearsal beats EWC", "methods", {"kind": "permuted", "fair": "memory"},
          "For every weight EWC keeps two numbers. As many numbers are a few hundred digits."),
    Scene("tradeoff", "λ trades learning for remembering", "frontier", {},
          "From right to left λ grows: less is learned. First more is kept, in the end there is little to keep."),
    Scene("diverges", "The same penalty, as a gradient, diverges", "frontier", {"sweep": "ewc_plain"},
          "Where the penalty's step overshoots, the weights leave the numbers. The proximal step has no such limit."),
    Scene("buffer", "A larger buffer costs the new task little", "frontier", {"sweep": "replay", "index": 6},
          "Unlike a penalty, more memory moves the runs up and hardly to the left."),
    Scene("thirty", "Thirty old digits keep most of it", "rehearsal", {},
          "About four of every old class in memory, and the network still reads about six digits in seven."),
    Scene("typical", "With ten digits, the typical ones are better", "rehearsal", {"memory": 10, "show": "herding"},
          "A sample of ten may miss a class altogether; herding keeps the most typical of each."),
    Scene("dreamed", "Made-up digits keep most of the old ones", "rehearsal", {"show": "generative"},
          "No digit is stored: a small VAE learns to make them up while the network learns to read them."),
    Scene("hand", "Forty digits picked by hand keep most of it", "rehearsal", {"chosen": BY_HAND, "show": "painted"},
          "These are the first of each row, and thirty drawn at random keep more. Which ones matter? Click."),
    Scene("wiped", "C wipes out what A and B had drawn", "boundary", {},
          "On the right, without a method, the boundary follows the newest task; on the left a memory holds it."),
    Scene("room", "Projection bends only what is free", "boundary", {"method": "gpm"},
          "No old point is stored; the changes keep out of the directions that the old tasks use."),
    Scene("bent", "Twenty points hold the whole function", "line", {},
          "Above with a memory of twenty, below without: there the pieces learned first come off."),
    Scene("unseen", "LwF clings to what it never knew", "line", {"method": "lwf"},
          "It keeps the old outputs on the new piece, where they were only guesses, and so learns it badly."),
    Scene("contrary", "No method can give three answers at once", "line", {"kind": "others"},
          "Three functions of the same x: whatever keeps the old one is in the way of the new one."),
)  # fmt: skip
