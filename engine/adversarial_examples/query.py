"""Attacks that see outputs only: noise, random squares, turns and shifts, and every value of every pixel."""

from math import pi

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from engine.adversarial_examples.goal import Goal, checked, margin
from engine.adversarial_examples.threat import by_row, steepest

LEVELS = 17  # grey levels that a pixel is tried at, 0 to 1
BATCH = 4096  # pictures that are asked about at a time
FIRST = 1  # changes of one pixel that are asked about first, then four times as many each time
HALVINGS = (0.005, 0.025, 0.1, 0.25, 0.5)  # shares of the queries after which the squares get half as large


@checked()
def noise(goal: Goal, x: Tensor, eps: Tensor, generator: torch.Generator, *, norm: str = "linf") -> Tensor:
    """A random change as long as the budget allows: what an attack has to beat. ℓ∞: random signs."""
    drawn = torch.randn(x.shape, generator=generator).to(x)
    return (x + by_row(eps, x) * steepest(drawn, norm)).clamp(0, 1)


@checked("linf")
@torch.no_grad()
def square(
    goal: Goal, x: Tensor, eps: Tensor, generator: torch.Generator, *, steps: int = 200, p_init: float = 0.8
) -> Tensor:
    """Square attack, ℓ∞ (Andriushchenko et al. 2020): squares of ±eps are kept where the margin rises. No gradients.

    `steps` are the queries for each picture; p_init is the share of pixels in the first square.
    """
    stripes = 2.0 * torch.randint(0, 2, (len(x), 1, x.shape[-1]), generator=generator).to(x) - 1
    best = (x + by_row(eps, x) * stripes).clamp(0, 1)
    top, open_ = _height(goal, best)
    for step in range(1, steps):
        share = p_init / 2 ** sum(step / steps > turn for turn in HALVINGS)
        edge = max(1, min(x.shape[-1], round((share * x[0].numel()) ** 0.5)))
        now = _squared(x, best, eps, edge, generator)
        value, still = _height(goal, now)
        better = open_ & (value > top)
        best, top = torch.where(by_row(better, x), now, best), torch.where(better, value, top)
        open_ = torch.where(better, still, open_)
        if not bool(open_.any()):
            break
    return best


def _height(goal: Goal, x: Tensor) -> tuple[Tensor, Tensor]:
    """The margin that the attacker wants large, and whether the row is not fooled yet."""
    logits = goal.model(x)
    value = margin(logits, goal.y) * (-1.0 if goal.targeted else 1.0)
    return value, ~goal.fooled(logits)


def _squared(x: Tensor, best: Tensor, eps: Tensor, edge: int, generator: torch.Generator) -> Tensor:
    """A square of x ± eps put at a random place of each of the best so far."""
    n, h, w = x.shape
    top, left = (torch.randint(0, side - edge + 1, (n, 1), generator=generator).to(x.device) for side in (h, w))
    sign = 2.0 * torch.randint(0, 2, (n,), generator=generator).to(x) - 1
    row, column = torch.arange(h, device=x.device), torch.arange(w, device=x.device)
    covered = ((row >= top) & (row < top + edge))[:, :, None] & ((column >= left) & (column < left + edge))[:, None]
    return torch.where(covered, (x + by_row(eps * sign, x)).clamp(0, 1), best)


@checked("")
@torch.no_grad()
def rotate(
    goal: Goal, x: Tensor, eps: Tensor, generator: torch.Generator, *, turns: int = 13, pixels: float | None = None
) -> Tensor:
    """The worst of a grid of turns by up to eps degrees and shifts by up to `pixels` (Engstrom et al. 2019).

    pixels: a fourteenth of the side unless given, less for turns below 30 degrees. Every grid place is asked.
    """
    most = x.shape[-1] / 14 if pixels is None else pixels
    best, top = x.clone(), _height(goal, x)[0]
    for share in torch.linspace(-1, 1, turns).tolist():
        for right, down in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
            reach = most * (eps / 30).clamp(max=1)
            now = turned(x, share * eps, right * reach, down * reach)
            value, _ = _height(goal, now)
            better = value > top
            best, top = torch.where(by_row(better, x), now, best), torch.where(better, value, top)
    return best


def turned(x: Tensor, degrees: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Pictures turned and shifted, 0 beyond their edge: (n, h, w), three (n,) -> (n, h, w)."""
    angle, side = degrees * pi / 180, x.shape[-1] / 2
    cos, sin = angle.cos(), angle.sin()
    back = torch.stack([torch.stack([cos, sin, -right / side], 1), torch.stack([-sin, cos, -down / side], 1)], 1)
    grid = affine_grid(back, [len(x), 1, *x.shape[1:]], align_corners=False)
    return grid_sample(x[:, None], grid, align_corners=False)[:, 0].clamp(0, 1)


@checked("")
@torch.no_grad()
def one_pixel(goal: Goal, x: Tensor, eps: Tensor, generator: torch.Generator, *, levels: int = LEVELS) -> Tensor:
    """Every pixel at every level, until one fools: what is not found on this grid does not exist (Su et al. 2019).

    The gradient says only which changes are asked about first. Where none fools, the one of the highest margin.
    eps is the number of pixels: 1, or 0 for none.
    """
    logits, _, slope = goal.climb(x)
    shades = torch.linspace(0, 1, levels, device=x.device)
    change = shades - x.flatten(1)[:, :, None]  # (n, h * w, levels)
    order = (change * slope.flatten(1)[:, :, None]).flatten(1).argsort(1, descending=True)
    found = x.clone()
    for k in torch.nonzero((eps >= 1) & ~goal.fooled(logits))[:, 0].tolist():
        new = order[k][change[k].flatten()[order[k]] != 0]
        found[k] = _first(goal[torch.tensor([k], device=x.device)], x[k], new // levels, shades[new % levels])
    return found


def _first(goal: Goal, x: Tensor, places: Tensor, shades: Tensor) -> Tensor:
    """The first of these changes of x (h, w) that fools, else that of the highest margin, else x itself.

    places, shades: (m,). They are asked about in parts that grow.
    """
    best, top, part = x, -torch.inf, FIRST
    while len(places) and top <= 0:
        tried = painted(x, places[:part], shades[:part])
        heights, _ = _height(goal[torch.zeros(len(tried), dtype=torch.long, device=x.device)], tried)
        if heights.max() > top:
            best, top = tried[heights.argmax()], float(heights.max())
        places, shades, part = places[part:], shades[part:], min(4 * part, BATCH)
    return best


def painted(x: Tensor, places: Tensor, shades: Tensor) -> Tensor:
    """Copies of x (h, w), each with one pixel, by its place in the flat picture, at a grey level: -> (m, h, w)."""
    return x.flatten().repeat(len(places), 1).scatter(1, places[:, None], shades[:, None]).view(-1, *x.shape)


@torch.no_grad()
def pixel_heights(goal: Goal, x: Tensor, levels: int = LEVELS) -> Tensor:
    """The margin with each pixel at each level, above 0 where it fools: (n, h, w) -> (n, h, w, levels)."""
    rows = max(1, BATCH // levels)
    found = [one_row(goal, x, row, levels) for row in torch.arange(x[0].numel(), device=x.device).split(rows)]
    return torch.cat(found, 1).view(*x.shape, levels)


@torch.no_grad()
def one_row(goal: Goal, x: Tensor, places: Tensor, levels: int = LEVELS) -> Tensor:
    """The margin with each of some pixels, by their place in the flat picture, at each level: -> (n, p, levels)."""
    shades = torch.linspace(0, 1, levels, device=x.device).repeat(len(places))
    spots, each = places.repeat_interleave(levels), []
    for k in range(len(x)):
        aim = goal[torch.full((len(spots),), k, device=x.device)]
        each.append(_height(aim, painted(x[k], spots, shades))[0].view(-1, levels))
    return torch.stack(each)
