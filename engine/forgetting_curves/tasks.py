"""Sequences of tasks, to be learned one after another."""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import pi

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from engine.data import glyphs
from engine.data.digits import split
from engine.device import DEVICE, generator
from engine.forgetting_curves.pair import turn_digits, turn_points
from engine.nets import fourier

KINDS = {
    "split": "two numerals each, ten names",
    "split_task": "two numerals each, told which two",
    "split_domain": "two numerals each: even or odd?",
    "permuted": "digits, pixels shuffled",
    "rotated": "digits, turned further",
    "strokes": "invented alphabets",
    "relabelled": "the same digits, other names",
}
LINES = {"pieces": "pieces of one function", "others": "another function each"}
ORDERS = {"given": "as given", "reversed": "reversed", "shuffled": "shuffled"}
LETTERS, WRITTEN = 5, 60  # characters of an invented alphabet; pictures of each, a third of them to test on
RING, SPREAD, POINTS = 1.5, 0.28, 80  # of tasks in the plane: how far from 0, how wide a class, points of a class
HALF, SOWN = 3.0, 160  # of tasks on the line: half its length; examples to learn from, and as many to test on


@dataclass(frozen=True, eq=False)
class Task:
    """Examples to learn from and others to test on, and the labels that may be asked for."""

    name: str
    x: Tensor  # (n, inputs)
    y: Tensor  # (n,) labels as int64, or numbers
    test_x: Tensor  # (m, inputs)
    test_y: Tensor  # (m,)
    classes: tuple[
        int, ...
    ]  # what an answer may be; where they are fewer than all, one is told which task it is; () for numbers

    @property
    def numbers(self) -> bool:
        """Whether numbers are to be foretold, and not labels."""
        return self.y.is_floating_point()


@lru_cache(maxsize=32)
def sequence(
    kind: str,
    tasks: int = 5,
    seed: int = 0,
    *,
    angle: float = 36.0,
    most: int = 0,
    order: str = "given",
) -> tuple[Task, ...]:
    """Some tasks of a kind. `angle`: of a rotation against the one before; `most`: examples to learn from, 0 for all.

    Split digits have at most five tasks. Raises ValueError for another kind or order, or for less than one task.
    """
    if kind not in KINDS or order not in ORDERS or tasks < 1:
        seen = f"{tasks} tasks of kind {kind!r} in the order {order!r}"
        raise ValueError(
            f"Saw {seen}, expected at least one, a kind of {', '.join(KINDS)}, an order of {', '.join(ORDERS)}."
        )
    if kind == "strokes":
        made = [alphabet(i, seed) for i in range(tasks)]
    elif kind.startswith("split"):
        made = [two_numerals(i, kind) for i in range(min(tasks, 5))]
    else:
        made = [altered(kind, i, seed, angle) for i in range(tasks)]
    made = [replace(one, x=one.x[:most], y=one.y[:most]) for one in made] if most else made
    return tuple(ordered(made, order, seed))


def ordered(made: list[Task], order: str, seed: int) -> list[Task]:
    """The tasks as given, reversed, or shuffled."""
    if order == "shuffled":
        return [made[i] for i in torch.randperm(len(made), generator=generator(seed + 77)).tolist()]
    return made[::-1] if order == "reversed" else made


def two_numerals(i: int, kind: str) -> Task:
    """Real digits of two numerals. The names asked for: one of ten, one of the two, or even and odd."""
    parts, pair = [], (2 * i, 2 * i + 1)
    for part in split():
        chosen = (part.labels == pair[0]) | (part.labels == pair[1])
        y = part.labels[chosen]
        parts += [part.images[chosen].flatten(1), y % 2 if kind == "split_domain" else y]
    asked = {"split": tuple(range(10)), "split_task": pair, "split_domain": (0, 1)}[kind]
    return Task(f"{pair[0]} or {pair[1]}", *parts, classes=asked)


def altered(kind: str, i: int, seed: int, angle: float) -> Task:
    """All ten numerals: the first task as they are, later ones shuffled, turned, or with every name moved on."""
    train, test = split()
    x, test_x, shift = train.images.flatten(1), test.images.flatten(1), 0
    if kind == "permuted" and i:
        places = torch.randperm(64, generator=generator(1000 * seed + i)).to(DEVICE)
        x, test_x = x[:, places], test_x[:, places]
    if kind == "rotated":
        x, test_x = turn_digits(x, angle * i), turn_digits(test_x, angle * i)
    if kind == "relabelled":
        shift = i
    names = {"permuted": f"shuffle {i}", "rotated": f"{angle * i:.0f}°", "relabelled": f"names + {i}"}
    y, test_y = (train.labels + shift) % 10, (test.labels + shift) % 10
    return Task(names[kind], x, y, test_x, test_y, tuple(range(10)))


def alphabet(i: int, seed: int) -> Task:
    """Characters of an alphabet nobody has written, 14 × 14 pixels; every alphabet has the same five names."""
    letters = glyphs.invented(100 * seed + i, LETTERS)
    y = torch.arange(LETTERS, device=DEVICE).repeat(WRITTEN)
    rng = generator(100 * seed + i)
    swing = (torch.rand(len(y), len(glyphs.FACTORS), generator=rng) - 0.5).to(DEVICE)
    wide = torch.tensor([f.high - f.low for f in glyphs.FACTORS.values()], device=DEVICE)
    x = avg_pool2d(glyphs.render(y, glyphs.plain(len(y)) + swing * wide, letters)[:, None], 2).flatten(1)
    held = len(y) // 3
    return Task(f"alphabet {i + 1}", x[held:], y[held:], x[:held], y[:held], tuple(range(LETTERS)))


@lru_cache(maxsize=32)
def in_the_plane(count: int, seed: int, angle: float = 60.0) -> tuple[Task, ...]:
    """Tasks in the plane: two clouds of points on either side of an arm, each arm turned by `angle` degrees."""
    rng, made = generator(seed), []
    for i in range(count):
        middle = torch.tensor([[RING, -0.55], [RING, 0.55]]).repeat(2 * POINTS, 1)
        x = middle + SPREAD * torch.randn(4 * POINTS, 2, generator=rng)
        x = turn_points(x.to(DEVICE), angle * i)
        y = torch.arange(4 * POINTS, device=DEVICE) % 2
        half = 2 * POINTS
        made.append(Task("ABCDEFGH"[i], x[:half], y[:half], x[half:], y[half:], (0, 1)))
    return tuple(made)


def waves(x: Tensor) -> Tensor:
    """What a network sees of a place on the line: x / 3, and three waves that fit into it. (n,) -> (n, 7)"""
    turns = x.new_tensor([[1.0, 2.0, 3.0]]) * (pi / HALF)
    return torch.cat([x[:, None] / HALF, fourier(x[:, None], turns)[:, 1:]], 1)


def wavy(x: Tensor, number: int = 0) -> Tensor:
    """The function of the line, and others: (n,) -> (n,)"""
    if not number:
        return (2.2 * x).sin() + 0.35 * x * (1.1 * x).cos()
    return ((1.2 + 0.4 * number) * x + 2 * number).sin() * (1 + 0.15 * number)


@lru_cache(maxsize=32)
def on_the_line(kind: str, count: int, seed: int, order: str = "given", noise: float = 0.05) -> tuple[Task, ...]:
    """Tasks in which a number y = f(x) + noise is to be foretold, x in -3..3.

    Every task has a piece of the line and all have one f, or each has the whole line and an f of its own.
    """
    rng, made = generator(seed + 31), []
    for i in range(count):
        low, wide = (-HALF + 2 * HALF * i / count, 2 * HALF / count) if kind == "pieces" else (-HALF, 2 * HALF)
        x = (low + wide * torch.rand(2 * SOWN, generator=rng)).to(DEVICE)
        y = wavy(x, 0 if kind == "pieces" else i)
        y = y + noise * torch.randn(2 * SOWN, generator=rng).to(DEVICE)
        made.append(Task("ABCDEFGH"[i], waves(x[:SOWN]), y[:SOWN], waves(x[SOWN:]), y[SOWN:], ()))
    return tuple(ordered(made, order, seed))


def drawn(places: Tensor, name: str, seed: int = 0) -> Task:
    """A task from points (n, 2) as a hand drew them: the first half one class, the rest the other.

    Each is drawn out into a little cloud, once to learn from and once to test on. Raises ValueError for under two.
    """
    if len(places) < 2:
        raise ValueError(f"Saw {len(places)} points, expected at least two: one for either class.")
    rng, times = generator(seed + 5), -(-POINTS * 2 // len(places))
    y = (torch.arange(len(places)) >= len(places) // 2).long().repeat(times)
    clouds = [places.float().cpu().repeat(times, 1) + 0.08 * torch.randn(len(y), 2, generator=rng) for _ in range(2)]
    x, test_x = (cloud.to(DEVICE) for cloud in clouds)
    return Task(name, x, y.to(DEVICE), test_x, y.to(DEVICE), (0, 1))
