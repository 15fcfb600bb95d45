"""One picture under attack: what is added to it as the budget grows, and what the classifier says then."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.adversarial_examples.arsenal import BOXES, METHODS, REACH, attacked, chances, pair, surrogate_of
from engine.adversarial_examples.classifiers import CLASSES, Learning, array, examples
from engine.adversarial_examples.goal import Goal
from engine.adversarial_examples.threat import length, steepest
from engine.data.drawing import centred, check_picture, decode_picture
from engine.device import DEVICE, generator
from engine.knob import knob

BUDGETS, GRID = 41, 25  # budgets from 0 up; places along an edge of the slice
ANY = "any"


@dataclass(frozen=True)
class Config(Learning):
    """The settings of the attack on one picture."""

    attack: str = knob("pgd", "attack", choices={name: how.label for name, how in METHODS.items()})
    box: str = knob("white", "the attacker sees", choices=BOXES, help="attacks that only ask for outputs see no more")
    index: int = knob(7, "held-out picture", 0, 99, help="or draw one, or bring one")
    target: str = knob(
        ANY, "make it read", choices={ANY: "anything else"} | {str(k): f"a {k}" for k in range(CLASSES)}, folded=True
    )
    noise: int = knob(0, "seed of the attack", 0, 999, folded=True)
    picture: str = knob("", "your picture", text=check_picture, folded=True)

    @property
    def norm(self) -> str:
        """The norm that the budget bounds; "" for a turn in degrees."""
        return METHODS[self.attack].norm

    @property
    def reach(self) -> float:
        """The largest budget."""
        return REACH[self.norm, self.data]

    @property
    def needed(self) -> tuple[Learning, ...]:
        """The trainings that this view begins with."""
        return tuple(dict.fromkeys((self.learning, surrogate_of(self, self.box, self.attack))))


class Frame(NamedTuple):
    """The picture at one budget."""

    eps: float
    used: float  # norm of the change; for a turn the degrees allowed
    scale: float  # the change is shown this many times as strong
    label: int  # what the picture shows
    reads: int  # what the classifier makes of it now
    fooled: float  # 1 if that is what the attacker wants
    own: float  # probability of the label
    other: float  # of the likeliest other class
    blind: float  # share of pixels where the gradient at the picture is zero
    shown: np.ndarray  # (3, h, w) the picture, the change around middle grey, the attacked picture
    before: np.ndarray  # (10,) class probabilities of the picture
    after: np.ndarray  # (10,) of the attacked one
    regions: np.ndarray  # (625, 3) places of the slice, in units of the budget, with their class
    shadow: np.ndarray  # (41, 2) where the attacked pictures of all budgets fall on the slice, or its edge
    spot: np.ndarray  # (1, 2) this one


def chosen(cfg: Config, model: Callable) -> tuple[Tensor, int]:
    """The picture (h, w) and its label: held out, or drawn and then whatever the classifier takes it for."""
    seen = examples(cfg.data)
    if not cfg.picture:
        at = cfg.index % len(seen.test)
        return seen.test[at], int(seen.test_labels[at])
    drawn = torch.from_numpy(centred(decode_picture(cfg.picture), seen.test.shape[-1])).to(DEVICE)
    return drawn, int(chances(model, drawn[None]).argmax())


def target(cfg: Config, label: int) -> int | None:
    """The class wanted; none where any other will do, or where it is the label already."""
    return None if cfg.target in (ANY, str(label)) else int(cfg.target)


def possible(cfg: Config) -> tuple[Config, str]:
    """A target that the picture shows already is no target: then any other class will do, and a sentence says so."""
    seen = examples(cfg.data).test_labels
    if cfg.picture or cfg.target != str(int(seen[cfg.index % len(seen)])):
        return cfg, ""
    return replace(cfg, target=ANY), f"The picture shows a {cfg.target} already; anything else will do as a target."


def slice_of(cfg: Config, slope: Tensor, x: Tensor) -> Tensor:
    """Two directions of the slice, at right angles: along the gradient and at random; (2, h, w) of length 1 each.

    Both are what the box leaves of the steepest and of a random change of the largest budget, over that budget.
    """
    norm = cfg.norm or "l2"
    reach = cfg.reach if cfg.norm else REACH["l2", cfg.data]
    random = torch.randn(x.shape, generator=generator(cfg.noise)).to(x)
    ways = steepest(torch.stack([slope, random]), norm)
    u, v = ((x + reach * ways).clamp(0, 1) - x) / reach
    v = v - (u * v).sum() / u.square().sum().clamp_min(1e-12) * u
    pair = torch.stack([u, v])
    return pair / length(pair, norm).clamp_min(1e-12)[:, None, None]


def span(cfg: Config) -> float:
    """Half the width of the slice, in the norm of the attack; ℓ2 for a turn."""
    return 1.25 * (cfg.reach if cfg.norm else REACH["l2", cfg.data])


@torch.no_grad()
def regions(cfg: Config, model: Callable, x: Tensor, ways: Tensor) -> np.ndarray:
    """What the classifier says on the slice: (625, 3) places and class; pictures are clipped to the box."""
    line = torch.linspace(-1, 1, GRID, device=x.device) * span(cfg)
    b, a = torch.meshgrid(line, line, indexing="ij")
    moved = x + a.flatten()[:, None, None] * ways[0] + b.flatten()[:, None, None] * ways[1]
    said = model(moved.clamp(0, 1)).argmax(1)
    return array(torch.stack([a.flatten(), b.flatten(), said.to(a)], 1))


def fall(delta: Tensor, ways: Tensor) -> np.ndarray:
    """Where changes (n, h, w) fall on the slice: (n, 2)."""
    flat = ways.flatten(1)
    return array(delta.flatten(1) @ flat.T / flat.square().sum(1).clamp_min(1e-12))


def run(cfg: Config) -> Iterator[Frame]:
    """The picture at 41 budgets; the first frame waits for the training."""
    yield from walk(cfg, *pair(cfg, cfg.box, cfg.attack))


def walk(cfg: Config, model: Callable, surrogate: Callable) -> Iterator[Frame]:
    """The same with models of one's own: pictures (n, h, w) -> logits (n, 10)."""
    x, label = chosen(cfg, model)
    y = torch.full((BUDGETS,), label, device=x.device)
    room = torch.linspace(0, 1, BUDGETS, device=x.device) * cfg.reach
    _, _, slope = Goal(surrogate, y[:1]).climb(x[None])
    ways = slice_of(cfg, slope[0], x)
    lay = regions(cfg, model, x, ways)
    aim = target(cfg, label)
    moved = attacked(cfg.attack, model, surrogate, x.expand(BUDGETS, -1, -1), y, room, aim, cfg.noise)
    delta, said = moved - x, chances(model, moved)
    hit = Goal(model, y if aim is None else torch.full_like(y, aim), aim is not None).reached(moved)
    shadow, before = fall(delta, ways).clip(-span(cfg), span(cfg)), array(chances(model, x[None])[0])
    used = length(delta, cfg.norm) if cfg.norm else room
    for i in range(BUDGETS):
        scale = 0.5 / max(float(delta[i].abs().max()), 1e-9) if delta[i].any() else 1.0
        after = array(said[i])
        yield Frame(
            eps=float(room[i]),
            used=float(used[i]),
            scale=scale,
            label=label,
            reads=int(after.argmax()),
            fooled=float(hit[i]),
            own=float(after[label]),
            other=float(np.delete(after, label).max()),
            blind=float((slope == 0).double().mean()),
            shown=array(torch.stack([x, 0.5 + scale * delta[i], moved[i]])),
            before=before,
            after=after,
            regions=lay,
            shadow=shadow,
            spot=shadow[i : i + 1],
        )
