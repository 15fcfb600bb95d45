"""The task that a visitor looks at: drawn at random, drawn by hand, its examples dragged to where they want them."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.data import points
from engine.device import DEVICE, generator
from engine.knob import knob
from engine.maml_adaptation.learner import REACH
from engine.maml_adaptation.sinusoids import FAMILIES, HEIGHT, Tasks, interpolated, sinusoid_tasks, with_ones

SCALE = np.array([3 / REACH, 3 / HEIGHT])  # of the plot's units to those of a code
QUERIES, FINE = 10, 201  # examples that judge; places at which a function is drawn
KINDS = {name: family.label for name, family in FAMILIES.items()} | {"yours": "your drawing"}


@dataclass(frozen=True)
class Given:
    """Which task is shown, and its examples."""

    task: str = knob("sinusoids", "task from", choices=KINDS)
    shots: int = knob(10, "examples to adapt on", 0, 20, symbol="K", help="the shots: the support set A")
    noise: float = knob(0.0, "noise of the examples", 0.0, 2.0, step=0.05)
    example: int = knob(18, "which task", 0, 999, folded=True, help="another number: another task, other examples")
    sketch: str = knob("", "your drawing", text=points.check_code)
    support: str = knob("", "examples as you dragged them", text=points.check_code)

    @property
    def tag(self) -> str:
        """Four letters that stand for the task, so that dragged examples are forgotten when it changes."""
        made = repr((self.task, self.shots, self.noise, self.example, self.sketch * (self.task == "yours")))
        return base64.urlsafe_b64encode(blake2b(made.encode(), digest_size=3).digest()).decode()

    def tasks(self, count: int) -> Tasks:
        """The task shown, or `count` others of its kind."""
        rng = generator(self.example if count == 1 else 10_000 + self.example)
        if self.task == "yours":
            drawn = self._sketched(count, rng)
        else:
            drawn = sinusoid_tasks(count, self.shots, rng, query=QUERIES, noise=self.noise, family=self.task)
        return drawn if count > 1 or not self.support.startswith(self.tag) else self._dragged(drawn)

    def _sketched(self, count: int, rng: torch.Generator) -> Tasks:
        x = REACH * (2 * torch.rand(count, self.shots + QUERIES, generator=rng) - 1)
        y = torch.from_numpy(interpolated(unpacked(self.sketch), x.numpy().ravel())).float().view_as(x)
        y[:, : self.shots] += self.noise * torch.randn(count, self.shots, generator=rng)
        inputs, outputs = with_ones(x).to(DEVICE), y[..., None].to(DEVICE)
        k = self.shots
        return Tasks(torch.zeros(count, 0), inputs[:, :k], outputs[:, :k], inputs[:, k:], outputs[:, k:])

    def _dragged(self, drawn: Tasks) -> Tasks:
        at = torch.from_numpy(unpacked(self.support[len(self.tag) :])).float()
        return drawn._replace(x=with_ones(at[None, :, 0]).to(DEVICE), y=at[None, :, 1:].to(DEVICE))

    def truth(self) -> tuple[Tensor, Tensor]:
        """The function of the task shown, without noise: (1, 201, 2) and (1, 201, 1)"""
        x = torch.linspace(-REACH, REACH, FINE)[None]
        if self.task == "yours":
            y = torch.from_numpy(interpolated(unpacked(self.sketch), x[0].numpy())).float()[None]
        else:
            y = FAMILIES[self.task].function(self.tasks(1).params, x)
        return with_ones(x).to(DEVICE), y[..., None].to(DEVICE)


def packed(places: Sequence[Sequence[float]] | np.ndarray) -> str:
    """Places of the plot as text that a link can hold; outside ones go to the edge. Raises ValueError for NaN."""
    return points.encode(np.asarray(places, float).reshape(-1, 2) * SCALE)


def unpacked(code: str) -> np.ndarray:
    """The places (n, 2) that a code spells."""
    return points.decode(code) / SCALE


def flat(x: Tensor, y: Tensor) -> np.ndarray:
    """Examples as places for a picture: (1, n, 2), (1, n, 1) -> (n, 2)"""
    return torch.cat([x[0, :, :1], y[0]], 1).cpu().numpy().copy()


def dragged(event: Mapping[str, Any], cfg: Given) -> dict[str, Any]:
    """The settings that dragged examples make; none where they were another task's."""
    return {"support": cfg.tag + packed(event["points"])} if event["tag"] == cfg.tag else {}


def drawn(event: Mapping[str, Any], cfg: Given) -> dict[str, Any]:
    """The settings that a drawn function makes. Raises ValueError for an empty drawing."""
    if not event["points"]:
        raise ValueError("Nothing was drawn; draw a function from left to right, then press “Use it”.")
    return {"task": "yours", "sketch": packed(event["points"]), "support": ""}
