"""How the step size changes along a run: constant, falling in steps or as a cosine, with or without a warm-up."""

from collections.abc import Callable
from math import cos, pi

WARM = 0.1  # share of a run that a warm-up takes
FACTOR, DROPS = 0.1, (0.5, 0.75)  # what the step size is multiplied by, and after which shares of the run


def constant(k: int, steps: int) -> float:
    """1 throughout."""
    return 1.0


def step(k: int, steps: int) -> float:
    """A tenth after half of the run, and a tenth of that after three quarters."""
    return FACTOR ** sum(k >= share * steps for share in DROPS)


def cosine(k: int, steps: int) -> float:
    """Half a cosine from 1 down to nearly 0 (Loshchilov and Hutter, 2017, without restarts)."""
    return (1 + cos(pi * k / steps)) / 2


def warm_up(k: int, steps: int) -> float:
    """In equal parts up to 1 over the first tenth (as Goyal et al., 2017, begin), then a cosine."""
    warm = max(1, round(WARM * steps))
    return (k + 1) / warm if k < warm else cosine(k - warm, max(1, steps - warm))


LR_SCHEDULES: dict[str, Callable[[int, int], float]] = {  # (step, steps) -> factor of the step size
    "constant": constant,
    "step": step,
    "cosine": cosine,
    "warm_up": warm_up,
}
SCHEDULES = {
    "constant": "constant",
    "step": "falls in two steps",
    "cosine": "cosine",
    "warm_up": "warm-up, then cosine",
}
