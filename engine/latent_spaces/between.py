"""Between two codes: straight on the latent plane, straight from pixel to pixel, and how the decoder stretches."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.data.drawing import centred, check_picture, decode_picture
from engine.device import DEVICE
from engine.knob import knob
from engine.latent_spaces.coder import Model
from engine.latent_spaces.data import Examples, examples
from engine.latent_spaces.dial import REACH, grid
from engine.latent_spaces.holes import KNOWN, PICTURES, to_nearest
from engine.latent_spaces.learning import Learning, array, trained
from engine.latent_spaces.methods import METHODS
from engine.latent_spaces.pullback import ROUND, ellipses, entries, metric

STOPS, STRIP = 41, 9  # places on the way; pictures of a strip
CODES, HELD, GRID = 800, 100, 9  # codes drawn; pictures held out; ellipses each way
ATLAS, FINE = 16, 28  # cells each way for which the pointer has the picture, and how fast it changes


@dataclass(frozen=True)
class Config:
    """The settings of the model, of the two ends, and of the picture that is sent through it."""

    data: str = knob("glyphs", "data", choices=PICTURES)
    method: str = knob("vae", "method", choices={name: how.label for name, how in METHODS.items()})
    x1: float = knob(-1.5, "first end, across", -REACH, REACH, step=0.05, folded=True)
    y1: float = knob(-0.5, "first end, up", -REACH, REACH, step=0.05, folded=True)
    x2: float = knob(1.5, "second end, across", -REACH, REACH, step=0.05, folded=True)
    y2: float = knob(0.5, "second end, up", -REACH, REACH, step=0.05, folded=True)
    index: int = knob(
        0,
        "held-out picture",
        0,
        HELD - 1,
        help="click one on the plane; sent through encoder and decoder; or draw your own",
    )
    ellipses: bool = knob(False, "ellipses everywhere", help="of equal change of the picture, all over the plane")
    beta: float = knob(1.0, "pull to the prior", 0.01, 100.0, symbol=r"\beta", log=True, folded=True)
    steps: int = knob(1200, "training steps", 50, 6000, log=True, folded=True)
    seed: int = knob(0, "seed of the training", 0, 999, folded=True)
    picture: str = knob("", "your picture", text=check_picture)

    @property
    def learning(self) -> Learning:
        """The training that this view begins with."""
        return Learning(self.data, self.method, 2, self.beta, self.steps, self.seed)


class Frame(NamedTuple):
    """One place on the way. Distances are root mean square over pixels."""

    share: float  # of the way, 0 to 1
    here: np.ndarray  # (1, 2) the place on the plane
    ends: np.ndarray  # (2, 2)
    latent_off: float  # distance of the decoded place to the nearest real picture
    pixel_off: float  # of the mixed picture
    stretch: float  # change of the picture for a step of 1 on the plane in the direction that changes it most
    least: float  # in the direction that changes it least
    walked: float  # length of the way in pictures so far, along the decoded line
    straight: float  # distance between the two ends' pictures
    ellipse: np.ndarray  # (41, 2) places around here whose picture differs by 0.03, to first order
    atlas: np.ndarray  # (16, 16, h, w) the plane decoded, its bottom row first
    metric: np.ndarray  # (28, 28, 3) J'J over the number of pixels all over the plane: its entries 11, 12, 22
    everywhere: np.ndarray  # (81, 41, 2) the same all over the plane, or (0, 41, 2)
    codes: np.ndarray  # (800, 3) of the data, with their class
    held: np.ndarray  # (100, 2) of the held-out pictures, in the order of `index`
    landed: np.ndarray  # (1, 2) where the picture sent through the encoder lands
    now: np.ndarray  # (2, h, w) the decoded place and the mixed picture
    strips: np.ndarray  # (18, h, w) nine stops of either way, the latent one first
    sent: np.ndarray  # (3, h, w) the picture that was sent, what came back, and how far each pixel is off
    error: float  # root mean square of the last


def sent(cfg: Config, seen: Examples) -> Tensor:
    """The picture that goes through the encoder: the drawn one if there is one, else the held-out one. (h, w)"""
    if not cfg.picture:
        return seen.test[cfg.index % len(seen.test)]
    return torch.from_numpy(centred(decode_picture(cfg.picture), seen.shape[0])).to(DEVICE)


def through(cfg: Config, model: Model, seen: Examples) -> dict:
    """Where the picture lands and what comes back, by its name in Frame."""
    picture = sent(cfg, seen)
    code = model.encode(picture[None])
    back = model.decode(code)[0].clamp(0, 1)
    off = (back - picture).abs()
    return dict(
        landed=array(code.clamp(-REACH, REACH)),
        sent=array(torch.stack([picture, back, off])),
        error=float(off.square().mean().sqrt()),
    )


def about(cfg: Config, model: Model, seen: Examples) -> dict:
    """What does not change on the way, by its name in Frame."""
    codes = torch.cat([model.encode(seen.train[:CODES]), seen.labels[:CODES, None].to(model.weights)], 1)
    line = torch.linspace(-REACH, REACH, GRID + 2, device=DEVICE)[1:-1]
    y, x = torch.meshgrid(line, line, indexing="ij")
    spots = torch.stack([x.flatten(), y.flatten()], 1)
    everywhere = ellipses(spots, metric(model, spots)) if cfg.ellipses else torch.empty(0, ROUND, 2)
    atlas = model.decode(cells(ATLAS)).clamp(0, 1).view(ATLAS, ATLAS, *model.shape)
    g = entries(metric(model, cells(FINE)), FINE)
    held = model.encode(seen.test[:HELD]).clamp(-REACH, REACH)
    plane = dict(atlas=array(atlas), metric=array(g), everywhere=array(everywhere))
    return dict(codes=array(codes), held=array(held)) | plane | through(cfg, model, seen)


def cells(count: int) -> Tensor:
    """Middles of count × count cells of the plane, the bottom row first: (count², 2)"""
    return grid(count).reshape(-1, 2).to(DEVICE)


def run(cfg: Config) -> Iterator[Frame]:
    """Forty-one places from the first end to the second; the first frame waits for the training."""
    yield from walk(cfg, trained(cfg.learning), examples(cfg.data))


@torch.no_grad()
def walk(cfg: Config, model: Model, seen: Examples) -> Iterator[Frame]:
    """The same with a model of one's own, of two latent dimensions."""
    facts, known = about(cfg, model, seen), seen.train[:KNOWN]
    ends = torch.tensor([[cfg.x1, cfg.y1], [cfg.x2, cfg.y2]], device=DEVICE)
    shares = torch.linspace(0, 1, STOPS, device=DEVICE)[:, None]
    places = ends[:1] + shares * (ends[1:] - ends[:1])
    latent = model.decode(places).clamp(0, 1)
    pixel = latent[:1] + shares[:, :, None] * (latent[-1:] - latent[:1])
    g = metric(model, places)
    values = torch.linalg.eigvalsh(g.double()).clamp_min(0).sqrt()
    steps = (latent[1:] - latent[:-1]).square().mean((1, 2)).sqrt()
    walked = torch.cat([steps.new_zeros(1), steps.cumsum(0)])
    off, mixed_off = to_nearest(latent, known), to_nearest(pixel, known)
    around = array(ellipses(places, g))
    every = slice(None, None, (STOPS - 1) // (STRIP - 1))
    strips = array(torch.cat([latent[every], pixel[every]]))
    for i in range(STOPS):
        yield Frame(
            share=float(shares[i]),
            here=array(places[i : i + 1]),
            ends=array(ends),
            latent_off=float(off[i]),
            pixel_off=float(mixed_off[i]),
            stretch=float(values[i, -1]),
            least=float(values[i, 0]),
            walked=float(walked[i]),
            straight=float((latent[-1] - latent[0]).square().mean().sqrt()),
            ellipse=around[i],
            now=array(torch.stack([latent[i], pixel[i]])),
            strips=strips,
            **facts,
        )
