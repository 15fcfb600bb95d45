"""Alphabets that nobody has ever written: every task draws new glyphs, and every example is written anew by hand."""

from itertools import combinations
from math import pi, sqrt
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data import drawing
from engine.device import DEVICE, generator
from engine.maml_adaptation.learner import Layers, Learner

SIDE = 14  # pixels of a picture along an edge
PIXELS = SIDE * SIDE
STROKES, FINE = 2, 15  # strokes of a glyph, dots of ink along each
PEN, DARK = 0.085, 0.45  # radius of a dot, a picture spanning [-1, 1]; how dark it is
SHADE, REACH = 0.25, 0.66  # of a picture on average; reach of a glyph from the middle
WOBBLE, TURN, SHIFT = 0.08, 30, 0.2  # of a knot; of a whole glyph at most, in degrees and along each way
SLOTS = {"1": "class 1", "2": "class 2", "3": "class 3", "4": "class 4", "5": "class 5", "q": "the query"}
NEXT, ALIKE = "next", 0.97  # the first class not drawn yet; correlation of two drawings of one glyph
FAR = 1e6  # an output beyond has run away
DRAWN = {NEXT: "the next class, then the query"} | SLOTS


class Episodes(NamedTuple):
    """t tasks of N classes: K examples of each to adapt on (support A), Q others to judge (query B). On DEVICE."""

    x: Tensor  # (t, N K, pixels + 1) support pictures, class after class, with a last column of ones
    y: Tensor  # (t, N K, N) 1 at the class, else 0
    query_x: Tensor  # (t, N Q, pixels + 1)
    query_y: Tensor  # (t, N Q, N)

    def mixed_up(self) -> "Episodes":
        """The same with the query set in place of the support set."""
        return self._replace(x=self.query_x, y=self.query_y)


def invented(count: int, rng: torch.Generator) -> Tensor:
    """New glyphs as the three knots of each of two strokes: (count, 2, 3, 2) in [-1, 1], y down; on the CPU.

    Knots lie near the crossings of a grid of 3 x 4; the second stroke mostly begins at a knot of the first.
    """
    cells = torch.rand(count, STROKES * 3, 12, generator=rng).argsort(2)[..., 0]
    grid = torch.stack([cells % 3 - 1.0, (cells // 3) * 2 / 3 - 1.0], 2)
    knots = (grid + 0.12 * torch.randn(grid.shape, generator=rng)).view(count, STROKES, 3, 2)
    joined = torch.rand(count, 1, generator=rng) < 0.7
    meeting = knots[torch.arange(count), 0, torch.randint(0, 3, (count,), generator=rng)]
    knots[:, 1, 0] = torch.where(joined, meeting, knots[:, 1, 0])
    return fitted(knots)


def fitted(knots: Tensor) -> Tensor:
    """Glyphs moved and stretched to fill the picture, no way more than twice as much as the other. (c, 2, 3, 2)"""
    drawn = bends(knots).flatten(1, 2)
    low, high = drawn.amin(1)[:, None, None], drawn.amax(1)[:, None, None]
    scale = 2 * REACH / (high - low).clamp_min(0.1)
    return (knots - (low + high) / 2) * torch.minimum(scale, 2 * scale.amin(3, keepdim=True))


def bends(knots: Tensor) -> Tensor:
    """Dots along the parabola through the three knots of each stroke: (..., 3, 2) -> (..., FINE, 2)"""
    t = torch.linspace(0, 1, FINE, device=knots.device)
    return torch.stack([(1 - t) * (1 - 2 * t), 4 * t * (1 - t), t * (2 * t - 1)], 1) @ knots


def written(knots: Tensor, copies: int, rng: torch.Generator, jitter: float = 1.0) -> Tensor:
    """Each glyph written so many times, no two alike: (c, 2, 3, 2) -> (c, copies, SIDE, SIDE) in [0, 1] on DEVICE.

    Every knot moves a little, and the whole is turned, leaned, stretched and shifted.
    """
    count = len(knots)
    shaky = knots[:, None] + WOBBLE * jitter * torch.randn(count, copies, *knots.shape[1:], generator=rng)
    moved = warped(shaky.flatten(2, 3), jitter, rng).view_as(shaky)
    pens = PEN * (1 + 0.25 * jitter * (2 * torch.rand(count * copies, 1, 1, generator=rng) - 1))
    return inked(moved.flatten(0, 1).to(DEVICE), pens.to(DEVICE)).view(count, copies, SIDE, SIDE)


def warps(count: int, jitter: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random matrices (count, 2, 2) and shifts (count, 2): a turn, a lean, a stretch each way."""
    turn, lean, wide, high = (2 * torch.rand(4, count, generator=rng) - 1) * jitter
    angle = turn * (pi / 180 * TURN)
    cos, sin, lean, wide, high = angle.cos(), angle.sin(), 0.2 * lean, 1 + 0.15 * wide, 1 + 0.15 * high
    matrix = torch.stack([wide * cos, high * (lean * cos - sin), wide * sin, high * (lean * sin + cos)], 1)
    return matrix.view(-1, 2, 2), SHIFT * jitter * (2 * torch.rand(count, 2, generator=rng) - 1)


def warped(places: Tensor, jitter: float, rng: torch.Generator) -> Tensor:
    """The places of each copy under a warp of its own: (c, copies, n, 2)"""
    matrix, shift = warps(places.shape[0] * places.shape[1], jitter, rng)
    flat = places.flatten(0, 1)
    return (flat @ matrix.mT + shift[:, None]).view_as(places)


def inked(knots: Tensor, pens: Tensor) -> Tensor:
    """Strokes as pictures: the bend through the knots of each, dotted with soft ink. (n, 2, 3, 2) -> (n, SIDE, SIDE)

    A dot is a Gaussian, which is a column times a row, so a picture is one product of two matrices. What is next to
    nothing stays above the smallest numbers, which processors are slow with.
    """
    dots = bends(knots)  # (n, s, FINE, 2)
    way = (dots[:, :, 1:] - dots[:, :, :-1]).norm(dim=3)
    share = torch.nn.functional.pad(way, (0, 1)) + torch.nn.functional.pad(way, (1, 0))
    places, share = dots.flatten(1, 2), share.flatten(1)[:, :, None]  # (n, d, 2), (n, d, 1)
    narrow = pens * 2**0.5
    pixel = ((torch.arange(SIDE, device=knots.device) + 0.5) * (2 / SIDE) - 1) / narrow
    column, row = ((pixel - at).square_().neg_().clamp_min_(-30).exp_() for at in (places / narrow).split(1, 2))
    return torch.bmm(row.mul_(share * (DARK / pens)).mT, column).clamp_max_(1)


def with_one(pictures: Tensor) -> Tensor:
    """Pictures as rows about their mean shade, with a last column of ones: (..., h, w) -> (..., pixels + 1)"""
    flat = pictures.flatten(-2) - SHADE
    return torch.cat([flat, torch.ones_like(flat[..., :1])], -1)


def pictured(rows: Tensor) -> Tensor:
    """The pictures again: (..., pixels + 1) -> (..., SIDE, SIDE)"""
    return rows[..., :-1].unflatten(-1, (SIDE, SIDE)) + SHADE


def labels(tasks: int, ways: int, each: int) -> Tensor:
    """1 at the class, class after class: (t, N each, N)"""
    return torch.eye(ways, device=DEVICE).repeat_interleave(each, 0).expand(tasks, -1, -1)


def glyph_tasks(
    count: int, ways: int, shots: int, rng: torch.Generator, *, query: int = 5, jitter: float = 1.0
) -> Episodes:
    """`count` tasks, each of `ways` glyphs that no other task has (the setting of Vinyals et al., 2016)."""
    pictures = written(invented(count * ways, rng), shots + query, rng, jitter)
    return episodes(pictures.view(count, ways, shots + query, SIDE, SIDE), shots)


def episodes(pictures: Tensor, shots: int) -> Episodes:
    """Tasks from pictures (t, N, K + Q, SIDE, SIDE): the first K of each class are the support."""
    count, ways, each = pictures.shape[:3]
    rows = with_one(pictures)
    return Episodes(
        rows[:, :, :shots].flatten(1, 2), labels(count, ways, shots),
        rows[:, :, shots:].flatten(1, 2), labels(count, ways, each - shots),
    )  # fmt: skip


def right(said: Tensor, y: Tensor) -> Tensor:
    """Share of each task's pictures that are read right; chance where outputs have run away: (t, n, N) twice -> (t,)"""
    hit = (said.argmax(2) == y.argmax(2)).double().mean(1)
    return torch.where(said.isfinite().flatten(1).all(1), hit, 1 / y.shape[2])


def nearest(tasks: Episodes) -> Tensor:
    """The share read right without a network, as the class of the nearest support picture, pixel by pixel: (t,)"""
    closest = torch.cdist(tasks.query_x, tasks.x).argmin(2)
    return right(tasks.y.gather(1, closest[..., None].expand(-1, -1, tasks.y.shape[2])), tasks.query_y)


def interval(values: Tensor) -> list[float]:
    """The mean over tasks and the ends of its 95 % confidence interval: (t,) -> 3 numbers"""
    mean, half = float(values.mean()), 1.96 * float(values.std()) / sqrt(len(values))
    return [mean, mean - half, mean + half]


def check_yours(code: str) -> str:
    """Drawings by slot, as a link holds them: a letter of SLOTS and a picture's code, joined by dots.

    Raises ValueError with a sentence for anything else.
    """
    parts = [part for part in code.split(".") if part]
    if strange := next((part for part in parts if part[0] not in SLOTS), ""):
        raise ValueError(f"saw a drawing for {strange[0]!r}; expected one of {', '.join(SLOTS)}")
    kept = {part[0]: drawing.check_picture(part[1:]) for part in parts}
    return ".".join(slot + kept[slot] for slot in SLOTS if kept.get(slot))


def after(code: str, ways: int) -> str:
    """The first class that is not drawn yet, and then the query."""
    taken = {part[0] for part in code.split(".") if part}
    return next((name for name in list(SLOTS)[:ways] if name not in taken), "q")


def placed(code: str, drawn: str, slot: str, ways: int) -> str:
    """The drawings with one more, in its slot; NEXT is the first class not drawn yet, and then the query."""
    slot = after(code, ways) if slot == NEXT else slot
    others = [part for part in code.split(".") if part and part[0] != slot]
    return check_yours(".".join([*others, slot + drawn]))


def slot_of(code: str, drawn: str) -> str:
    """The slot that a drawing is in; "" where it is in none."""
    return next((part[0] for part in code.split(".") if drawn and part[1:] == drawn), "")


def without(code: str, drawn: str) -> str:
    """The drawings without that one."""
    return ".".join(part for part in code.split(".") if part[1:] != drawn)


def drawings(code: str) -> dict[str, Tensor]:
    """The pictures that a visitor drew, by slot, centred: (28, 28) each, on the CPU"""
    parts = {part[0]: part[1:] for part in code.split(".") if part}
    return {
        slot: torch.from_numpy(drawing.centred(drawing.decode_picture(one), drawing.SIDE))
        for slot, one in parts.items()
    }


def twins(code: str, ways: int) -> list[tuple[str, str]]:
    """The classes whose drawings are one and the same glyph."""
    own = {slot: one.numpy().ravel() for slot, one in drawings(code).items() if slot in list(SLOTS)[:ways]}
    return [(a, b) for a, b in combinations(own, 2) if float(np.corrcoef(own[a], own[b])[0, 1]) > ALIKE]


def copied(picture: Tensor, copies: int, rng: torch.Generator, jitter: float = 1.0) -> Tensor:
    """A drawing (28, 28), first as it is and then turned, leaned, stretched and shifted: (copies, SIDE, SIDE)"""
    matrix, shift = warps(copies, jitter, rng)
    matrix[0], shift[0] = torch.eye(2), 0.0
    grid = F.affine_grid(torch.cat([matrix, shift[..., None]], 2), [copies, 1, *picture.shape], align_corners=False)
    moved = F.grid_sample(picture.expand(copies, 1, -1, -1), grid, align_corners=False)
    return F.avg_pool2d(moved, drawing.SIDE // SIDE)[:, 0]


def own_task(ways: int, shots: int, query: int, seed: int, code: str, jitter: float = 1.0) -> tuple[Episodes, Tensor]:
    """A task in which the visitor's drawings stand for some classes, and their query: (0 or 1, 1, pixels + 1)"""
    rng, yours = generator(seed), drawings(code)
    pictures = written(invented(ways, rng), shots + query, rng, jitter).cpu()
    for slot, one in yours.items():
        if slot in list(SLOTS)[:ways]:
            pictures[int(slot) - 1] = copied(one, shots + query, rng, jitter)
    asked = [with_one(copied(yours["q"], 1, rng))[None]] if "q" in yours else []
    query_x = torch.cat(asked) if asked else torch.zeros(0, 1, PIXELS + 1)
    return episodes(pictures[None].to(DEVICE), shots), query_x.to(DEVICE)


class Shown:
    """The task in the picture."""

    def __init__(self, net: Learner, shots: int, query: int, seed: int, code: str, jitter: float) -> None:
        self.net, self.query = net, query
        self.tasks, self.asked = own_task(net.sizes[-1], shots, query, seed, code, jitter)
        faces = pictured(self.tasks.x[0]).unflatten(0, (net.sizes[-1], shots))
        self.support, self.faces = faces.transpose(0, 1).flatten(0, 1).cpu().numpy().copy(), faces[:, 0]

    def look(self, every: list[Layers]) -> dict[str, Any]:
        """What adapted weights from each start say, by its name in Frame."""
        net, tasks, ways = self.net, self.tasks, self.net.sizes[-1]
        said = [net(at, tasks.query_x) for at in every]
        first, truth = slice(None, None, self.query), torch.arange(ways, device=DEVICE)
        rows, yours, names = [pictured(tasks.query_x[0, first])], [], []
        for at, one in zip(every, said, strict=True):
            found = one[0, first].argmax(1)
            rows.append(self.faces[found] * torch.where(found == truth, 1.0, 0.3)[:, None, None])
            names += net(at, self.asked).argmax(2).flatten().tolist() if len(self.asked) else []
        if names:
            yours = [pictured(self.asked[0]), self.faces[torch.tensor(names)]]
        return {
            "support": self.support, "query": torch.cat(rows).cpu().numpy(),
            "yours": torch.cat(yours).cpu().numpy() if yours else np.zeros((0, SIDE, SIDE)),
            "says": np.array(names or [-1] * 3) + 1,
            "own": np.array([float(right(one, tasks.query_y)) for one in said]),
            "diverged": sum(not float(one.abs().max()) < FAR for one in said),
        }  # fmt: skip
