"""The reverse process: four samplers walk from the same noise back to the data, at the same number of network calls."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.data.points import Mixture, check_code, mixture
from engine.device import DEVICE, generator
from engine.diffusion_denoising import learn, samplers
from engine.diffusion_denoising.model import Denoise
from engine.diffusion_denoising.samplers import State
from engine.diffusion_denoising.schedules import schedule
from engine.diffusion_denoising.score import DATA, half_width
from engine.distance import Truth, off_manifold
from engine.knob import knob
from engine.tape import record

SAMPLES, FRAMES = learn.SAMPLES, 100  # points of each cloud, frames of the way back
NAMES = {"ddpm": "ddpm", "ddim": "ddim", "heun": "heun", "annealed_langevin": "langevin"}  # sampler -> in a Frame
PHASES = ("learning", "sampling")


@dataclass(frozen=True)
class Config:
    """The settings of one race of the four samplers."""

    data: str = knob("swiss_roll", "data", choices=DATA)
    denoiser: str = knob(
        "exact",
        "denoiser",
        choices={"exact": "exact", "learned": "learned by a network"},
        help="with the exact one all that remains is the error of the sampler; a network is trained first",
    )
    calls: int = knob(40, "network calls", 5, 200, log=True, help="the budget of each sampler; Heun needs two a step")
    eta: float = knob(0.0, "noise of DDIM", 0.0, 1.0, symbol=r"\eta", step=0.05, help="0 draws none, 1 is DDPM")
    fork_step: int = knob(
        0, "change noise draw", 0, 200, help="of the followed path: from there on it forks, where noise is drawn at all"
    )
    beta_schedule: str = knob(
        "log_linear", "noise schedule", choices=learn.SCHEDULES, symbol=r"\beta_t", help="how the noise grows with t"
    )
    num_train_timesteps: int = knob(
        1000,
        "noise levels",
        10,
        1000,
        symbol="T",
        log=True,
        folded=True,
        help="linear β with a short T never becomes pure noise, yet sampling starts from it",
    )
    start_x: float = knob(1.8, "start of the path, across", -3.0, 3.0, symbol="x_{T,1}", folded=True)
    start_y: float = knob(-1.6, "start of the path, up", -3.0, 3.0, symbol="x_{T,2}", folded=True)
    langevin_step: float = knob(
        0.8, "step of Langevin", 0.05, 1.5, folded=True, help="over the noise variance; 2 is where it diverges"
    )
    repeats: int = knob(2, "Langevin steps a level", 1, 10, folded=True)
    train_steps: int = knob(600, "training steps", 50, 3000, log=True, folded=True, help="of the learned denoiser")
    seed: int = knob(0, "seed", 0, 999, folded=True, help="another one: other noise")
    points: str = knob("", "your points", text=check_code)


class Frame(NamedTuple):
    """The four walks side by side, in the coordinates of x_t. A path is padded with its latest point."""

    phase: str  # of PHASES
    progress: float  # of this phase, 0..1
    half: float  # the picture is [-half, half] squared
    budget: int  # network calls allowed by now
    start: np.ndarray  # (1, 2) where the followed path starts
    floor: float  # sliced W2 from 400 true samples to a large true cloud, mean
    floor_spread: float  # and its standard deviation
    ddpm: np.ndarray  # (400, 2)
    ddpm_path: np.ndarray  # (101, 2) the followed path
    ddpm_fork: np.ndarray  # (101, 2) the same with one noise draw changed
    ddpm_w2: float  # sliced W2 from the cloud to a large true cloud
    ddpm_off: float  # share of the cloud farther than 3 std from every component of the data
    ddpm_calls: int  # network calls so far
    ddim: np.ndarray
    ddim_path: np.ndarray
    ddim_fork: np.ndarray
    ddim_w2: float
    ddim_off: float
    ddim_calls: int
    heun: np.ndarray
    heun_path: np.ndarray
    heun_fork: np.ndarray
    heun_w2: float
    heun_off: float
    heun_calls: int
    langevin: np.ndarray
    langevin_path: np.ndarray
    langevin_fork: np.ndarray
    langevin_w2: float
    langevin_off: float
    langevin_calls: int


def draws(rng: torch.Generator, fork_step: int) -> samplers.Noise:
    """Fresh noise whose second row repeats the first, but for draw number `fork_step` (0: never)."""
    count = 0

    def noise(x: Tensor) -> Tensor:
        nonlocal count
        count += 1
        z = torch.randn(x.shape, generator=rng)
        if count != fork_step:
            z[1] = z[0]
        return z.to(x)

    return noise


class Walk:
    """A sampler under way: its latest state within a budget of calls, and the two followed paths."""

    def __init__(self, states: Iterator[State]) -> None:
        self._states = states
        self.now, self.ahead = next(states), next(states, None)
        self.path = self.now.x[:2, None]  # (2, m, 2)

    def advance(self, budget: int) -> None:
        """Walk on while the calls so far stay within the budget; the paths grow by one point."""
        while self.ahead is not None and self.ahead.calls <= budget:
            self.now, self.ahead = self.ahead, next(self._states, None)
        self.path = torch.cat([self.path, self.now.x[:2, None]], 1)


def walks(cfg: Config, denoise: Denoise) -> dict[str, Walk]:
    """The four samplers on the same start. Rows 0 and 1 are the followed path and its fork, the rest a cloud."""
    plan = schedule(cfg.beta_schedule, cfg.num_train_timesteps)
    rng = generator(cfg.seed)
    x_T = torch.randn(SAMPLES + 2, 2, generator=rng)
    x_T[:2] = torch.tensor([cfg.start_x, cfg.start_y])
    repeats = min(cfg.repeats, cfg.calls - 1)
    extra: dict[str, dict[str, Any]] = {
        "ddim": {"eta": cfg.eta},
        "annealed_langevin": {"repeats": repeats, "step_size": cfg.langevin_step},
    }
    found = {}
    for name, short in NAMES.items():
        steps = samplers.steps_within(name, cfg.calls, repeats)
        noise = draws(generator(cfg.seed + 1000), cfg.fork_step)
        walk = samplers.SAMPLERS[name](denoise, plan, steps, x_T.to(DEVICE), noise, **extra.get(name, {}))
        found[short] = Walk(walk)
    return found


class Judge:
    """What a cloud is measured against, and how a frame is put together."""

    def __init__(self, cfg: Config, p: Mixture) -> None:
        self.p, self.half = p, half_width(p)
        self.truth = Truth(p.sample, SAMPLES, generator(cfg.seed + 2000))
        self.start = np.array([[cfg.start_x, cfg.start_y]], dtype=np.float32)

    def part(self, name: str, cloud: Tensor, path: Tensor, calls: int) -> dict[str, Any]:
        """One sampler's fields: cloud: (400, 2), path: (2, m, 2)."""
        far = 4 * self.half
        padded = torch.cat([path, path[:, -1:].expand(2, FRAMES + 1 - path.shape[1], 2)], 1)
        kept = padded.clamp(-far, far).cpu().numpy()
        return {
            name: cloud.clamp(-far, far).cpu().numpy().copy(),
            f"{name}_path": kept[0].copy(),
            f"{name}_fork": kept[1].copy(),
            f"{name}_w2": self.truth(cloud),
            f"{name}_off": off_manifold(cloud, self.p),
            f"{name}_calls": calls,
        }

    def frame(self, phase: int, progress: float, budget: int, part: Callable[[str], dict[str, Any]]) -> Frame:
        """All four parts together."""
        parts = {key: value for name in NAMES.values() for key, value in part(name).items()}
        truth = self.truth
        return Frame(
            PHASES[phase],
            progress,
            self.half,
            budget,
            self.start,
            floor=truth.floor,
            floor_spread=truth.spread,
            **parts,
        )


def lesson(cfg: Config) -> learn.Config:
    """The training run behind a learned denoiser."""
    return learn.Config(
        data=cfg.data,
        points=cfg.points,
        beta_schedule=cfg.beta_schedule,
        num_train_timesteps=cfg.num_train_timesteps,
        train_steps=cfg.train_steps,
        seed=cfg.seed,
    )


def learning(cfg: Config) -> Iterator[learn.Frame]:
    """The frames of that training run, from its tape, which others may be watching too."""
    tape, seen = record(learn.run, lesson(cfg)), 0
    while seen < len(tape.frames) or not tape.done:
        if seen == len(tape.frames):
            tape.wind(0)
            continue
        yield tape.frames[seen]
        seen += 1


def sample(cfg: Config) -> Iterator[Frame]:
    """The four ways back alone: where the denoiser is learned, the first frame waits for its training."""
    p = mixture(cfg.data, cfg.points)
    judge, denoise = Judge(cfg, p), p.denoise
    if cfg.denoiser == "learned":
        *_, taught = learning(cfg)
        denoise = learn.denoiser(lesson(cfg), taught.weights)
    yield from race(cfg, judge, denoise)


def run(cfg: Config) -> Iterator[Frame]:
    """The network's training where it is learned, then the four ways back. Raises ValueError for an empty drawing."""
    if cfg.denoiser == "learned":
        judge = Judge(cfg, mixture(cfg.data, cfg.points))
        for seen in learning(cfg):
            cloud = torch.from_numpy(seen.samples).to(DEVICE)
            part = judge.part("", cloud, torch.from_numpy(judge.start).to(DEVICE).expand(2, 1, 2), 0)
            yield judge.frame(0, seen.step / cfg.train_steps, 0, lambda name, part=part: rename(part, name))
    yield from sample(cfg)


def rename(part: dict[str, Any], name: str) -> dict[str, Any]:
    """The fields of a nameless part under a sampler's name."""
    return {name + key: value for key, value in part.items()}


def race(cfg: Config, judge: Judge, denoise: Denoise) -> Iterator[Frame]:
    """From the noise to the data, the budget of calls growing evenly from frame to frame."""
    under_way = walks(cfg, denoise)
    count = min(FRAMES, cfg.calls)

    def part(name: str) -> dict[str, Any]:
        walk = under_way[name]
        return judge.part(name, walk.now.x[2:], walk.path, walk.now.calls)

    yield judge.frame(1, 0.0, 0, part)
    for i in range(1, count + 1):
        budget = round(i * cfg.calls / count)
        for walk in under_way.values():
            walk.advance(budget)
        yield judge.frame(1, i / count, budget, part)
