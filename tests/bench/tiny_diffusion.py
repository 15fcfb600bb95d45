"""The recipe of the tiny-diffusion repository, written anew from its description, and a race of ours against it."""

import argparse
import json
import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import process_time

import torch
from torch import Tensor, nn

from engine.data.points import SETS, Mixture
from engine.device import DEVICE, generator
from engine.diffusion_denoising import Denoiser, Schedule, ddpm, last, normal, schedule
from engine.diffusion_denoising import train as train_ours
from engine.diffusion_denoising.model import network
from engine.distance import Truth, off_manifold

TUNED_ON, UNSEEN = ("swiss_roll", "eight_gaussians"), ("circles", "pinwheel")
POINTS, SAMPLES = 8000, 2000  # in the peer's training set, drawn for each measurement
CALLS = 50  # of the network, for a sample
GOOD = 0.10  # share of samples off the manifold


Look = tuple[float, Callable[[], Tensor]]  # CPU seconds of training so far, and what draws samples of that moment


class Clock:
    """CPU seconds of training; while one looks at a network it stands still. Samples are drawn after all training."""

    def __init__(self) -> None:
        self.spent, self._next = 0.0, 0.0
        self.go_on()

    def go_on(self) -> None:
        """The training goes on."""
        self._start = process_time() - self.spent

    def due(self) -> bool:
        """Whether it is time for a look: every 5 % of the time so far and 3 ms."""
        self.spent = process_time() - self._start
        if self.spent < self._next:
            return False
        self._next = 1.05 * self.spent + 0.003
        return True


@dataclass(frozen=True)
class Recipe:
    """The knobs that the recipe offers, at its defaults."""

    batch_size: int = 32
    learning_rate: float = 1e-3
    num_timesteps: int = 50
    width: int = 128
    layers: int = 3


SHIPPED = Recipe()
TUNED = Recipe(batch_size=512, learning_rate=5e-3, width=64)  # the best of a dozen settings on TUNED_ON


def waves(x: Tensor, size: int, scale: float = 1.0) -> Tensor:
    """(n,) -> (n, size): sines and cosines of scale x, wavelengths geometric up to 10 000 turns."""
    half = size // 2
    angles = scale * x[:, None] * torch.exp(-math.log(10_000) / (half - 1) * torch.arange(half, device=x.device))
    return torch.cat([angles.sin(), angles.cos()], 1)


class Peer(nn.Module):
    """Both coordinates (scale 25) and t as waves, then GELU layers, all but the first with a skip."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.first = nn.Linear(3 * 128, recipe.width)
        self.hidden = nn.ModuleList(nn.Linear(recipe.width, recipe.width) for _ in range(recipe.layers))
        self.last = nn.Linear(recipe.width, 2)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """The noise in x: (n, 2) at t: (n,) -> (n, 2)."""
        h = torch.cat([waves(x[:, 0], 128, 25.0), waves(x[:, 1], 128, 25.0), waves(t.float(), 128)], 1)
        h = nn.functional.gelu(self.first(h))
        for layer in self.hidden:
            h = h + nn.functional.gelu(layer(h))
        return self.last(h)


def train(
    sample: Callable[[int, torch.Generator], Tensor], seed: int, seconds: float, *, recipe: Recipe = SHIPPED
) -> Iterator[Look]:
    """Train for so many CPU seconds; now and then yield those spent in training so far and a way to 2000 samples."""
    rng, clock = generator(seed), Clock()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Peer(recipe).to(DEVICE)
    rule = torch.optim.AdamW(net.parameters(), lr=recipe.learning_rate, fused=True)
    bars = schedule("linear", recipe.num_timesteps).alpha_bar.float().to(DEVICE)
    data = sample(POINTS, rng)
    while clock.spent < seconds:
        for rows in torch.randperm(POINTS, generator=rng).split(recipe.batch_size):
            if len(rows) == recipe.batch_size:
                step(net, rule, data[rows.to(DEVICE)], bars, rng)
            if clock.due():
                yield clock.spent, partial(draw, deepcopy(net), bars, generator(seed + 1))
                clock.go_on()


def step(net: Peer, rule: torch.optim.Optimizer, x0: Tensor, bars: Tensor, rng: torch.Generator) -> None:
    """One step down the mean square error on the noise, gradients cut to length 1."""
    noise = torch.randn(x0.shape, generator=rng).to(x0)
    t = torch.randint(len(bars), (len(x0),), generator=rng).to(DEVICE)
    bar = bars[t, None]
    loss = (net(bar.sqrt() * x0 + (1 - bar).sqrt() * noise, t) - noise).square().mean()
    rule.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    rule.step()


@torch.no_grad()
def draw(net: Peer, bars: Tensor, rng: torch.Generator, n: int = SAMPLES) -> Tensor:
    """n samples by the ancestral sampler over all timesteps: (n, 2)."""
    x = torch.randn(n, 2, generator=rng).to(DEVICE)
    for t in reversed(range(len(bars))):
        bar, before = float(bars[t]), float(bars[t - 1]) if t else 1.0
        alpha = bar / before
        hat = net(x, torch.full((n,), t, device=DEVICE))
        x = (x - (1 - alpha) / math.sqrt(1 - bar) * hat) / math.sqrt(alpha)
        if t:
            x = x + math.sqrt((1 - before) / (1 - bar) * (1 - alpha)) * torch.randn(n, 2, generator=rng).to(DEVICE)
    return x


def ours(
    sample: Callable[[int, torch.Generator], Tensor], seed: int, seconds: float, *, train_steps: int = 600
) -> Iterator[Look]:
    """The same for our denoiser at its defaults, with the same sampler and as many network calls."""
    rng, plan, clock = generator(seed), schedule("log_linear", 1000), Clock()
    for descent in train_ours(sample, plan, rng, train_steps=train_steps):
        if clock.due() or descent.step == train_steps:
            denoise = Denoiser(descent.average.clone(), net=network(64))
            yield clock.spent, partial(sampled, denoise, plan, generator(seed + 1))
            clock.go_on()
        if clock.spent >= seconds:
            return


@torch.no_grad()
def sampled(denoise: Denoiser, plan: Schedule, rng: torch.Generator) -> Tensor:
    """Samples of our denoiser: (2000, 2)."""
    return last(ddpm(denoise, plan, CALLS, torch.randn(SAMPLES, 2, generator=rng).to(DEVICE), normal(rng))).x


def reached(looks: list[Look], p: Mixture) -> float:
    """Seconds until the share off the manifold is 0.10 or less; infinite if it never is."""
    return next((spent for spent, samples in looks if off_manifold(samples(), p) <= GOOD), math.inf)


def at(looks: list[Look], seconds: float) -> Tensor:
    """Samples at the last look before that time."""
    return [samples for spent, samples in looks if spent <= seconds or spent == looks[0][0]][-1]()


def race(name: str, seeds: range, seconds: float) -> dict[str, float]:
    """Medians over seeds on one set of points: time to GOOD, and sliced W2 when ours has had all its steps."""
    p = SETS[name]()
    truth = Truth(p.sample, SAMPLES, generator(99))
    found: dict[str, list[float]] = {"floor": [truth.floor]}
    for seed in seeds:
        mine = list(ours(p.sample, seed, seconds))
        end = mine[-1][0]
        for who, looks in {
            "ours": mine,
            "shipped": list(train(p.sample, seed, seconds, recipe=SHIPPED)),
            "tuned": list(train(p.sample, seed, seconds, recipe=TUNED)),
        }.items():
            found.setdefault(f"{who}: seconds to {GOOD:.0%} off", []).append(reached(looks, p))
            found.setdefault(f"{who}: sliced W2 halfway through ours", []).append(truth(at(looks, end / 2)))
            found.setdefault(f"{who}: sliced W2 when ours is done", []).append(truth(at(looks, end)))
        found.setdefault("seconds of ours", []).append(end)
    return {key: median(values) for key, values in found.items()}


def main() -> None:
    """`python -m tests.bench.tiny_diffusion [--seeds 3] [--seconds 20] [--json]`."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tiny_diffusion", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for warm_up in ours(SETS["moons"]().sample, 0, 0.2), train(SETS["moons"]().sample, 0, 0.2):
        list(warm_up)  # the first steps of a process load code
    for name in TUNED_ON + UNSEEN:
        found = race(name, range(options.seeds), options.seconds)
        print(json.dumps({"data": name, **found}) if options.json else f"{name}\n" + _table(found), flush=True)


def _table(found: dict[str, float]) -> str:
    return "\n".join(f"  {key:42} {value:8.3f}" for key, value in found.items())


if __name__ == "__main__":
    main()
