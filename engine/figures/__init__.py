"""One visual language: what every colour means, what a moving picture is made of, and how a page is put together."""

from engine.figures.palette import ROLES, Role, colour
from engine.figures.panel import (
    Axis,
    Layer,
    Panel,
    arrows,
    atlas,
    cloud,
    contours,
    curve,
    field,
    images,
    marks,
    metric,
    path,
)
from engine.figures.still import chart, to_plotly
from engine.figures.view import Readout, Scene, View, find

__all__ = [
    "ROLES",
    "Axis",
    "Layer",
    "Panel",
    "Readout",
    "Role",
    "Scene",
    "View",
    "arrows",
    "atlas",
    "chart",
    "cloud",
    "colour",
    "contours",
    "curve",
    "field",
    "find",
    "images",
    "marks",
    "metric",
    "path",
    "to_plotly",
]
