"""Why networks forget, drawn: angles between gradients, the plane of three trainings, importance, room and winners."""

from math import nan
from typing import Any

import numpy as np

from engine.figures.panel import Axis, Layer, Panel, cloud, contours, curve, field, images, marks, path
from engine.forgetting_curves import importance, interference, plane, room, winners
from engine.forgetting_curves.pair import pair

Panels = tuple[Panel, ...]
PERCENT = Axis("%", 0, 102)
LEVELS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)  # nats
LAYERS = ("into the first layer", "into the second", "into the third")
THREE = (("old", "solid"), ("new", "dash"), ("third", "dot"))  # role and dash of each layer


def of_interference(cfg: interference.Config) -> Panels:
    """The two tasks, the cosine over the steps and over all angles, and what came of each forecast."""
    steps = Axis("step on the new task", 0, cfg.steps)
    over_time = (
        path("no effect", "muted", np.array([[0, 0], [cfg.steps, 0]], np.float32), width=1, dash="dot"),
        curve("eight networks", "model", lambda f: (f.step, *three(f.cosine))),
    )
    turned = (
        path("no effect", "muted", np.array([[0, 0], [180, 0]], np.float32), width=1, dash="dot"),
        path("at every angle, now", "model", lambda f: f.dial, width=2.5),
        marks("the new task", "new", np.array([[cfg.angle, 0.0]], np.float32), line="x"),
    )
    forecast = (
        path("as foretold", "truth", np.array([[-1.2, -1.2], [1.2, 1.2]], np.float32), width=2, dash="dash"),
        path("harm above, help below", "muted", np.array([[-1.2, 0], [1.2, 0]], np.float32), width=1, dash="dot"),
        cloud("the last sixty steps", "model", lambda f: f.pairs, size=3),
    )
    unit, far = Axis("forecast, as a part of the largest possible", -1.2, 1.2), cfg.step_size > 0.1
    return (
        tasks_of(cfg),
        Panel("Cosine of the two gradients", over_time, steps, Axis("cosine", -1.05, 1.05), name="cosine",
              stack="middle", hall=False,
              alt="The cosine between the gradients of the old and the new task over the steps"),
        Panel("The dial: the same for every angle", turned, Axis("new task turned by, degrees", 0, 180),
              Axis("cosine", -1.05, 1.05), name="dial", stack="middle", hall=not far,
              alt="The cosine between the gradients over the angle by which the new task is turned"),
        Panel("Old loss: forecast and fact", forecast, unit, Axis("what came, in the same unit", -1.2, 1.2), equal=True,
              name="forecast", hall=far, alt="The actual change of the old loss over the predicted one"),
    )  # fmt: skip


def tasks_of(cfg: interference.Config) -> Panel:
    """The points of both tasks over what the first network says; or digits of both."""
    if cfg.data != "points":
        return Panel("Above: old task. Below: new task", (images("", "data", lambda f: f.images, columns=3),),
                     name="tasks", axes=False, weight=0.8, alt="Six digits, and below the same six turned")  # fmt: skip
    tasks = pair(cfg.data, cfg.angle, cfg.seed, interference.MOST)
    x, y = (Axis(f"feature {i}", -interference.REACH, interference.REACH) for i in (1, 2))
    layers: tuple[Layer, ...] = (
        field("second class", "model", lambda f: f.map, low=-0.5, high=1.5, colours="diverging"),
        contours("boundary", "ink", lambda f: f.map, levels=(0.5,)),
    )
    for name, role, task, hollow in (("old task", "old", tasks.old, False), ("new task", "new", tasks.new, True)):
        for label, size in ((0, 3), (1, 6)):
            named = name if label else ""  # the second class, drawn larger
            chosen = interference.members(task, label)
            layers += (cloud(named, role, chosen, size=size, opacity=0.9, hollow=hollow),)
    return Panel("Two tasks, one network", layers, x, y, equal=True, name="tasks",
                 alt="Points of the old and of the new task in two classes, and the boundary of a network")  # fmt: skip


def of_plane(cfg: plane.Config) -> Panels:
    """The plane with both losses, the ellipses and the ends of EWC; accuracy over the strength; the straight way."""
    on = plane.of(cfg)
    ways = "from A’s weights towards B’s", "at right angles, towards those of both"
    x, y = (Axis(name, float(a), float(b)) for name, a, b in zip(ways, on.low, on.high, strict=True))
    sheet = (
        field("old loss", "old", on.old, low=0.0, high=4.0),
        contours("", "old", on.old, levels=LEVELS),
        contours("new loss", "new", on.new, levels=LEVELS),
        contours(f"KL on the old task = {plane.LEVEL}", "ink", on.apart, levels=(plane.LEVEL,)),
        path(f"½ δᵀFδ = {plane.LEVEL}", "truth", plane.outline(on.form), width=3, dash="dash"),
        path("its diagonal, as in EWC", "third", plane.outline(on.diagonal), width=2.5, dash="dot"),
        path("EWC, λ from 0 up", "model", lambda f: f.path, width=2.5),
        marks("", "ink", on.corners, labels=("after A", "after B", "both at once")),
        marks("the λ marked", "model", lambda f: f.spot),
    )
    right = (
        path("old task", "old", lambda f: f.right[:, :2], width=2.5),
        path("new task", "new", lambda f: f.right[:, [0, 2]], width=2.5, dash="dash"),
        marks("the λ marked", "model", lambda f: np.array([[max(f.strength, 0.3), 0.0]]), line="x"),
    )
    way = (
        path("KL of the outputs", "ink", on.line[:, :2], width=2.5),
        path("½ δᵀFδ", "truth", on.line[:, [0, 2]], width=2.5, dash="dash"),
        path("its diagonal", "third", on.line[:, [0, 3]], width=2, dash="dot"),
    )
    return (
        Panel("The plane through three trainings", sheet, x, y, equal=True, name="plane", weight=1.3,
              alt="Contours of the old and the new loss in the plane of three weight vectors, ellipses and a path"),
        Panel("Read right", right, Axis("λ (left end: none)", 0.3, 1e5, log=True), PERCENT, name="right",
              stack="right", alt="Accuracy on the old and on the new task over the strength of EWC"),
        Panel("On the old task, from A’s weights to B’s", way, Axis("share of the way", 0, 1), Axis("nats", 0, 1.5),
              name="way", stack="right", hall=False,
              alt="Divergence of the outputs on the straight way, and its quadratic forms"),
    )  # fmt: skip


def of_importance(cfg: importance.Config) -> Panels:
    """The network’s weights by importance, two Fishers against each other, and the KL against its form."""
    ends = Axis("exact, log scale", 1e-6, 1, log=True)
    against = (
        path("the same", "truth", np.array([[1e-6, 1e-6], [1, 1]], np.float32), width=2, dash="dash"),
        *(
            cloud(kind, role, lambda f, i=i: at(f.dots, i), size=2.5, opacity=0.6)
            for i, (kind, role) in enumerate(
                (("sampled", "data"), ("empirical", "second"), ("mini-batch", "adversary"))
            )
        ),
    )
    form = (
        path("KL of the outputs", "ink", lambda f: f.apart, width=2.5),
        path("½ δᵀFδ", "truth", lambda f: f.form, width=2.5, dash="dash"),
        path("their difference, root mean square", "adversary", lambda f: f.rest, width=2, dash="dot"),
    )
    rows, columns = importance.ROWS, importance.COLUMNS
    return (
        Panel("Units by their 64 inputs; right: to the ten classes",
              (field("log₁₀ importance", "old", lambda f: f.map, low=-5.0, high=-0.5, colours="heat", crisp=True),),
              Axis("", 0, columns), Axis("", 0, rows), equal=True, axes=False, name="map", weight=1.5, legend=False,
              alt="The Fisher importance of every weight, a tile of 8 by 8 inputs for each of 24 hidden units"),
        Panel("Other Fishers, weight by weight", against, ends, Axis("other", 1e-6, 1, log=True), name="against",
              stack="right", hall=False, alt="Three other Fisher diagonals over the exact one, weight by weight"),
        Panel("How far ½ δᵀFδ holds", form, Axis("length of the step δ", 0.01, 10, log=True),
              Axis("nats", 1e-11, 100, log=True), name="form", stack="right",
              alt="The divergence of the outputs, its quadratic form and their difference over the length"),
    )  # fmt: skip


def of_room(cfg: room.Config) -> Panels:
    """The spectrum of each layer’s inputs with the part protected, old outputs, and accuracy."""
    steps = Axis("step on the new task", 0, cfg.steps)
    most = max(64, cfg.width) + 1
    spectrum = tuple(
        path(LAYERS[i], role, lambda f, i=i: at(f.spectrum, i), width=2, dash=dash)
        for i, (role, dash) in enumerate(THREE)
    )
    spectrum += tuple(
        marks("" if i else "protected up to here", role, lambda f, i=i: cut(f, i)) for i, (role, _) in enumerate(THREE)
    )
    spectrum += tuple(
        path("" if i else "room left", role, lambda f, i=i: left(f, i), width=5, dash="solid")
        for i, (role, _) in enumerate(THREE)
    )
    change = (
        curve("projected", "model", lambda f: (f.step, *three(f.change))),
        curve("as it comes", "adversary", lambda f: (f.step, *three(f.free)), dash="dot"),
    )
    right = (
        curve("old task, projected", "old", lambda f: (f.step, *three(f.old))),
        curve("new task, projected", "new", lambda f: (f.step, *three(f.new)), dash="dash"),
        curve("old task, as it comes", "adversary", lambda f: (f.step, *three(f.old_free)), dash="dot"),
        curve("new task, as it comes", "muted", lambda f: (f.step, three(f.new_free)[0]), dash="dot"),
    )
    return (
        Panel("Energy of the old inputs, by direction", spectrum, Axis("direction", 0, most),
              Axis("share of the energy", 1e-8, 1, log=True), name="spectrum", weight=1.1,
              alt="The spectrum of the inputs that each layer saw on the old task, and how many directions are kept"),
        Panel("Largest change of an old output", change, steps, Axis("change of a logit", 1e-15, 1e3, log=True),
              name="change", stack="right", alt="How far the outputs on the stored old examples have moved"),
        Panel("Read right", right, steps, PERCENT, name="right", stack="right", hall=False,
              alt="Accuracy on the old and the new task, with and without projection"),
    )  # fmt: skip


def at(table: np.ndarray, i: int) -> np.ndarray:
    """A row of a table, or nothing where there is none."""
    return table[i] if len(table) > i else np.full((2, 2), nan, np.float32)


def cut(frame: Any, i: int) -> np.ndarray:
    """The last direction that is protected in a layer: (1, 2)"""
    if len(frame.ranks) <= i or not np.isfinite(frame.ranks[i]) or not frame.spectrum.size:
        return np.full((1, 2), nan, np.float32)
    row = min(int(round(float(frame.ranks[i]))), frame.spectrum.shape[1])
    return frame.spectrum[i, max(row - 1, 0)][None] if row else np.full((1, 2), nan, np.float32)


def three(table: np.ndarray) -> tuple[float, ...]:
    """Mean, least and most; NaN where there are none."""
    return tuple(map(float, table)) if len(table) == 3 else (nan,) * 3


def left(frame: Any, i: int) -> np.ndarray:
    """A bar from the last direction protected in a layer to the last one that there is: (2, 2)"""
    if len(frame.ranks) <= i:
        return np.full((2, 2), nan, np.float32)
    height = 10.0 ** (-7.1 - 0.35 * i)
    return np.array([[frame.ranks[i], height], [frame.sizes[i], height]], np.float32)


def of_winners(cfg: winners.Config) -> Panels:
    """Who is active on which task at both ends of the sweep; forgetting over overlap; both over the sweep."""
    often = Axis("how often active", -1, 1)
    (k, a), *_, (last_k, last_a) = cfg.settings
    names = [f"k = {number}, α = {strength:g}" for number, strength in ((k, a), (last_k, last_a))]
    kept = path("chance to be kept", "adversary", lambda f: f.kept, width=1.5, dash="dot")
    swept = winners.SWEEPS[cfg.sweep]
    front = (
        cloud("each network", "model", lambda f: f.cloud[:, :2], size=5, hollow=True),
        path("along the sweep", "model", lambda f: f.front, width=2.5, head=True),
    )
    over = (
        path("overlap", "model", lambda f: f.overlap, width=2),
        path("forgotten", "adversary", lambda f: f.forgotten, width=2.5, dash="dot"),
        path("new task read right", "new", lambda f: f.new, width=2, dash="dash"),
    )
    low, high = cfg.places[0], cfg.places[-1]
    return (
        Panel(f"Units in use, {names[0]}", pyramid("first"), units(k), often, name="first", stack="left",
              hall=cfg.sweep != "k",
              alt="How often each unit is active on the old task, upwards, and on the new one, downwards"),
        Panel(f"Units in use, {names[1]}", (*pyramid("last"), kept), units(last_k), often, name="last", stack="left",
              alt="The same at the other end of the sweep, with each unit's chance to be kept"),
        Panel("Forgotten, over overlap", front, Axis("overlap of the units, %", 0, 102),
              Axis("points forgotten", -10, 70), name="front", stack="right",
              hall=cfg.sweep == "k",
              alt="Points of accuracy forgotten over the overlap of active units"),
        Panel("Along the sweep", over, Axis(swept, low, high, log=cfg.sweep == "k"), PERCENT, name="over",
              stack="right", hall=False, alt="Overlap, forgetting and new accuracy over the sweep"),
    )  # fmt: skip


def units(k: int) -> Axis:
    """The units that are drawn, as many as k winners may come to use."""
    return Axis("unit, most used on the old task first", 0, min(winners.UNITS, max(40, 6 * k)))


def pyramid(name: str) -> tuple[Layer, ...]:
    """The old task’s activity upwards and the new one’s downwards."""
    return (
        path("old task", "old", lambda f: at(getattr(f, name), 0), width=2),
        path("new task", "new", lambda f: at(getattr(f, name), 1), width=2, dash="solid"),
    )
