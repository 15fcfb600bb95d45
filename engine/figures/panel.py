"""What a picture that moves is made of: named layers over fixed axes, pure data from frames."""

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as _field
from math import nan
from typing import Any

import numpy as np

Source = Callable[[Any], Any] | np.ndarray  # numbers from a frame, or the same numbers in every frame

SHAPES = {
    "cloud": "(n, 2), or (n, 3) with a class in the third column",
    "field": "(h, w), the first row at the bottom",
    "contours": "(h, w), the first row at the bottom",
    "arrows": "(n, 4): x, y, dx, dy",
    "path": "(m, 2) or (k, m, 2)",
    "curve": "(2,): x, y; or (4,): x, y, low, high",
    "images": "(k, h, w) in 0..1",
    "atlas": "(r, c, h, w) in 0..1, the first row at the bottom",
    "metric": "(r, c, 3): a, b, c of a matrix [[a, b], [b, c]], the first row at the bottom",
    "marks": "(k, 2)",
    "relief": "(h, w), heights in 0..1, the first row at the front",
    "trail": "(k, m, 3): x, y and a height in 0..1",
    "adapted": "(p,): the weights of a network, or () of none",
}


@dataclass(frozen=True)
class Axis:
    """A fixed range with its label and unit."""

    label: str
    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, eq=False)
class Layer:
    """One kind of mark with a name for the legend and a role for its colour."""

    kind: str
    name: str
    role: str
    of: Source
    style: dict[str, Any] = _field(default_factory=dict)

    @property
    def static(self) -> bool:
        """Whether the layer is the same in every frame."""
        return not callable(self.of)

    def values(self, frame: Any = None) -> np.ndarray:
        """The layer's numbers in `frame`, checked: float32 in the shape of its kind."""
        found = np.asarray(self.of(frame) if callable(self.of) else self.of, dtype=np.float32)
        if not _fits(self.kind, found.shape):
            raise ValueError(f"layer “{self.name}” has shape {found.shape}; a {self.kind} has {SHAPES[self.kind]}")
        return np.ascontiguousarray(found)


@dataclass(frozen=True, eq=False)
class Panel:
    """Layers over two axes. `equal`: one unit is as long on both. `draw`: what a visitor may draw here."""

    title: str
    layers: tuple[Layer, ...]
    x: Axis = Axis("", 0, 1)
    y: Axis = Axis("", 0, 1)
    equal: bool = False
    weight: float = 1.0  # width against the other panels of the row
    draw: str = ""  # "points" or "picture"
    hint: str = ""  # what to draw, said where one draws
    live: bool = False  # whether a picture is taken up stroke by stroke
    name: str = ""
    axes: bool = True
    stack: str = ""  # panels of one stack stand one above the other
    share: float = 1.0  # height against the others of its stack
    legend: bool = True
    hall: bool = True  # whether it stays in the presenter's mode, where there is room for two
    alt: str = ""  # what a reader of the screen hears

    @property
    def curves(self) -> bool:
        """Whether the panel is a chart of curves, which two runs can share."""
        return any(layer.kind == "curve" for layer in self.layers)


def cell(table: Any, *at: int) -> float:
    """One number of a frame's table, by its row, column, …; NaN where the frame has none."""
    try:
        return float(np.asarray(table)[at])
    except IndexError:
        return nan


def _fits(kind: str, shape: tuple[int, ...]) -> bool:
    rank = len(shape)
    return {
        "cloud": rank == 2 and shape[-1] in (2, 3),
        "field": rank == 2,
        "contours": rank == 2,
        "arrows": rank == 2 and shape[-1] == 4,
        "path": rank in (2, 3) and shape[-1] == 2,
        "curve": shape in ((2,), (4,)),
        "images": rank == 3,
        "atlas": rank == 4,
        "metric": rank == 3 and shape[-1] == 3,
        "marks": rank == 2 and shape[-1] == 2,
        "relief": rank == 2,
        "trail": rank == 3 and shape[-1] == 3,
        "adapted": rank == 1,
    }[kind]


def cloud(
    name: str,
    role: str,
    of: Source,
    *,
    size: float = 4,
    opacity: float = 0.7,
    hollow: bool = False,
    pick: bool = False,
    drag: str = "",
    tag: str = "",
) -> Layer:
    """Points. A third column colours them by class. `pick`: a click on one is the event "pick", with its index.

    `drag`: each can be dragged; the event of that name has all `points` and the `tag`.
    """
    look = dict(size=size, opacity=opacity, hollow=hollow, pick=pick, drag=drag, tag=tag)
    return Layer("cloud", name, role, of, look)


def field(
    name: str, role: str, of: Source, *, low: float = 0.0, high: float = 1.0, colours: str = "tint", crisp: bool = False
) -> Layer:
    """A number at every place of the panel: `colours` is tint (of the role), heat or diverging; `crisp` shows cells."""
    return Layer("field", name, role, of, dict(low=low, high=high, colours=colours, crisp=crisp))


def arrows(name: str, role: str, of: Source, *, scale: float = 1.0, width: float = 1.4) -> Layer:
    """A vector at each of n places, in the units of the axes times `scale`."""
    return Layer("arrows", name, role, of, dict(scale=scale, width=width))


def contours(name: str, role: str, of: Source, *, levels: tuple[float, ...]) -> Layer:
    """Lines of equal height at `levels`."""
    return Layer("contours", name, role, of, dict(levels=list(levels)))


def path(
    name: str, role: str, of: Source, *, width: float = 2, dash: str = "", opacity: float = 1, head: bool = False
) -> Layer:
    """One or several lines through places; `head` marks their ends."""
    return Layer("path", name, role, of, dict(width=width, dash=dash, opacity=opacity, head=head))


def curve(name: str, role: str, of: Source, *, dash: str = "", width: float = 2) -> Layer:
    """One point a frame, joined over the frames; with a band when low and high are given."""
    return Layer("curve", name, role, of, dict(width=width, dash=dash))


def images(name: str, role: str, of: Source, *, columns: int, captions: tuple[str, ...] = ()) -> Layer:
    """Grey pictures in a grid, crisp."""
    return Layer("images", name, role, of, dict(columns=columns, captions=list(captions)))


def atlas(name: str, role: str, of: Source) -> Layer:
    """A picture for every cell of a grid over the panel; the pointer shows the one that lies under it."""
    return Layer("atlas", name, role, of)


def metric(name: str, role: str, of: Source, *, level: float, longest: float) -> Layer:
    """A metric on the plane: around the pointer stand the places at distance `level`, at most `longest` away."""
    return Layer("metric", name, role, of, dict(level=level, longest=longest))


def marks(
    name: str, role: str, of: Source, *, labels: tuple[str, ...] = (), drag: tuple[str, ...] = (), line: str = ""
) -> Layer:
    """A few named places. `drag` names the two knobs that dragging turns; `line` "x" or "y" rules a line there."""
    return Layer("marks", name, role, of, dict(labels=list(labels), drag=list(drag), line=line))


def relief(name: str, role: str, of: Source) -> Layer:
    """A surface in space that the visitor turns. It wants a panel without axes."""
    return Layer("relief", name, role, of)


def trail(name: str, role: str, of: Source, *, width: float = 2, opacity: float = 1) -> Layer:
    """Lines on a surface in space, a dot at the end of each."""
    return Layer("trail", name, role, of, dict(width=width, opacity=opacity))


def adapted(
    name: str,
    role: str,
    of: Source,
    *,
    sizes: tuple[int, ...],
    fast_lr: float,
    steps: int = -1,
    head: bool = False,
    inner: tuple[str, np.ndarray],
    judge: tuple[str, np.ndarray],
    draws: str = "function",
    trail: bool = False,
    width: float = 2,
    dash: str = "",
) -> Layer:
    """A network that the stage itself adapts to the examples of the cloud called `inner`, dragged or not.

    `of` gives its weights (engine.figures.adapted says how they lie); `steps` of gradient descent of size `fast_lr`,
    or -1 for as many as the number of the frame. `head`: only the last layer moves. `draws`: the function, with the
    ones before it where `trail`; or the loss on the cloud called `judge`. The clouds come with their first points.
    """
    clouds = dict(inner=inner[0], points=inner[1].tolist(), judge=judge[0], judges=judge[1].tolist())
    look = dict(sizes=list(sizes), fast_lr=fast_lr, steps=steps, head=head, draws=draws, trail=trail, width=width)
    return Layer("adapted", name, role, of, look | clouds | dict(dash=dash))
