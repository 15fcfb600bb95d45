"""Panels as Plotly figures: for downloads, for tests and for a still to inspect; and the frame of every chart."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from engine.figures.adapted import adaptation, loss, outputs
from engine.figures.palette import CATEGORIES, ROLES, colour
from engine.figures.panel import Axis, Layer, Panel

DIVERGING = ["#0072B2", "#7FB8D8", "#F5F5F5", "#EBA477", "#D55E00"]  # as on the stage
MARKERS = {"dot": "circle", "ring": "circle-open", "square": "square", "cross": "x"}


def chart(*, x: str = "", y: str = "", key: str = "chart", dark: bool = False, height: int = 320) -> go.Figure:
    """An empty Plotly figure in the house's style; zoom and camera survive while `key` stays the same."""
    ink = colour("ink", dark)
    grid = "rgba(128,136,150,0.22)"
    axis = dict(gridcolor=grid, zeroline=False, linecolor=grid, ticks="outside", tickcolor=grid, automargin=True)
    return go.Figure().update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font=dict(color=ink, size=14, family="Source Sans, sans-serif"),
        margin=dict(l=56, r=16, t=36, b=48),
        legend=dict(orientation="h", y=1.02, yanchor="bottom", x=0),
        xaxis=dict(title=x, **axis),
        yaxis=dict(title=y, **axis),
        height=height,
        uirevision=key,
        hoverlabel=dict(font_size=14),
    )


def to_plotly(panel: Panel, frames: Sequence[Any], *, dark: bool = False) -> go.Figure:
    """The panel at the last of `frames`, as the stage draws it; curves use all of them."""
    figure = chart(x=panel.x.label, y=panel.y.label, key=panel.title, dark=dark, height=480)
    for layer in panel.layers:
        DRAW[layer.kind](figure, layer, frames, panel, dark)
    figure.update_layout(title=panel.title)
    figure.update_xaxes(_range(panel.x), showgrid=panel.axes, visible=panel.axes)
    figure.update_yaxes(_range(panel.y), showgrid=panel.axes, visible=panel.axes)
    if panel.equal:
        figure.update_yaxes(scaleanchor="x", scaleratio=1)
    return figure


def _range(axis: Axis) -> dict[str, Any]:
    ends = [axis.low, axis.high]
    return dict(type="log", range=list(np.log10(ends))) if axis.log else dict(range=ends)


def _cloud(figure: go.Figure, layer: Layer, frames: Sequence[Any], panel: Panel, dark: bool) -> None:
    points, role = layer.values(frames[-1]), ROLES[layer.role]
    shades = (
        [CATEGORIES[int(c) % 10] for c in np.nan_to_num(points[:, 2])]
        if points.shape[1] == 3
        else colour(layer.role, dark)
    )
    symbol = "circle-open" if layer.style["hollow"] else MARKERS[role.marker]
    marker = dict(color=shades, size=layer.style["size"] * 1.6, opacity=layer.style["opacity"], symbol=symbol)
    figure.add_scatter(x=points[:, 0], y=points[:, 1], mode="markers", name=layer.name, marker=marker)


def _places(count: int, axis: Axis) -> np.ndarray:
    half = (axis.high - axis.low) / max(count, 1) / 2
    return np.linspace(axis.low + half, axis.high - half, count)


def _field(figure: go.Figure, layer: Layer, frames: Sequence[Any], panel: Panel, dark: bool) -> None:
    z, style = layer.values(frames[-1]), layer.style
    shade = colour(layer.role, dark)
    clear = "rgba(127,127,127,0)"
    scale = {"tint": [[0, clear], [1, shade]], "heat": "Cividis", "diverging": DIVERGING}[style["colours"]]
    x, y = _places(z.shape[1], panel.x), _places(z.shape[0], panel.y)
    limits = dict(zmin=style["low"], zmax=style["high"], showscale=False, hoverinfo="z")
    figure.add_heatmap(x=x, y=y, z=z, colorscale=scale, zsmooth="best", name=layer.name, **limits)


def _contours(figure: go.Figure, layer: Layer, frames: Sequence[Any], panel: Panel, dark: bool) -> None:
    z = layer.values(frames[-1])
    line = dict(color=colour(layer.role, dark), width=1.5)
    for level in layer.style["levels"]:
        at = dict(start=level, end=level, size=1, coloring="none")
        x, y = _places(z.shape[1], panel.x), _places(z.shape[0], panel.y)
        figure.add_contour(x=x, y=y, z=z, contours=at, line=line, showscale=False, name=layer.name, hoverinfo="skip")


def _arrows(figure: go.Figure, layer: Layer, frames: Sequence[Any], panel: Panel, dark: bool) -> None:
    start, step = np.split(layer.values(frames[-1]), 2, axis=1)
    _lines(figure, layer, np.stack([start, start + layer.style["scale"] * step], 1), 1.5, dark)


def _path(figure: go.Figure, layer: Layer, frames: Sequence[Any], panel: Panel, dark: bool) -> None:
    points = layer.values(frames[-1])
    _lines(figure, layer, points if points.ndim == 3 else points[None], layer.style["width"], dark)


def _lines(figure: go.Figure, layer: Layer, lines: np.ndarray, width: float, dark: bool) -> None:
    """Several lines as one element, kept apart by gaps. lines: (k, m, 2)"""
    gaps = np.full((len(lines), 1, 2), np.nan, np.float32)
    joined = np.concatenate([lines, gaps], 1).reshape(-1, 2)
    line = dict(color=colour(layer.role, dark), width=width, dash=layer.style.get("dash") or "solid")
    figure.add_scatter(x=joined[:, 0], y=joined[:, 1], mode="lines", name=layer.name, line=line)


def _curve(figure: go.Figure, layer: Layer, frames: Sequence[Any], panel: Panel, dark: bool) -> None:
    points = np.stack([layer.values(frame) for frame in frames])
    shade = colour(layer.role, dark)
    if points.shape[1] == 4:
        x = np.concatenate([points[:, 0], points[::-1, 0]])
        y = np.concatenate([points[:, 3], points[::-1, 2]])
        figure.add_scatter(x=x, y=y, fill="toself", fillcolor=shade, opacity=0.2, line_width=0, hoverinfo="skip",
                           showlegend=False)  # fmt: skip
    line = dict(color=shade, width=layer.style["width"], dash=layer.style["dash"] or ROLES[layer.role].dash)
    figure.add_scatter(x=points[:, 0], y=points[:, 1], mode="lines", name=layer.name, line=line)


def _images(figure: go.Figure, layer: Layer, frames: Sequence[Any], panel: Panel, dark: bool) -> None:
    sheet = _grey(montage(layer.values(frames[-1]), layer.style["columns"]))
    size = 1 / max(sheet.shape[:2])  # of a pixel, so that the sheet fills the panel's square from its top left corner
    figure.add_image(z=sheet, x0=size / 2, dx=size, y0=1 - size / 2, dy=-size, name=layer.name)
    figure.update_yaxes(scaleanchor="x", scaleratio=1)


def _atlas(figure: go.Figure, layer: Layer, frames: Sequence[Any], panel: Panel, dark: bool) -> None:
    pictures = layer.values(frames[-1])[::-1]
    sheet = _grey(montage(pictures.reshape(-1, *pictures.shape[2:]), pictures.shape[1], gap=0))
    (x, wide), (y, high) = ((axis.low, axis.high - axis.low) for axis in (panel.x, panel.y))
    dx, dy = wide / sheet.shape[1], high / sheet.shape[0]
    figure.add_image(z=sheet, x0=x + dx / 2, dx=dx, y0=y + high - dy / 2, dy=-dy, name=layer.name, opacity=0.35)


def _metric(figure: go.Figure, layer: Layer, frames: Sequence[Any], panel: Panel, dark: bool) -> None:
    """Nothing points at a still picture: the ellipses of 25 places all over it."""
    g = layer.values(frames[-1])
    if not g.size:
        return
    rows, columns = (np.linspace(0, n - 1, 7).round().astype(int)[1:-1] for n in g.shape[:2])
    a, b, c = g[np.ix_(rows, columns)].reshape(-1, 3).astype(float).T
    values, vectors = np.linalg.eigh(np.stack([np.stack([a, b], 1), np.stack([b, c], 1)], 1))
    half = np.minimum(layer.style["level"] / np.sqrt(np.maximum(values, 1e-12)), layer.style["longest"])
    angle = np.linspace(0, 2 * np.pi, 41)
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    across = [
        axis.low + (axis.high - axis.low) * (at + 0.5) / n
        for axis, at, n in zip((panel.x, panel.y), (columns, rows), g.shape[1::-1], strict=True)
    ]
    middles = np.stack(np.meshgrid(*across), -1).reshape(-1, 1, 2)
    _lines(figure, layer, middles + (circle * half[:, None]) @ vectors.transpose(0, 2, 1), 1.5, dark)


def _marks(figure: go.Figure, layer: Layer, frames: Sequence[Any], panel: Panel, dark: bool) -> None:
    points, shade = layer.values(frames[-1]), colour(layer.role, dark)
    if layer.style["line"] == "x":
        for x in points[:, 0]:
            figure.add_vline(x=float(x), line=dict(color=shade, width=2))
    labels = layer.style["labels"] or None
    marker = dict(color=shade, size=12, symbol=MARKERS[ROLES[layer.role].marker])
    figure.add_scatter(x=points[:, 0], y=points[:, 1], mode="markers+text" if labels else "markers", text=labels,
                       name=layer.name, marker=marker, textposition="top center")  # fmt: skip


def _relief(figure: go.Figure, layer: Layer, frames: Sequence[Any], panel: Panel, dark: bool) -> None:
    z = layer.values(frames[-1])
    x, y = (np.linspace(axis.low, axis.high, n) for axis, n in ((panel.x, z.shape[1]), (panel.y, z.shape[0])))
    figure.add_surface(x=x, y=y, z=z, colorscale="Cividis", showscale=False, name=layer.name)


def _trail(figure: go.Figure, layer: Layer, frames: Sequence[Any], panel: Panel, dark: bool) -> None:
    for line in layer.values(frames[-1]):
        look = dict(color=colour(layer.role, dark), width=2 * layer.style["width"])
        figure.add_scatter3d(x=line[:, 0], y=line[:, 1], z=line[:, 2], mode="lines", name=layer.name, line=look)


def _adapted(figure: go.Figure, layer: Layer, frames: Sequence[Any], panel: Panel, dark: bool) -> None:
    weights, style = layer.values(frames[-1]), layer.style
    if not weights.size:
        return
    states = adaptation(weights, style, len(frames) - 1 if style["steps"] < 0 else style["steps"])
    x = np.linspace(panel.x.low, panel.x.high, 141)
    if style["draws"] == "loss":
        x, y = np.arange(len(states)), np.array([loss(one, np.array(style["judges"])) for one in states])
    else:
        y = outputs(states[-1], x)
    line = dict(color=colour(layer.role, dark), width=style["width"], dash=style["dash"] or ROLES[layer.role].dash)
    figure.add_scatter(x=x, y=y, mode="lines", name=layer.name, line=line)


def montage(pictures: np.ndarray, columns: int, gap: int = 1) -> np.ndarray:
    """Pictures in a grid as one picture. (k, h, w) -> (rows (h + gap) + gap, columns (w + gap) + gap)"""
    k, h, w = pictures.shape
    rows = max(1, -(-k // columns))
    sheet = np.zeros((rows * (h + gap) + gap, columns * (w + gap) + gap), np.float32)
    for i, picture in enumerate(pictures):
        top, left = (i // columns) * (h + gap) + gap, (i % columns) * (w + gap) + gap
        sheet[top : top + h, left : left + w] = picture
    return sheet


def _grey(picture: np.ndarray) -> np.ndarray:
    levels = np.nan_to_num(np.clip(picture, 0, 1)) * 255
    return np.repeat(levels.astype(np.uint8)[..., None], 3, axis=2)


DRAW = {
    "cloud": _cloud,
    "field": _field,
    "contours": _contours,
    "arrows": _arrows,
    "path": _path,
    "curve": _curve,
    "images": _images,
    "atlas": _atlas,
    "marks": _marks,
    "metric": _metric,
    "relief": _relief,
    "trail": _trail,
    "adapted": _adapted,
}
