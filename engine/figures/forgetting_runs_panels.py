"""What is forgotten, drawn: curves of every task, the matrix of accuracies, frontiers, memories and boundaries."""

from collections.abc import Sequence
from math import nan

import numpy as np
import plotly.graph_objects as go

from engine.figures.palette import colour
from engine.figures.panel import Axis, Layer, Panel, cloud, contours, curve, field, images, marks, path
from engine.figures.still import chart
from engine.forgetting_curves import boundary, contest, curves, frontier, line, rehearsal

Panels = tuple[Panel, ...]
PERCENT = Axis("%", 0, 102)
TASKS = ("data", "model", "truth", "adversary", "second", "muted")  # the roles of task 1, 2, …


def time(count: int) -> Axis:
    """Tasks learned, from 0 to all of them."""
    return Axis("tasks learned", 0, count)


def switches(count: int) -> Layer:
    """A line at every change of the task."""
    ends = np.array([[[i, 0], [i, 102]] for i in range(1, count)], np.float32).reshape(-1, 2, 2)
    return path("", "muted", ends, width=1, dash="dot", opacity=0.6)


def row(table: np.ndarray, *at: int) -> tuple[float, ...]:
    """Mean, least and most from a table; NaN where it has none."""
    try:
        return tuple(float(v) for v in table[at])
    except IndexError:
        return (nan, nan, nan)


def square(matrix: np.ndarray, count: int) -> np.ndarray:
    """A matrix, or one of NaN where it is of another shape."""
    return matrix if matrix.shape == (count, count) else np.full((count, count), nan, np.float32)


def of_curves(cfg: curves.Config) -> Panels:
    """The forgetting curves of one method, the average against naive and joint, and the matrix R."""
    count, name = cfg.count, curves.NAMES[cfg.method].split(":")[0]
    each: tuple[Layer, ...] = (switches(count),)
    for i in range(count):
        each += (curve(f"task {i + 1}", TASKS[i], lambda f, i=i: (f.time, *row(f.tasks, 0, i)), dash="solid"),)
    if cfg.method != "naive":
        each += tuple(curve("", TASKS[i], lambda f, i=i: (f.time, row(f.tasks, 1, i)[0]), dash="dot", width=1.2)
                      for i in range(count))  # fmt: skip
    over = (
        switches(count),
        curve("joint", "truth", lambda f: (f.time, *row(f.average, 2))),
        curve(name, "model", lambda f: (f.time, *row(f.average, 0))),
        curve("naive", "muted", lambda f: (f.time, *row(f.average, 1))),
    )
    cells = (
        field(
            "0 to 100 %", "model", lambda f: square(f.matrix, count), low=0.0, high=100.0, colours="heat", crisp=True
        ),
    )
    after, on = Axis("after task", 0.5, count + 0.5), Axis("accuracy on task", 0.5, count + 0.5)
    naive = "" if cfg.method == "naive" else "; dotted: naive"
    return (
        Panel(f"Accuracy on each task: {name}{naive}", each, time(count), PERCENT, name="tasks", weight=1.5,
              alt="Accuracy on every task over the whole training, with bands over four networks"),
        Panel("Mean over the tasks met so far", over, time(count), PERCENT, name="average", stack="right",
              alt="Average accuracy of the chosen method, of naive and of joint training"),
        Panel("The matrix R", cells, on, after, name="matrix", stack="right", hall=False,
              alt="Accuracy on every task after every task, row by row"),
    )  # fmt: skip


STYLES = (
    ("data", "solid"),
    ("model", "dash"),
    ("adversary", "dot"),
    ("second", "solid"),
    ("truth", "dash"),
    ("adversary", "solid"),
)


def of_methods(cfg: contest.Config) -> Panels:
    """The average accuracy of all methods, those that rehearse and the others."""
    return (
        averages(cfg, contest.REHEARSING, "With old examples", "rehearsing"),
        averages(cfg, contest.OTHERS, "Without old examples", "others"),
    )


def averages(cfg: contest.Config, chosen: dict[str, str], title: str, name: str) -> Panel:
    """The curves of some methods, joint and naive."""
    layers: tuple[Layer, ...] = (switches(cfg.count),)
    for method, role, dash in (("joint", "muted", "solid"), ("naive", "ink", "dot")):
        layers += (averaged(method, role, dash, contest.ENDS),)
    for method, (role, dash) in zip(chosen, STYLES, strict=False):
        layers += (averaged(method, role, dash, chosen),)
    return Panel(title, layers, time(cfg.count), PERCENT, name=name,
                 alt="Average accuracy over the tasks met so far, one curve for every method")  # fmt: skip


def averaged(method: str, role: str, dash: str, names: dict[str, str]) -> Layer:
    """One method's average accuracy over time, with its band."""
    at = contest.PLACES[method]
    return curve(names[method], role, lambda f: (f.time, *row(f.average, at)), dash=dash)


def scores(frames: Sequence[contest.Frame], cfg: contest.Config, dark: bool) -> dict[str, go.Figure]:
    """What every method has kept and lost at the last of the frames, as bars that one reads."""
    told, average, names = frames[-1].told, frames[-1].average, list(contest.METHODS.values())
    if len(told) < len(names):
        return {}
    figure = chart(y="%", key="scores", dark=dark, height=300)
    around = dict(array=average[:, 2] - average[:, 0], arrayminus=average[:, 0] - average[:, 1], symmetric=False)
    bars = (("average accuracy", 0, "data", ""), ("forgetting", 3, "model", "/"))
    for name, at, role, pattern in bars:
        figure.add_bar(
            x=names, y=told[:, at], name=name, marker=dict(color=colour(role, dark), pattern=dict(shape=pattern)),
            error_y=around if at == 0 else None, customdata=told,
            hovertemplate="%{x}<br>average accuracy %{customdata[0]:.1f} %<br>backward transfer "
            "%{customdata[1]:.1f} %<br>forward transfer %{customdata[2]:.1f} %<br>forgetting %{customdata[3]:.1f} %",
        )  # fmt: skip
    return {"At the end of the last task learned": figure.update_layout(barmode="group", yaxis_range=[0, 105])}


def of_frontier(cfg: frontier.Config) -> Panels:
    """Stability against plasticity, both over the value swept, and the run opened."""
    log = cfg.sweep not in ("gpm",)
    values = Axis(frontier.SWEEPS[cfg.sweep].split(": ")[-1], float(cfg.values[0]), float(cfg.values[-1]), log=log)
    plane = (
        path("", "muted", lambda f: f.points, width=1.5, dash="solid", opacity=0.6),
        cloud("a run: click to open it", "model", lambda f: f.points, size=7, opacity=0.9, pick=True),
        cloud("diverged: has no place", "adversary", lambda f: f.lost, size=7, opacity=1),
        marks("opened", "ink", lambda f: f.spot),
    )
    over = (
        path("old tasks, now", "old", lambda f: f.old, width=2.5, dash="solid"),
        path("each when learned", "new", lambda f: f.new, width=2.5, dash="dash"),
        path("mean over all", "ink", lambda f: f.average, width=2, dash="dot"),
        marks("opened", "ink", lambda f: np.array([[f.value, 0.0]]), line="x"),
    )
    each: tuple[Layer, ...] = (switches(cfg.count),)
    for i in range(cfg.count):
        each += (curve(f"task {i + 1}", TASKS[i], lambda f, i=i: (f.time, *row(f.tasks, i)), dash="solid"),)
    return (
        Panel("Stability against plasticity", plane, Axis("learned: each task just after it, %", 0, 102),
              Axis("kept: old tasks now, %", 0, 102), name="frontier", equal=True,
              alt="Eight runs: accuracy on old tasks over accuracy on new ones"),
        Panel("Along the sweep", over, values, PERCENT, name="sweep", stack="right", hall=False,
              alt="Accuracy on old tasks, on new ones and on all over the value swept"),
        Panel(f"The run opened: {cfg.values[cfg.index]:g}", each, time(cfg.count), PERCENT, name="opened",
              stack="right", alt="Accuracy on every task over time in the run opened"),
    )  # fmt: skip


def of_rehearsal(cfg: rehearsal.Config) -> Panels:
    """Pictures to choose from, what one memory holds, and what each memory is good for."""
    rows, wide = cfg.count, rehearsal.ACROSS
    shelf = (
        field("", "ink", lambda f: f.shelf, low=0.0, high=1.0, crisp=True),
        cloud("chosen", "model", lambda f: f.ring, size=13, opacity=1, hollow=True),
        cloud("", "ink", lambda f: f.places, size=0.01, opacity=0, pick=True),
    )
    names = ("sample", "typical", "VAE", "Gaussians", "yours")
    roles = (("data", "solid"), ("truth", "dash"), ("adversary", "solid"), ("second", "dot"), ("model", "dash"))
    over: tuple[Layer, ...] = (switches(rows),)
    for i, (name, (role, dash)) in enumerate(zip(names, roles, strict=True)):
        over += (curve(name, role, lambda f, i=i: (f.time, *row(f.average, i)), dash=dash),)
    over += (curve("none", "muted", lambda f: (f.time, *row(f.average, 5)), dash="dot"),)
    held = (images("", "data", lambda f: f.kept, columns=12),)
    return (
        Panel("Yours: click pictures to keep", shelf, Axis("", 0, wide), Axis("", 0, rows), name="shelf", axes=False,
              equal=True, weight=1.2, stack="left", share=1.3,
              alt="Digits of every task, a row each; the chosen ones are ringed"),
        Panel(f"In memory now: {rehearsal.MEMORIES[cfg.show]}", held, name="kept", axes=False, stack="left",
              hall=False, share=0.65, alt="The pictures that the chosen memory holds"),
        Panel("Mean over the tasks met so far", over, time(rows), PERCENT, name="average", weight=1.1,
              alt="Average accuracy of five memories and of none"),
    )  # fmt: skip


def members(points: np.ndarray, label: int) -> np.ndarray:
    """The places (n, 2) of those points (m, 3) that are of a class."""
    return points[points[:, 2] == label][:, :2] if points.ndim == 2 and points.shape[1] == 3 else points[:0, :2]


def of_boundary(cfg: boundary.Config) -> Panels:
    """The boundary with a method and without, and the accuracy on every task."""
    count, name = len(cfg.sequence), boundary.METHODS[cfg.method]
    x, y = (Axis(f"feature {i}", -boundary.REACH, boundary.REACH) for i in (1, 2))

    def plane(which: str) -> tuple[Layer, ...]:
        layers: tuple[Layer, ...] = (
            field("", "model", lambda f: getattr(f, which), low=-0.3, high=1.3, colours="diverging"),
            contours("boundary", "ink", lambda f: getattr(f, which), levels=(0.5,)),
        )
        for names, size, shade, of in (
            (("", "older tasks"), 2.5, 0.5, lambda f: f.old_points),
            (("one class", "the other"), 4, 1, lambda f: f.new_points),
        ):
            for label, name in enumerate(names):
                layers += (cloud(name, "ink", lambda f, of=of, label=label: members(of(f), label),
                                 size=size, opacity=shade, hollow=not label),)  # fmt: skip
        return layers

    each: tuple[Layer, ...] = (switches(count),)
    for i, task in enumerate(cfg.sequence):
        each += (curve(task.name, TASKS[i], lambda f, i=i: (f.time, *row(f.tasks, 0, i)), dash="solid"),)
        each += (curve("", TASKS[i], lambda f, i=i: (f.time, row(f.tasks, 1, i)[0]), dash="dot", width=1.2),)
    return (
        Panel(f"With {name}", plane("method"), x, y, equal=True, name="method", draw="points",
              hint="Two strokes: one for either class",
              alt="Points of the tasks so far and the boundary of a network trained with the method"),
        Panel("Naive", plane("naive"), x, y, equal=True, name="naive",
              alt="The same points and the boundary of a network without any method"),
        Panel("Accuracy on each task; dotted: naive", each, time(count), PERCENT, name="tasks", hall=False,
              alt="Accuracy on every task over time, with the method and without"),
    )  # fmt: skip


def of_line(cfg: line.Config) -> Panels:
    """The functions with a method and without, and the variance explained on every task."""
    count, name = cfg.tasks, line.METHODS[cfg.method]
    x, y = Axis("x", -line.HALF, line.HALF), Axis("y", -2.4, 2.4)
    edges = np.linspace(-line.HALF, line.HALF, count + 1)[1:-1] if cfg.kind == "pieces" else np.empty(0)
    ends = np.array([[[e, -2.4], [e, 2.4]] for e in edges], np.float32).reshape(-1, 2, 2)

    def plane(which: str) -> tuple[Layer, ...]:
        return (
            path("", "muted", ends, width=1, dash="dot", opacity=0.6),
            path("truth", "truth", lambda f: f.truth, width=2, dash="dash"),
            path("four networks", "model", lambda f: getattr(f, which), width=2, dash="solid", opacity=0.75),
            cloud("old tasks", "muted", lambda f: f.old_points, size=2, opacity=0.8, hollow=True),
            cloud("this task", "ink", lambda f: f.new_points, size=2.5, opacity=0.9),
        )

    memory: tuple[Layer, ...] = ()
    if cfg.method in contest.REHEARSING:
        memory = (cloud("in memory", "data", lambda f: f.kept, size=6, opacity=1, hollow=True),)
    each: tuple[Layer, ...] = (switches(count),)
    for i, task in enumerate(cfg.sequence):
        each += (curve(task.name, TASKS[i], lambda f, i=i: (f.time, *row(f.tasks, 0, i)), dash="solid"),)
        each += (curve("", TASKS[i], lambda f, i=i: (f.time, row(f.tasks, 1, i)[0]), dash="dot", width=1.2),)
    return (
        Panel(f"With {name}", plane("method") + memory, x, y, name="method", stack="left",
              alt="The examples of the tasks so far and the functions of four networks trained with the method"),
        Panel("Naive", plane("naive"), x, y, name="naive", stack="left", legend=False,
              alt="The same examples and the functions of four networks without any method"),
        Panel("R² on each task; dotted: naive", each, time(count), PERCENT, name="tasks", hall=False, weight=0.8,
              alt="Share of the variance that is explained on every task over time, with the method and without"),
    )  # fmt: skip
