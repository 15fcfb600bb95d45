"""One picture drowned in noise and brought back, step by step: a held-out one, or one that you draw or upload."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from engine.data.drawing import SIDE, centred, check_picture, decode_picture
from engine.device import DEVICE, generator
from engine.diffusion_denoising import digits
from engine.diffusion_denoising.autoencoder import pictures
from engine.diffusion_denoising.samplers import SAMPLERS, State, normal
from engine.diffusion_denoising.schedules import Schedule, add_noise, from_betas
from engine.knob import knob

PHASES = ("learning", "forward", "reverse")
FORWARD = 24  # frames of the way into the noise
MOST = 20_000_000  # pixels of an upload
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
FAINTEST = 0.06  # contrast of the ink on an upload, as a share of white over black


def read_picture(data: bytes) -> np.ndarray:
    """An uploaded picture as a drawing: (28, 28) float32, 0 paper and 1 ink, cropped, scaled and centred.

    The paper is what most of the edge shows; ink is what is darker than it, or lighter, whichever there is more of.
    Of an animation the first picture counts. Raises ValueError for no picture, over 20 megapixels, or a blank one.
    """
    grey = _grey(_opened(data))
    away = grey - np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]))
    ink = max(away.clip(0), -away.clip(None, 0), key=lambda side: float(np.square(side).sum()))
    if ink.max() < FAINTEST:
        raise ValueError("expected ink on paper, saw a picture of a single shade")
    return centred((ink / ink.max() * 2 - 0.5).clip(0, 1).astype(np.float32), SIDE)


def _opened(data: bytes) -> Image.Image:
    """The first picture in the file, upright and decoded, at most 512 pixels a side."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError("expected a picture of at most 20 megapixels, saw far more") from None
    except Exception as broken:  # a format's reader may fail in its own way on damaged bytes
        raise ValueError(f"expected a PNG or JPEG picture, saw {_seen(data)}") from broken
    if image.width * image.height > MOST:
        raise ValueError(f"expected a picture of at most 20 megapixels, saw {image.width} by {image.height} pixels")
    try:
        image = ImageOps.exif_transpose(image)
        image = image if image.mode[0] in "IF" else image.convert("RGBA")
        image.thumbnail((512, 512))
    except Exception as broken:
        raise ValueError(f"expected a PNG or JPEG picture, saw a damaged {image.format or 'one'}") from broken
    return image


def _seen(data: bytes) -> str:
    """The first bytes of what is no picture, in words."""
    if not data:
        return "an empty file"
    start = data[:24].decode("ascii", "replace")
    return f"a file that begins with “{start}”" if start.isprintable() else f"{len(data):,} bytes of something else"


def _grey(image: Image.Image) -> np.ndarray:
    """Brightness (h, w) in [0, 1]; what is transparent becomes white, or black where the rest is light."""
    if image.mode != "RGBA":
        depth = np.nan_to_num(np.asarray(image, np.float64))
        return (depth - depth.min()) / max(np.ptp(depth), 1e-9)
    light, alpha = np.asarray(image.convert("LA"), np.float64).transpose(2, 0, 1) / 255
    paper = float((light * alpha).sum() < 0.5 * alpha.sum())
    return light * alpha + paper * (1 - alpha)


@dataclass(frozen=True)
class Config(digits.Config):
    """The settings of the view: which picture, how deep into the noise, and what to bring back."""

    num_inference_steps: int = knob(24, "sampler steps", 1, 100, log=True, help="of the way back", folded=True)
    timestep: int = knob(600, "noise up to step", 0, 999, symbol="t", help="of 1000: where the way back begins")
    label: str = knob(
        "unknown",
        "bring back",
        choices={"unknown": "whatever it was"} | {str(k): f"a {k}" for k in range(digits.CLASSES)},
        help="what the network is told that the picture shows",
    )
    index: int = knob(3, "held-out picture", 0, 99, help="the last figure is the numeral that it shows")
    picture: str = knob("", "your picture", text=check_picture)


class Frame(NamedTuple):
    """The picture at one moment of its way into the noise or back."""

    phase: int  # index into PHASES
    step: int  # frame of the phase
    progress: float  # of the training, 0 to 1
    t: int  # noise step, 0 to 999; -1 is no noise
    alpha_bar: float  # share of signal in the code's variance
    sigma: float  # noise over signal
    calls: int  # of the denoiser on the way back so far; guidance asks the network twice in each
    image: np.ndarray  # (h, w) in [0, 1] the noisy code, decoded
    denoised: np.ndarray  # (h, w) in [0, 1] the network's guess of the clean code, decoded
    pixels: np.ndarray  # (h, w) in [0, 1] the same noise level in pixel space; on the way back it rests
    code: np.ndarray  # (16,) the noisy code x_t
    truth: np.ndarray  # (h, w) in [0, 1] the picture itself
    reads: int  # what the nearest real picture to `denoised` shows; -1 while learning


def chosen(cfg: Config) -> Tensor:
    """The picture (h, w) on DEVICE, in the size of the data: the drawn one if there is one, else the held-out one."""
    test = pictures(cfg.data).test
    if not cfg.picture:
        return test[cfg.index]
    return torch.from_numpy(centred(decode_picture(cfg.picture), test.shape[-1])).to(DEVICE)


def noisy_pixels(picture: Tensor, noise: Tensor, alpha_bar: float) -> Tensor:
    """x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) noise on pixels scaled to [-1, 1]; shown in [0, 1], clipped."""
    return (add_noise(2 * picture - 1, noise, alpha_bar) / 2 + 0.5).clamp(0, 1)


def up_to(t: int) -> Schedule:
    """The noise schedule cut off after step t: its last level is where the way back begins."""
    return from_betas(digits.NOISY.betas[: t + 1])


class _Scene:
    """One picture, its code, the noise that will drown both, and the network that knows such pictures."""

    def __init__(self, cfg: Config) -> None:
        self.cfg, self.known, self.levels = cfg, digits.trained(cfg.learning), up_to(cfg.timestep)
        self.rng, self.truth = generator(cfg.noise), chosen(cfg)
        self.clean = self.known.codec.encode(self.truth[None])
        self.noise = torch.randn(self.clean.shape, generator=self.rng).to(DEVICE)
        self.grain = torch.randn(self.truth.shape, generator=self.rng).to(DEVICE)
        label = digits.UNKNOWN if cfg.label == "unknown" else int(cfg.label)
        self.denoise = self.known.denoiser(torch.tensor([label], device=DEVICE), cfg.guidance_scale)

    def forward(self) -> Iterator[Frame]:
        """Into the noise, along one draw of it."""
        for step, t in enumerate([-1, *reversed(self.levels.timesteps(FORWARD))]):
            bar = float(self.levels.alpha_bar[t]) if t >= 0 else 1.0
            x = add_noise(self.clean, self.noise, bar)
            guess = self.denoise(x / bar**0.5, (1 / bar - 1) ** 0.5) if t >= 0 else x
            yield self._frame(1, step, t, State(x, guess, bar, 0), bar)

    def reverse(self) -> Iterator[Frame]:
        """Back from there (Meng et al. 2022, SDEdit)."""
        steps, bar = self.cfg.num_inference_steps, float(self.levels.alpha_bar[-1])
        start = add_noise(self.clean, self.noise, bar)
        walk = SAMPLERS[self.cfg.sampler](self.denoise, self.levels, steps, start, normal(self.rng))
        for step, (t, state) in enumerate(zip([*self.levels.timesteps(steps), -1], walk, strict=True)):
            yield self._frame(2, step, t, state, bar)

    def _frame(self, phase: int, step: int, t: int, state: State, grain_bar: float) -> Frame:
        image, guess = self.known.codec.decode(torch.cat([state.x, state.denoised]))
        pixels = noisy_pixels(self.truth, self.grain, grain_bar)
        bar, reads = state.alpha_bar, int(digits.nearest_label(self.cfg.data, guess[None]))
        parts = (part.cpu().numpy().copy() for part in (image, guess, pixels, state.x[0], self.truth))
        image, guess, pixels, code, truth = parts
        sigma = (1 / bar - 1) ** 0.5
        return Frame(phase, step, 1.0, t, bar, sigma, state.calls, image, guess, pixels, code, truth, reads)


def walk(cfg: Config) -> Iterator[Frame]:
    """Into the noise and back; the first frame waits for the training, the others take some milliseconds each.

    Both ways are walked in the space of the autoencoder's standardised code, 16 numbers, and decoded for the eye. The
    `pixels` beside them are noised in pixel space, where the forward process looks as in the books.
    """
    scene = _Scene(cfg)
    yield from scene.forward()
    yield from scene.reverse()


def run(cfg: Config) -> Iterator[Frame]:
    """The picture at rest while the network learns, then `walk`."""
    still, code = chosen(cfg).cpu().numpy().copy(), np.zeros(digits.CODE, np.float32)
    for step, seen in enumerate(digits.progress(cfg.learning)):
        yield Frame(0, step, seen.progress, -1, 1.0, 0.0, 0, still, still, still, code, still, -1)
    yield from walk(cfg)
