"""Glyphs of 28×28 pixels drawn from pen strokes, so that the eight factors behind every image are known."""

import math
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data import strokes
from engine.device import DEVICE

SIDE = 28  # pixels
HEIGHT = 0.62  # of a glyph, as a share of the image's, at size 1
TILE = 64  # cells of the atlas along an edge of one glyph, which spans [-1, 1]
BEND = 0.09  # how far elastic = 1 moves a stroke, in half-images
CHUNK = 128 if DEVICE.type == "cpu" else 65_536  # images at a time: what fits the cache


class Factor(NamedTuple):
    """One of the things that vary from image to image; the middle of its range is the plain glyph."""

    low: float
    high: float
    meaning: str


FACTORS = {
    "slant": Factor(-0.3, 0.3, "how far the top leans to the right, per unit of height"),
    "thickness": Factor(1.6, 3.6, "width of the pen, in pixels"),
    "rotation": Factor(-12, 12, "degrees, clockwise"),
    "size": Factor(0.85, 1.1, "of the glyph, against the plain one"),
    "aspect": Factor(0.8, 1.25, "width against height, at equal area"),
    "shift_x": Factor(-2, 2, "pixels to the right"),
    "shift_y": Factor(-2, 2, "pixels down"),
    "elastic": Factor(-1, 1, "bending along a slow wave, whose phase belongs to the class"),
}


@dataclass(frozen=True, eq=False)
class Alphabet:
    """What render needs to know of its c classes, on DEVICE."""

    atlas: Tensor  # (c, TILE, TILE) float32: distance to the nearest stroke over [-1, 1]², in half-images
    phases: Tensor  # (c, 2) float32: of the wave that elastic bends along

    def __len__(self) -> int:
        return len(self.atlas)


class Glyphs(NamedTuple):
    """Images with 0 for paper and 1 for ink, what they show, and the factors that made them."""

    images: Tensor  # (n, 28, 28) float32 in [0, 1]
    labels: Tensor  # (n,) int64
    factors: Tensor  # (n, 8) float32, in the order and the units of FACTORS


@cache
def numerals() -> Alphabet:
    """The ten numerals; class k is the numeral k."""
    return _alphabet(list(strokes.NUMERALS), 0)


@lru_cache(maxsize=16)
def invented(seed: int, size: int) -> Alphabet:
    """The first size characters of an alphabet nobody has written; a larger size only adds to them."""
    return _alphabet([strokes.invented(seed, k) for k in range(size)], seed + 1)


def plain(n: int) -> Tensor:
    """The factors of n plain glyphs, each in the middle of its range: (n, 8) float32."""
    return torch.tensor([(f.low + f.high) / 2 for f in FACTORS.values()], device=DEVICE).repeat(n, 1)


def sample(n: int, generator: torch.Generator, alphabet: Alphabet | None = None, spread: float = 1.0) -> Glyphs:
    """n random glyphs on DEVICE: classes uniform, factors uniform over the share spread of their ranges."""
    alphabet = alphabet or numerals()
    labels = torch.randint(0, len(alphabet), (n,), generator=generator).to(DEVICE)
    swing = spread * (torch.rand(n, len(FACTORS), generator=generator).to(DEVICE) - 0.5)
    factors = plain(n) + swing * torch.tensor([f.high - f.low for f in FACTORS.values()], device=DEVICE)
    return Glyphs(render(labels, factors, alphabet), labels, factors)


def render(classes: Tensor, factors: Tensor, alphabet: Alphabet | None = None) -> Tensor:
    """The images that the factors describe: (n,) int64 and (n, 8) -> (n, 28, 28) float32 in [0, 1].

    Each image depends on its own class and factors alone, and smoothly on each of them. Factors may leave their
    ranges. Raises ValueError for shapes that do not fit, or a class that the alphabet lacks.
    """
    alphabet = alphabet or numerals()
    classes, factors = classes.to(DEVICE), factors.to(DEVICE, torch.float32)
    _check(classes, factors, alphabet)
    images = torch.empty(len(classes), SIDE, SIDE, device=DEVICE)
    for start in range(0, len(classes), CHUNK):
        part = slice(start, start + CHUNK)
        images[part] = _render(classes[part], factors[part], alphabet)
    return images


def _check(classes: Tensor, factors: Tensor, alphabet: Alphabet) -> None:
    if classes.ndim != 1 or factors.shape != (len(classes), len(FACTORS)):
        seen = f"{tuple(classes.shape)} and {tuple(factors.shape)}"
        raise ValueError(f"Saw classes and factors of shapes {seen}, expected (n,) and (n, {len(FACTORS)}).")
    if len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < len(alphabet):
        seen = f"{int(classes.min())} to {int(classes.max())}"
        raise ValueError(f"Saw classes from {seen}, expected them from 0 to {len(alphabet) - 1}.")


def _render(classes: Tensor, factors: Tensor, alphabet: Alphabet) -> Tensor:
    x, y = _glyph_coordinates(factors)  # (n, 784) each
    bend, phase = BEND * factors[:, 7, None], alphabet.phases[classes]
    aside = torch.add(phase[:, :1], y, alpha=3).sin_()
    y.addcmul_(bend, torch.add(phase[:, 1:], x, alpha=3).sin_())
    x.addcmul_(bend, aside)
    half, pixels = factors[:, 1, None] / 2, SIDE / 2 * factors[:, 3, None]  # the pen; pixels in a plain half-image
    ink = torch.addcmul(half + 0.5, _look_up(alphabet.atlas, classes, x, y), pixels, value=-1)
    return ink.clamp_(0, 1).view(-1, SIDE, SIDE)


def _glyph_coordinates(factors: Tensor) -> tuple[Tensor, Tensor]:
    """Where each pixel lies on the plain glyph: (n, 8) -> two (n, 784), in half-images from the middle."""
    slant, _, degrees, size, aspect, right, down, _ = factors[:, :, None].unbind(1)
    wide, high = size * aspect.sqrt(), size / aspect.sqrt()
    cos, sin = torch.cos(torch.deg2rad(degrees)), torch.sin(torch.deg2rad(degrees))
    x = _linear((cos - slant * sin) / wide, (sin + slant * cos) / wide, right, down)
    return x, _linear(-sin / high, cos / high, right, down)


def _linear(along_x: Tensor, along_y: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """along_x · (x − right) + along_y · (y − down) at every pixel: four (n, 1) -> (n, 784)."""
    pixel = (torch.arange(SIDE, device=DEVICE) + 0.5) / (SIDE / 2) - 1
    start = (along_x * right + along_y * down) / -(SIDE / 2)
    return torch.addcmul(start, along_x, pixel.repeat(SIDE)).addcmul_(along_y, pixel.repeat_interleave(SIDE))


def _look_up(atlas: Tensor, classes: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Each row's values on its own tile of the atlas, whose tiles lie below each other as one image: (n, 784)."""
    count, inside = len(atlas), 1 - 1 / TILE
    row = torch.add((1 + 2 * classes[:, None]) / count - 1, y.clamp_(-inside, inside), alpha=1 / count)
    grid = torch.stack([x.clamp_(-inside, inside), row]).permute(1, 2, 0)[None]
    values = F.grid_sample(atlas.view(1, 1, -1, TILE), grid, align_corners=False)
    return values.view_as(x)


def _alphabet(glyphs: list[list[Tensor]], seed: int) -> Alphabet:
    atlas = torch.stack([_distances([HEIGHT * stroke for stroke in glyph]) for glyph in glyphs])
    draw = torch.Generator().manual_seed(seed)
    phases = 2 * math.pi * torch.rand(len(glyphs), 2, generator=draw)
    return Alphabet(atlas.to(DEVICE), phases.to(DEVICE))


def _distances(chains: list[Tensor]) -> Tensor:
    """From each cell of a tile to the nearest piece of the chains: (TILE, TILE) float32."""
    cell = (torch.arange(TILE) + 0.5) * (2 / TILE) - 1
    x, y = cell.repeat(TILE)[:, None], cell.repeat_interleave(TILE)[:, None]
    start, end = torch.cat([c[:-1] for c in chains]).float(), torch.cat([c[1:] for c in chains]).float()
    (across, down), (x0, y0) = (end - start).T, start.T
    x, y = x - x0, y - y0  # (TILE², pieces) each
    share = ((x * across + y * down) / (across**2 + down**2).clamp_min(1e-12)).clamp_(0, 1)
    return torch.hypot(x - share * across, y - share * down).amin(1).view(TILE, TILE)
