"""One pixel: every place at every grey level is tried, so that what is not found does not exist on this grid."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from engine.adversarial_examples.classifiers import Learning, array, examples, trained
from engine.adversarial_examples.goal import Goal
from engine.adversarial_examples.query import LEVELS, one_row
from engine.knob import knob

CLIP = 6.0  # margins are drawn within ± this


@dataclass(frozen=True)
class Config(Learning):
    """The settings of the search."""

    data: str = knob("digits", "pictures", choices={"digits": "real handwriting, 8×8", "glyphs": "drawn, 28×28"})
    index: int = knob(8, "held-out picture", 0, 99)
    levels: int = knob(LEVELS, "grey levels", 2, 33)

    @property
    def needed(self) -> tuple[Learning, ...]:
        """The training that this view begins with."""
        return (self.learning,)


class Frame(NamedTuple):
    """The search after some pixels, row by row from the top."""

    tried: int  # changes asked about so far
    share: float  # of all
    ways: int  # changes that fool so far
    pixels: int  # pixels of which at least one level fools
    best: float  # the highest margin so far, nats of log odds; above 0 it fools
    label: int
    reads: int  # with the best change so far
    level: float  # grey level of it
    heat: np.ndarray  # (h, w) highest margin of each pixel, within ±6, the first row at the bottom
    shown: np.ndarray  # (2, h, w) the picture, and the best change so far
    spot: np.ndarray  # (1, 2) its place, in pixels from the left and from the bottom
    curve: np.ndarray  # (levels, 2) grey level and margin at the best pixel


def run(cfg: Config) -> Iterator[Frame]:
    """A frame for each row of pixels; the first waits for the training."""
    model, seen = trained(cfg.learning), examples(cfg.data)
    at = cfg.index % len(seen.test)
    x, y = seen.test[at], seen.test_labels[at : at + 1]
    goal, side = Goal(model, y), x.shape[-1]
    shades = torch.linspace(0, 1, cfg.levels)
    margins = torch.full((side * side, cfg.levels), -torch.inf)
    with torch.no_grad():
        start = -float(model(x[None])[0, y] - model(x[None])[0].scatter(0, y, -torch.inf).max())
    for row in range(side):
        places = torch.arange(row * side, (row + 1) * side, device=x.device)
        margins[places.cpu()] = one_row(goal, x[None], places, cfg.levels)[0].cpu()
        at_best, level = divmod(int(margins.argmax()), cfg.levels)
        moved = x.clone()
        moved.view(-1)[at_best] = shades[level].to(x)
        with torch.no_grad():
            reads = int(model(moved[None]).argmax())
        highest = torch.nan_to_num(margins.amax(1), neginf=start).clamp(-CLIP, CLIP).view(side, side)
        yield Frame(
            tried=(row + 1) * side * cfg.levels,
            share=(row + 1) / side,
            ways=int((margins > 0).sum()),
            pixels=int((margins > 0).any(1).sum()),
            best=float(margins.max()),
            label=int(y),
            reads=reads,
            level=float(shades[level]),
            heat=array(highest.flip(0)),
            shown=array(torch.stack([x, moved])),
            spot=np.array([[at_best % side + 0.5, side - at_best // side - 0.5]], np.float32),
            curve=array(torch.stack([shades, margins[at_best].clamp(-CLIP, CLIP)], 1)),
        )
