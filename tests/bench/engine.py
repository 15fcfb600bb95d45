"""What the engine does in a second, without any screen."""

import time
from collections.abc import Callable, Iterable, Iterator

import torch

from engine.data import glyphs
from engine.data.points import SETS
from engine.device import DEVICE, generator
from tests.bench.row import Row, row
from tests.browser.declared import VIEWS

LOT, ROUNDS, FRAMES = 4000, 9, 400


def renders() -> Iterator[Row]:
    """Random glyphs a second."""
    draw = generator(0)
    glyphs.sample(LOT, draw)
    rates = [LOT / _seconds(lambda: glyphs.sample(LOT, draw)) for _ in range(ROUNDS)]
    yield row("glyphs", f"glyphs a second, in lots of {LOT}", "1/s", rates)


def scores() -> Iterator[Row]:
    """The exact score of every set on a field of 25 by 25."""
    line = torch.linspace(-3, 3, 25, device=DEVICE)
    places = torch.cartesian_prod(line, line)
    for name, make in SETS.items():
        p = make().noised(1.0, 0.3)
        p.score(places)
        taken = [1000 * _seconds(lambda p=p: p.score(places)) for _ in range(ROUNDS)]
        yield row("scores", f"exact score at 625 places, {name}", "ms", taken)


def frames() -> Iterator[Row]:
    """What each frame of a view's run costs at its defaults, and the run that it begins with."""
    for _, view in VIEWS:
        cfg = view.config()
        begins = view.before(cfg) if view.before else None
        if begins:
            yield _costs(f"{view.name}, the run before it", begins[0](begins[1]))
        yield _costs(view.name, view.run(cfg))


def _costs(what: str, run: Iterable) -> Row:
    taken: list[float] = []
    source, start = iter(run), time.perf_counter()
    for _ in source:
        _wait()
        taken.append(1000 * (time.perf_counter() - start))
        start = time.perf_counter()
        if len(taken) == FRAMES:
            break
    return row("frames", f"cost of a frame, {what}", "ms", taken, f"{sum(taken) / 1000:.1f} s in all")


def tiny() -> Iterator[Row]:
    """Ours against the recipe of tiny-diffusion: CPU seconds to a share off the manifold of 0.10, and sliced W2."""
    from tests.bench.tiny_diffusion import TUNED_ON, UNSEEN, race

    for name in TUNED_ON + UNSEEN:
        for what, value in race(name, range(3), 20.0).items():
            yield row("tiny", f"{name}, {what}", "s" if "seconds" in what else "", [value], "median of 3 seeds")


def _seconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    _wait()
    return time.perf_counter() - start


def _wait() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


BENCHES = {"glyphs": renders, "scores": scores, "frames": frames, "tiny": tiny}
