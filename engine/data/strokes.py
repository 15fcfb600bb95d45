"""The pen strokes of the glyphs: ten numerals drawn by us, and alphabets that nobody has ever written.

A glyph is a list of strokes, a stroke a chain of points (m, 2) float64: x to the right, y down, both in about ±1.
"""

import math

import torch
from torch import Tensor

from engine.device import generator

Point = tuple[float, float]

FINE = 12  # straight pieces between two points of a curve


def line(*points: Point) -> Tensor:
    """Straight from point to point: (m, 2)."""
    return torch.tensor(points, dtype=torch.float64)


def curve(*points: Point) -> Tensor:
    """A smooth line through the points, closed when it ends where it began (Catmull and Rom, 1974): (m, 2)."""
    knots = torch.tensor(points, dtype=torch.float64)
    closed = bool((knots[0] == knots[-1]).all())
    before = knots[-2] if closed else 2 * knots[0] - knots[1]
    after = knots[1] if closed else 2 * knots[-1] - knots[-2]
    a, b, c, d = torch.cat([before[None], knots, after[None]]).unfold(0, 4, 1).permute(2, 0, 1)[:, :, None]
    t = (torch.arange(FINE, dtype=torch.float64) / FINE)[:, None]
    pieces = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return torch.cat([pieces.reshape(-1, 2), knots[-1:]])


def arc(middle: Point, radii: Point, start: float, end: float) -> Tensor:
    """Part of an ellipse, from angle start to end in degrees: 0 is to the right, 90 down: (m, 2)."""
    steps = 4 + int(abs(end - start) / 8)
    angle = torch.linspace(math.radians(start), math.radians(end), steps, dtype=torch.float64)
    across, down = radii[0] * torch.cos(angle), radii[1] * torch.sin(angle)
    return torch.stack([middle[0] + across, middle[1] + down], 1)


NUMERALS: tuple[list[Tensor], ...] = (
    [arc((0, 0), (0.62, 1), 0, 360)],
    [line((-0.38, -0.58), (0.08, -1), (0.08, 1))],
    [
        torch.cat([arc((0, -0.42), (0.58, 0.58), -165, 20), curve((0.545, -0.22), (0.22, 0.3), (-0.62, 1))]),
        line((-0.62, 1), (0.64, 1)),
    ],
    [arc((-0.03, -0.52), (0.52, 0.48), -150, 90), arc((-0.05, 0.48), (0.62, 0.52), -90, 150)],
    [line((0.2, -1), (-0.66, 0.36), (0.7, 0.36)), line((0.3, -0.3), (0.3, 1))],
    [line((0.52, -1), (-0.4, -1), (-0.5, -0.1)), arc((-0.02, 0.36), (0.62, 0.64), -140, 145)],
    [curve((0.4, -1), (-0.1, -0.68), (-0.47, -0.1), (-0.58, 0.42)), arc((0, 0.42), (0.58, 0.58), 0, 360)],
    [line((-0.6, -1), (0.6, -1)), curve((0.6, -1), (0.1, -0.05), (-0.16, 1))],
    [arc((0, -0.54), (0.48, 0.46), 0, 360), arc((0, 0.46), (0.6, 0.54), 0, 360)],
    [arc((0, -0.42), (0.58, 0.58), 0, 360), curve((0.58, -0.42), (0.5, 0.2), (0.25, 0.68), (-0.2, 1))],
)


def invented(seed: int, k: int) -> list[Tensor]:
    """Character k of the alphabet that the seed stands for: two or three strokes, mostly joined to each other."""
    draw = generator(seed * 1_000_003 + k)
    while True:
        strokes: list[Tensor] = []
        for _ in range(2 + int(_uniform(draw) < 0.5)):
            kind = KINDS[int(len(KINDS) * _uniform(draw))]
            strokes.append(kind(_meeting_point(strokes, draw), draw))
        strokes = [_even(stroke) for stroke in _fitted(strokes)]
        if _is_legible(strokes):
            return strokes


def _even(stroke: Tensor) -> Tensor:
    """The stroke in pieces of about 0.08 each: (m, 2) -> (l, 2)."""
    way = torch.cat([torch.zeros(1), (stroke[1:] - stroke[:-1]).norm(dim=1).cumsum(0)]).contiguous()
    at = torch.linspace(0, float(way[-1]), 2 + int(way[-1] / 0.08), dtype=torch.float64)
    i = torch.searchsorted(way, at[1:-1]).clamp(1, len(way) - 1)
    share = ((at[1:-1] - way[i - 1]) / (way[i] - way[i - 1]))[:, None]
    return torch.cat([stroke[:1], torch.lerp(stroke[i - 1], stroke[i], share), stroke[-1:]])


def _is_legible(strokes: list[Tensor]) -> bool:
    """Enough ink and not too much, hardly any of it where the pen passes close to where it was before."""
    points = torch.cat(strokes)
    order = torch.cat([torch.arange(len(s)) + 100 * i for i, s in enumerate(strokes)])
    apart = (order[:, None] - order).abs() > 6
    crowded = (apart & (torch.cdist(points, points) < 0.3)).any(1).double().mean()
    return 40 < len(points) < 85 and float(crowded) < 0.25


def _uniform(draw: torch.Generator) -> float:
    return float(torch.rand((), generator=draw))


def _anchor(draw: torch.Generator) -> Tensor:
    """One of twelve places on a grid, a little off it: (2,)."""
    cell = torch.randint(0, 12, (), generator=draw)
    place = torch.stack([cell % 3 - 1.0, (cell // 3) * 2 / 3 - 1.0]).double() * torch.tensor([0.65, 1.0])
    return place + 0.05 * torch.randn(2, generator=draw, dtype=torch.float64)


def _meeting_point(strokes: list[Tensor], draw: torch.Generator) -> Tensor:
    """Where a stroke begins: three times in four on an earlier one."""
    if not strokes or _uniform(draw) > 0.75:
        return _anchor(draw)
    earlier = strokes[int(len(strokes) * _uniform(draw))]
    return earlier[int(len(earlier) * _uniform(draw))]


def _far_anchor(start: Tensor, draw: torch.Generator) -> Tensor:
    """An anchor at least 0.6 away from the start."""
    while True:
        place = _anchor(draw)
        if float((place - start).norm()) > 0.6:
            return place


def _straight(start: Tensor, draw: torch.Generator) -> Tensor:
    return _between(start, _far_anchor(start, draw))


def _between(start: Tensor, end: Tensor) -> Tensor:
    return start + (end - start) * torch.linspace(0, 1, 9, dtype=torch.float64)[:, None]


def _corner(start: Tensor, draw: torch.Generator) -> Tensor:
    middle = _far_anchor(start, draw)
    return torch.cat([_between(start, middle), _between(middle, _far_anchor(middle, draw))])


def _bow(start: Tensor, draw: torch.Generator) -> Tensor:
    end = _far_anchor(start, draw)
    aside = torch.stack([start[1] - end[1], end[0] - start[0]]) * (0.35 if _uniform(draw) < 0.5 else -0.35)
    return curve(*(tuple(p.tolist()) for p in (start, (start + end) / 2 + aside, end)))


def _wave(start: Tensor, draw: torch.Generator) -> Tensor:
    middle = _far_anchor(start, draw)
    end = _far_anchor(middle, draw)
    return curve(*(tuple(p.tolist()) for p in (start, middle, end)))


def _ring(start: Tensor, draw: torch.Generator) -> Tensor:
    radius, angle = 0.28 + 0.17 * _uniform(draw), 360 * _uniform(draw)
    away = (math.radians(angle + 180), radius)
    x, y = start.tolist()
    return arc((x + radius * math.cos(away[0]), y + radius * math.sin(away[0])), (radius, radius), angle, angle + 360)


KINDS = (_straight, _straight, _corner, _bow, _bow, _wave, _ring)


def _fitted(strokes: list[Tensor]) -> list[Tensor]:
    """The strokes centred and scaled to 2 high, or to 1.5 wide where that is reached first."""
    points = torch.cat(strokes)
    low, high = points.min(0).values, points.max(0).values
    scale = float((torch.tensor([1.5, 2.0]) / (high - low)).min())
    return [(stroke - (low + high) / 2) * scale for stroke in strokes]
