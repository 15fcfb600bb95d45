"""What to keep of the old: a sample, a coreset, a generator, or the pictures that you choose."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.forgetting_curves.course import Course, band, watch
from engine.forgetting_curves.memory import Examples
from engine.forgetting_curves.methods import Recipe
from engine.forgetting_curves.rehearsing import Generative, Replay
from engine.forgetting_curves.training import Training
from engine.knob import knob

KINDS = {
    "split": "two numerals each, ten names",
    "split_domain": "two numerals each: even or odd?",
    "permuted": "digits, pixels shuffled",
    "rotated": "digits, turned further",
}
MEMORIES = {
    "replay": "a random sample",
    "herding": "the most typical",
    "generative": "what a VAE makes up",
    "gaussians": "what Gaussians make up",
    "painted": "yours",
}
ACROSS, SHOWN = 14, 60  # pictures to choose from in each task; pictures of a memory


def check(code: str) -> str:
    """The code of chosen pictures, two figures each. Raises ValueError for anything else."""
    if len(code) % 2 or len(code) > 2 * 6 * ACROSS or not (code.isascii() and (code.isdigit() or not code)):
        raise ValueError(f"saw “{code[:12]}”, expected two figures for every picture chosen")
    return code


@dataclass(frozen=True)
class Config(Course):
    """The settings of five memories."""

    kind: str = knob("split", "tasks", choices=KINDS)
    memory: int = knob(30, "buffer, examples", 0, 600, help="of the sample and of the typical ones")
    show: str = knob("replay", "memory shown", choices=MEMORIES)
    chosen: str = knob("", "your pictures", text=check)

    @property
    def cells(self) -> list[int]:
        """The numbers of the chosen pictures: row times 14, plus column."""
        every = [int(self.chosen[i : i + 2]) for i in range(0, len(self.chosen), 2)]
        return [cell for cell in dict.fromkeys(every) if cell < ACROSS * self.count]

    @property
    def recipes(self) -> list[Recipe]:
        """The five memories, and none."""
        strides = [len(task.y) // ACROSS for task in self.sequence]
        chosen = tuple((c // ACROSS, c % ACROSS * max(1, strides[c // ACROSS])) for c in self.cells)
        return [*(Recipe(name, memory=self.memory, chosen=chosen) for name in MEMORIES), Recipe("naive")]


class Frame(NamedTuple):
    """Five memories and none, four networks each, at one time."""

    time: float  # tasks learned, and the part of the present one
    average: np.ndarray  # (6, 3) accuracy over the tasks met so far, in percent: mean, least, most; NaN: none chosen
    kept: np.ndarray  # (≤ 60, h, w) what the memory shown holds, of the first network
    stored: int  # examples in that memory; of a generator, those shown
    yours: int  # pictures chosen
    shelf: np.ndarray  # (9 T + 1, 127) pictures to choose from, a row for every task, the first one at the top
    ring: np.ndarray  # (n, 2) where the chosen ones are
    places: np.ndarray  # (14 T, 2) where all of them are


def toggled(event: Mapping[str, Any], cfg: Config) -> dict[str, Any]:
    """A click puts a picture into the coreset, or takes it out again."""
    cell, cells = int(event["index"]), cfg.cells
    cells = [one for one in cells if one != cell] if cell in cells else [*cells, cell]
    return {"chosen": "".join(f"{one:02d}" for one in cells)}


def run(cfg: Config) -> Iterator[Frame]:
    """All learn from the same batches."""
    training, scene = cfg.training(cfg.recipes), board(cfg)
    for snap in watch(training, most=3):
        kept = held(training, list(MEMORIES).index(cfg.show))
        average = band(snap.average())
        average[4] = average[4] if cfg.cells else np.nan
        yield Frame(
            time=snap.time,
            average=average,
            kept=pictures(kept.x[0, :: max(1, kept.y.shape[1] // SHOWN)][:SHOWN]) if kept else np.empty((0, 8, 8)),
            stored=kept.y.shape[1] if kept else 0,
            yours=len(cfg.cells),
            **scene,
        )


def held(training: Training, i: int) -> Examples | None:
    """What the memory of a recipe holds; of a generator, some fresh examples that leave its draws as they are.

    The VAE shows what it would make up now, of the task that it is learning, too.
    """
    learner = training.learners[i]
    assert isinstance(learner, Replay)
    if learner.recipe.method not in ("generative", "gaussians"):
        return learner.kept if learner.kept is not None and learner.kept.y.shape[1] else None
    states = [rng.get_state() for rng in learner.rngs]
    if isinstance(learner, Generative):
        x, task = learner.dreams.sample(SHOWN, min(training.task + 1, len(training.tasks)))
        made = Examples(x, task, task)
    else:
        made = learner.begin(training.task, SHOWN)
    for rng, state in zip(learner.rngs, states, strict=True):
        rng.set_state(state)
    return made


def pictures(x: Tensor) -> np.ndarray:
    """Rows of pixels as square pictures: (n, side²) -> (n, side, side)"""
    side = round(x.shape[-1] ** 0.5)
    return x.reshape(-1, side, side).float().cpu().numpy().copy()


def board(cfg: Config) -> dict[str, np.ndarray]:
    """The pictures to choose from on one sheet, and where they are."""
    rows = []
    for task in cfg.sequence:
        stride = max(1, len(task.y) // ACROSS)
        rows.append(pictures(task.x[(torch.arange(ACROSS) * stride) % len(task.y)]))
    high = len(rows)
    sheet = np.zeros((9 * high + 1, 9 * ACROSS + 1), np.float32)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            sheet[9 * i + 1 : 9 * i + 9, 9 * j + 1 : 9 * j + 9] = picture
    places = np.array([[j + 0.5, high - i - 0.5] for i in range(high) for j in range(ACROSS)], np.float32)
    return {"shelf": sheet[::-1].copy(), "places": places, "ring": places[cfg.cells].reshape(-1, 2)}
