"""One dial of nine methods on the same examples: the latent plane, what it decodes to, and what each method costs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import nan, pi
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import generator
from engine.knob import knob
from engine.latent_spaces.coder import Model
from engine.latent_spaces.data import YOURS, Examples, examples
from engine.latent_spaces.learning import MOST_COMPONENTS as MOST
from engine.latent_spaces.learning import Learning, array, follow, restored
from engine.latent_spaces.meters import Meters, measure
from engine.latent_spaces.methods import CORRUPTION
from engine.latent_spaces.pca import rank
from engine.latent_spaces.pullback import entries, metric

SHEET, ATLAS, RINGS, REACH = 10, 16, 48, 3.5  # tiles each way, coarse and fine; ellipses; half of the plane's width
PREVIEW = 8  # every so many frames the plane is decoded finely, and at the end
LINES, ALONG = 13, 25  # of the decoded surface each way, and places on each


@dataclass(frozen=True)
class Config(Learning):
    """The settings of the dial: the training's, and how a latent space of more than two dimensions is looked at."""

    turned: bool = knob(False, "turn to the widest directions", folded=True, help="the PCA of the codes, k > 2")
    axis_x: int = knob(1, "dimension across", 1, MOST, folded=True)
    axis_y: int = knob(2, "dimension upwards", 1, MOST, folded=True)
    runs: int = knob(1, "seeds in the band", 1, 4, folded=True, help="each is trained, too, and takes its time")


class Frame(NamedTuple):
    """The latent plane and the meters after some training steps."""

    step: int
    progress: float
    loss: float  # of the last batch
    error: float  # this and the next eight: see meters.Meters
    wrong: float
    pulled: float
    kl: np.ndarray  # (k,), or (0,) where the encoder has no noise
    mmd: float
    mmd_floor: float
    sliced: float
    sliced_floor: float
    knn: float
    band: np.ndarray  # (6 + k, 2) least and most over the seeds, of what `band` says
    codes: np.ndarray  # (n, 3) place on the plane, and class
    ellipses: np.ndarray  # (48, 25, 2) two standard deviations of q(z | x) for a few examples; (0, 25, 2) without noise
    images: np.ndarray  # (10 r, h, w) held-out pictures, what the encoder sees where that differs, reconstructions
    sheet: np.ndarray  # (100, h, w) the plane decoded, its top row first
    atlas: np.ndarray  # (16, 16, h, w) the same, finer, its bottom row first; the one before on most frames
    metric: np.ndarray  # (16, 16, 3) J'J of the decoder in the same places; see pullback.metric
    mesh: np.ndarray  # (26, 25, 3) lines of the decoded plane in space, for points; else (0, 25, 3)
    seen: np.ndarray  # (m, 4) held-out points and their class; else (0, 4)
    remade: np.ndarray  # (m, 3) their reconstructions; else (0, 3)


def possible(cfg: Config) -> tuple[Config, str]:
    """The nearest settings that can run, and a sentence that says why: no pictures yet, or too few directions."""
    if cfg.data == YOURS and not cfg.pictures:
        start = Config().data
        return replace(
            cfg, data=start
        ), f"There are no pictures of your own yet: bring some. Until then you see {start}."
    most = directions(cfg.data, cfg.pictures)
    if cfg.n_components <= most:
        return cfg, ""
    note = f"These data vary in {most} directions; {most} latent dimensions are used, not {cfg.n_components}."
    return replace(cfg, n_components=most), note


@lru_cache(maxsize=16)
def directions(data: str, code: str) -> int:
    """In how many directions the training examples vary, counted up to 16; 1 at least."""
    rows = examples(data, code if data == YOURS else "").train.flatten(1)
    return max(1, min(MOST, rank(rows[:64]) if rank(rows[:64]) >= MOST else rank(rows)))


@dataclass(frozen=True, eq=False)
class Plane:
    """Which two directions of the latent space are seen: z = y · along, with all else at the mean 0."""

    along: Tensor  # (2, k) orthonormal rows; a zero row where there is but one dimension

    def flat(self, codes: Tensor) -> Tensor:
        """(n, k) -> (n, 2)."""
        return codes @ self.along.to(codes).T

    def lift(self, places: Tensor) -> Tensor:
        """(..., 2) -> (m, k)."""
        return places.reshape(-1, 2) @ self.along.to(places)


def plane(cfg: Config, codes: Tensor) -> Plane:
    """The plane that the settings ask for. codes: (n, k)"""
    k = cfg.n_components
    along = torch.zeros(2, k)
    if cfg.turned and k > 2:
        values, vectors = torch.linalg.eigh(torch.cov(codes.T.double()))
        along = vectors[:, values.argsort(descending=True)[:2]].T.float()
        along = along * along.gather(1, along.abs().argmax(1, keepdim=True)).sign()
    else:
        first, second = axes(cfg)
        along[0, first] = 1.0
        if k > 1:
            along[1, second] = 1.0
    return Plane(along)


def axes(cfg: Config) -> tuple[int, int]:
    """The two dimensions shown, from 0: those asked for where they exist and differ, else the nearest."""
    first = min(cfg.axis_x, cfg.n_components) - 1
    second = min(cfg.axis_y, cfg.n_components) - 1
    return first, second if second != first else (first + 1) % cfg.n_components


def grid(count: int, reach: float = REACH) -> Tensor:
    """Middles of count × count cells of the plane: (count, count, 2), the bottom row first."""
    line = reach * (2 * (torch.arange(count) + 0.5) / count - 1)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y], -1)


def run(cfg: Config) -> Iterator[Frame]:
    """The training, looked at after every few steps; with more seeds, one of the trainings goes on in each frame."""
    others = [replace(cfg.learning, seed=(cfg.seed + i) % 1000) for i in range(1, cfg.runs)]
    tapes, last, under = [follow(one) for one in others], [], None
    for number, moment in enumerate(follow(cfg)):
        fine = number % PREVIEW == 0 or moment.progress == 1
        frame = look(cfg, restored(cfg, moment), None if fine else under)
        frame = frame._replace(step=moment.step, progress=moment.progress, loss=moment.loss)
        under = frame.atlas, frame.metric
        yield frame._replace(band=band([frame, *last]))
        for i, (one, tape) in enumerate(zip(others, tapes, strict=True)):
            if further := next(tape, None):
                last[i : i + 1] = [measure(restored(one, further), one.examples, one.seed).meters]
                yield frame._replace(band=band([frame, *last]))


def band(found: Sequence[Frame | Meters]) -> np.ndarray:
    """Least and most of error, −ELBO, sliced, mmd, of both terms of −ELBO, and of each dimension's KL: (6 + k, 2)."""
    table = np.array(
        [(f.error, f.wrong + f.pulled, f.sliced, f.mmd, f.wrong, f.pulled, *f.kl) for f in found], np.float32
    )
    return np.stack([table.min(0), table.max(0)], 1)


@torch.no_grad()
def look(cfg: Config, model: Model, under: tuple[np.ndarray, np.ndarray] | None = None) -> Frame:
    """Everything that a frame shows of a model; `under`, what the pointer shows, is kept where it is given."""
    seen = cfg.examples
    meters, codes, std, remade = measure(model, seen, cfg.seed)
    here = plane(cfg, codes)
    drawn = of_pictures(model, here, seen, under) if seen.pictures else of_points(model, here, seen, remade)
    places = torch.cat([here.flat(codes), seen.labels[: len(codes), None].to(codes)], 1)
    rings = ellipses(here, codes[:RINGS], std[:RINGS])
    return Frame(0, 0.0, nan, *meters, np.empty((0, 2), np.float32), array(places), rings, **drawn)


def ellipses(here: Plane, mean: Tensor, std: Tensor) -> np.ndarray:
    """Two standard deviations of N(mean, std²) on the plane: two (r, k) -> closed lines (r, 25, 2); (0, 25, 2) at 0."""
    if not bool(std.any()):
        return np.empty((0, 25, 2), np.float32)
    angle = torch.arange(25) * (2 * pi / 24)
    circle = torch.stack([angle.cos(), angle.sin()], 1).to(std)
    along = here.along.to(std)
    values, vectors = torch.linalg.eigh(along * std.square()[:, None] @ along.T)  # of the covariance (r, 2, 2)
    root = vectors * values.clamp_min(0).sqrt()[:, None]
    return array(here.flat(mean)[:, None] + 2 * circle @ root.mT)


def of_pictures(
    model: Model, here: Plane, seen: Examples, under: tuple[np.ndarray, np.ndarray] | None
) -> dict[str, np.ndarray]:
    """Ten held-out pictures and their reconstructions, and the plane decoded."""
    shown = ten(seen)
    rows, sees = [shown], shown
    if model.method == "denoising":
        sees = shown + CORRUPTION[True] * torch.randn(shown.shape, generator=generator(0)).to(shown)
        rows.append(sees)
    sheet = model.decode(here.lift(grid(SHEET).flip(0)))
    atlas, change = under or under_pointer(model, here)
    rows.append(model.decode(model.encode(sees)))
    return dict(images=array(torch.cat(rows).clamp(0, 1)), sheet=array(sheet.clamp(0, 1)), atlas=atlas, metric=change,
                mesh=np.empty((0, ALONG, 3), np.float32), seen=np.empty((0, 4), np.float32),
                remade=np.empty((0, 3), np.float32))  # fmt: skip


def under_pointer(model: Model, here: Plane) -> tuple[np.ndarray, np.ndarray]:
    """The plane decoded finely, and how fast the picture changes there: (16, 16, h, w), (16, 16, 3)."""
    codes = here.lift(grid(ATLAS)).to(model.weights)
    pictures = model.decode(codes).view(ATLAS, ATLAS, *model.shape).clamp(0, 1)
    return array(pictures), array(entries(metric(model, codes, here.along), ATLAS))


def ten(seen: Examples) -> Tensor:
    """Ten held-out pictures, one of each class where there are ten classes: (10, h, w)."""
    firsts = [int((seen.test_labels == label).nonzero()[0, 0]) for label in seen.test_labels.unique()]
    rest = [i for i in range(len(seen.test)) if i not in firsts]
    chosen = (firsts[:10] + rest)[:10]
    return seen.test[[chosen[i % len(chosen)] for i in range(10)]]


def of_points(model: Model, here: Plane, seen: Examples, remade: Tensor) -> dict[str, np.ndarray]:
    """Held-out points and their reconstructions, and the plane decoded to a surface in space."""
    along, across = torch.linspace(-2.2, 2.2, ALONG), torch.linspace(-2.2, 2.2, LINES)
    y, x = torch.meshgrid(across, along, indexing="ij")
    lines = torch.cat([torch.stack([x, y], -1), torch.stack([y, x], -1)])
    mesh = model.decode(here.lift(lines)).view(2 * LINES, ALONG, 3)
    pictures = np.empty((0, 1, 1), np.float32)
    return dict(images=pictures, sheet=pictures, atlas=np.empty((0, 0, 1, 1), np.float32),
                metric=np.empty((0, 0, 3), np.float32), mesh=array(mesh),
                seen=array(torch.cat([seen.test, seen.test_labels[:, None]], 1)), remade=array(remade))  # fmt: skip
