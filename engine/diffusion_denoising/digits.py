"""Digits made to order: diffusion on the code of an autoencoder, told which numeral to make."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import nan, sqrt
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from engine.device import DEVICE, generator
from engine.diffusion_denoising.autoencoder import CODE, Autoencoder, Codec, Descent, pictures, standardised
from engine.diffusion_denoising.model import CONDITION, denoised, target
from engine.diffusion_denoising.samplers import SAMPLERS, State, last, normal
from engine.diffusion_denoising.schedules import SIGMA_MAX, SIGMA_MIN, schedule
from engine.knob import knob, part
from engine.nets import ResidualMLP, fourier, octaves
from engine.tape import record

CLASSES, EACH = 10, 6  # the grid: a row of 6 for each numeral
UNKNOWN = CLASSES  # the label that says nothing
DROPPED = 0.1  # share of the training labels replaced by it (Ho and Salimans, 2022)
KNOWN = 2048  # pictures that a sample is compared to
BATCHES, CHUNKS, STEP_SIZES = (64, 128), (10, 16), (6e-3, 8e-3)  # of the autoencoder and of the denoiser; steps a frame
MEDIAN, SPREAD = -0.6, 1.0  # of log sigma in training (Karras et al. 2022)
PREVIEW, PREVIEW_STEPS = 3, 8  # while training: every so many frames a grid, and its sampler steps
WIDTH, DEPTH = 128, 4
NOISY = schedule("log_linear", 1000)
PHASES = ("autoencoder", "denoiser", "sampling")

Loss = Callable[[Tensor], Tensor]  # of the weights


@dataclass(frozen=True)
class Learning:
    """The settings of the training, which the guidance and the sampler do not touch."""

    data: str = knob(
        "glyphs",
        "pictures",
        choices={"glyphs": "drawn numerals, 28×28", "digits": "real handwriting, 8×8"},
        help="numerals that this sheet draws itself, or the 1 797 digits that people wrote for Alpaydin and Kaynak",
    )
    autoencoder_steps: int = knob(1200, "training steps of the autoencoder", 50, 4000, log=True, folded=True)
    denoiser_steps: int = knob(2500, "training steps of the denoiser", 50, 10000, log=True, folded=True)
    seed: int = knob(0, "seed of the training", 0, 999, folded=True)


@dataclass(frozen=True)
class Config(Learning):
    """The settings of the view: how sixty digits are sampled from what was learned."""

    guidance_scale: float = knob(
        2.0,
        "guidance",
        0.0,
        8.0,
        symbol="w",
        step=0.25,
        help="1 samples what was learned of the numeral, more overstates it and costs variety, 0 ignores it",
    )
    num_inference_steps: int = knob(12, "sampler steps", 1, 100, log=True, help="of the way from noise to digit")
    noise: int = knob(0, "start noise", 0, 999, help="another number, other digits; nothing is trained again")
    sampler: str = knob("heun", "sampler", choices={"heun": "Heun (ODE)", "ddim": "DDIM", "ddpm": "DDPM"}, folded=True)

    @property
    def learning(self) -> Learning:
        """The part of the settings that the training depends on."""
        return part(Learning, self)


class Frame(NamedTuple):
    """Sixty pictures, six for each numeral, after some training or some sampling."""

    phase: int  # index into PHASES
    step: int  # of that phase: training steps, or sampler steps
    progress: float  # of the training, 0 to 1
    loss: float  # of the last batch; NaN at a phase's start and in sampling
    loss_ema: float
    sigma: float  # noise over signal in the codes behind the images: 0 when done, NaN in the first phase
    calls: int  # of the denoiser, spent on the images; guidance asks the network twice in each
    legibility: float  # estimate: share of the images whose nearest real picture shows the numeral asked for
    legibility_error: float  # its standard error
    images: np.ndarray  # (60, h, w) in [0, 1]: first reconstructions of held-out pictures, then samples
    labels: np.ndarray  # (60,) the numeral that each was asked to show
    weights: np.ndarray  # (p,) on the last frame of the training: everything learned, see `unpack`; else empty


def examples(data: str) -> np.ndarray:
    """A row of ten real held-out pictures, 0 to 9: (10, h, w) float32 in [0, 1]."""
    return pictures(data).test[:CLASSES].cpu().numpy().copy()


def held_out(data: str) -> np.ndarray:
    """The sixty pictures whose reconstructions the first phase shows, in its order: (60, h, w) float32."""
    return _grid(data).cpu().numpy().copy()


def _grid(data: str) -> Tensor:
    test = pictures(data).test
    return test.view(-1, CLASSES, *test.shape[1:])[:EACH].transpose(0, 1).flatten(0, 1)


def asked() -> Tensor:
    """The numerals of the grid, six of each: (60,) int64 on DEVICE."""
    return torch.arange(CLASSES, device=DEVICE).repeat_interleave(EACH)


NET = ResidualMLP(CODE, CODE, WIDTH, DEPTH, condition=1 + 2 * CONDITION + CLASSES + 1)


def guess(weights: Tensor, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
    """The network F: x: (n, 16) = code + sigma noise, sigma: (n, 1) or (1, 1), labels: (n,) in 0..10 -> (n, 16)."""
    level = fourier(sigma.log() / 4, octaves(CONDITION, 4.0, 0.25).to(x)).expand(len(x), -1)
    condition = torch.cat([level, one_hot(labels, CLASSES + 1).to(x)], 1)
    return NET(weights, x * (1 + sigma**2).rsqrt(), condition)


@dataclass(frozen=True, eq=False)
class Guided:
    """D(x, sigma; label) with classifier-free guidance: D_nothing + w (D_label - D_nothing) (Ho and Salimans, 2022).

    w is the guidance_scale of diffusers; the paper's w is this one less 1.
    """

    weights: Tensor  # of NET
    labels: Tensor  # (n,)
    guidance_scale: float

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """x: (n, 16) = code + sigma noise -> the guess of the code (n, 16)."""
        level = torch.full((1, 1), sigma, device=x.device)
        if self.guidance_scale == 1:
            return self._one(x, level, self.labels)
        told, untold = self._one(x, level, self.labels), self._one(x, level, torch.full_like(self.labels, UNKNOWN))
        return untold + self.guidance_scale * (told - untold)

    def _one(self, x: Tensor, level: Tensor, labels: Tensor) -> Tensor:
        return denoised("v_prediction", guess(self.weights, x, level, labels), x, level)


@dataclass(frozen=True, eq=False)
class Trained:
    """What the training leaves behind."""

    codec: Codec
    weights: Tensor  # of NET, their moving average

    def denoiser(self, labels: Tensor, guidance_scale: float) -> Guided:
        """The denoiser for those numerals (n,); 10 is unknown."""
        return Guided(self.weights, labels, guidance_scale)

    def pack(self) -> np.ndarray:
        """Everything as one vector (p,) float32."""
        parts = [self.codec.mean, self.codec.std, self.codec.weights, self.weights]
        return torch.cat(parts).cpu().numpy()


def unpack(data: str, vector: np.ndarray) -> Trained:
    """What `pack` wrote, on DEVICE. Raises ValueError for a vector of another length."""
    net = Autoencoder(pictures(data).train.shape[-1])
    sizes = [CODE, CODE, net.size, NET.size]
    if vector.shape != (sum(sizes),):
        raise ValueError(f"the weights for {data} had shape {vector.shape}; expected ({sum(sizes)},)")
    mean, std, inner, outer = torch.tensor(vector, device=DEVICE).split(sizes)
    return Trained(Codec(net, inner, mean, std), outer)


def learn(cfg: Learning) -> Iterator[Frame]:
    """Train the autoencoder, then the denoiser on its codes: some 30 ms of work a frame on one thread."""
    rng = generator(cfg.seed)
    net = Autoencoder(pictures(cfg.data).train.shape[-1])
    descent = Descent(net.init(rng), cfg.autoencoder_steps, STEP_SIZES[0])
    yield from _learn_codes(cfg, net, descent, rng)
    codec, codes = standardised(net, descent.average, pictures(cfg.data).train)
    yield from _learn_denoiser(cfg, codec, codes, rng)


def _learn_codes(cfg: Learning, net: Autoencoder, descent: Descent, rng: torch.Generator) -> Iterator[Frame]:
    train, grid = pictures(cfg.data).train, _grid(cfg.data)
    for _ in _chunks(descent, CHUNKS[0], lambda: _coding_loss(net, train, rng)):
        seen = net.decode(descent.average, net.encode(descent.average, grid))
        yield _training_frame(cfg, 0, descent, _judged(cfg.data, seen, nan, 0))


def _learn_denoiser(cfg: Learning, codec: Codec, codes: Tensor, rng: torch.Generator) -> Iterator[Frame]:
    descent, labels = Descent(NET.init(rng), cfg.denoiser_steps, STEP_SIZES[1]), pictures(cfg.data).labels
    now, shown = Trained(codec, descent.average), None
    for i, done in enumerate(_chunks(descent, CHUNKS[1], lambda: _denoising_loss(codes, labels, rng))):
        if shown is None or done or i % PREVIEW == 0:
            preview = Config(data=cfg.data, num_inference_steps=PREVIEW_STEPS)
            shown = _show(preview, now, last(_walk(preview, now)))
        frame = _training_frame(cfg, 1, descent, shown)
        yield frame._replace(weights=now.pack()) if done else frame


def _chunks(descent: Descent, steps: int, loss: Callable[[], Loss]) -> Iterator[bool]:
    """Before the first step, and then after every so many: whether the descent is done."""
    yield False
    while descent.step < descent.steps:
        for _ in range(min(steps, descent.steps - descent.step)):
            descent(loss())
        yield descent.step == descent.steps


def _coding_loss(net: Autoencoder, train: Tensor, rng: torch.Generator) -> Loss:
    """The autoencoder's loss on a fresh batch."""
    images = train[torch.randint(len(train), (BATCHES[0],), generator=rng).to(DEVICE)]
    noise = torch.randn(BATCHES[0], CODE, generator=rng).to(DEVICE)
    return lambda weights: net.loss(weights, images, noise)


def _denoising_loss(codes: Tensor, labels: Tensor, rng: torch.Generator) -> Loss:
    """The squared error of F on a fresh batch."""
    n = BATCHES[1]
    at = torch.randint(len(codes), (n,), generator=rng).to(DEVICE)
    told = torch.rand(n, generator=rng).to(DEVICE) >= DROPPED
    sigma = (MEDIAN + SPREAD * torch.randn(n, 1, generator=rng)).exp().clamp(SIGMA_MIN, SIGMA_MAX).to(DEVICE)
    noise = torch.randn(n, CODE, generator=rng).to(DEVICE)
    clean, named = codes[at], torch.where(told, labels[at], UNKNOWN)
    wanted = target("v_prediction", clean, noise, sigma)
    return lambda weights: (guess(weights, clean + sigma * noise, sigma, named) - wanted).square().mean()


def _training_frame(cfg: Learning, phase: int, descent: Descent, shown: Frame) -> Frame:
    """The frame with the images of `shown` and the state of the descent."""
    frames = [
        -(-steps // chunk) for steps, chunk in zip((cfg.autoencoder_steps, cfg.denoiser_steps), CHUNKS, strict=True)
    ]
    past = sum(frames[:phase]) + frames[phase] * descent.step / descent.steps
    return shown._replace(
        phase=phase, step=descent.step, progress=past / sum(frames), loss=descent.loss, loss_ema=descent.loss_ema
    )


def _judged(data: str, images: Tensor, sigma: float, calls: int, step: int = 0) -> Frame:
    """A frame of the sampling with these images (60, h, w)."""
    right = float((nearest_label(data, images) == asked()).double().mean())
    shown, labels = (part.cpu().numpy().copy() for part in (images, asked()))
    error = sqrt(right * (1 - right) / len(images))
    return Frame(2, step, 1.0, nan, nan, sigma, calls, right, error, shown, labels, np.empty(0, np.float32))


def nearest_label(data: str, images: Tensor) -> Tensor:
    """What the nearest of the real pictures shows: (n, h, w) -> (n,) (Cover and Hart, 1967).

    It reads 97 % of fresh glyphs and 99 % of the held-out real digits.
    """
    train, labels, _ = pictures(data)
    return labels[torch.cdist(images.flatten(1), train[:KNOWN].flatten(1)).argmin(1)]


def _walk(cfg: Config, known: Trained) -> Iterator[State]:
    """The sampler's states on the way from noise to sixty codes."""
    rng = generator(cfg.noise)
    start = torch.randn(CLASSES * EACH, CODE, generator=rng).to(DEVICE)
    denoise = known.denoiser(asked(), cfg.guidance_scale)
    return SAMPLERS[cfg.sampler](denoise, NOISY, cfg.num_inference_steps, start, normal(rng))


def _show(cfg: Config, known: Trained, state: State, step: int = 0) -> Frame:
    sigma = (1 / state.alpha_bar - 1) ** 0.5
    return _judged(cfg.data, known.codec.decode(state.x), sigma, state.calls, step)


def trained(cfg: Learning) -> Trained:
    """What the training with these settings leaves behind; trains to the end if nobody has yet."""
    return unpack(cfg.data, record(learn, cfg).wind().frames[-1].weights)


def progress(cfg: Learning) -> Iterator[Frame]:
    """The frames of the training, from the tape that all views share: those of the past cost nothing."""
    tape, seen = record(learn, cfg), 0
    while seen < len(tape.frames) or not tape.done:
        if seen == len(tape.frames):
            tape.wind(0)
        else:
            yield tape.frames[seen]
            seen += 1


def sample(cfg: Config) -> Iterator[Frame]:
    """The sampling alone: its first frame waits for the training, the others take a few milliseconds each."""
    known = trained(cfg.learning)
    for step, state in enumerate(_walk(cfg, known)):
        yield _show(cfg, known, state, step)


def run(cfg: Config) -> Iterator[Frame]:
    """The training as it goes, then the sampling. Nothing but `cfg.learning` makes it train again."""
    yield from progress(cfg.learning)
    yield from sample(cfg)
