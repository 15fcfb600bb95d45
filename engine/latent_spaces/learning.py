"""One training that all views share: what is learned does not depend on how it is looked at."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.data.pictures import KEPT
from engine.device import DEVICE
from engine.knob import knob, part
from engine.latent_spaces.coder import Coder, Model
from engine.latent_spaces.data import NAMES, YOURS, Examples, examples
from engine.latent_spaces.methods import METHODS, Training
from engine.tape import record

MOST_COMPONENTS = 16
CHUNK, MOST = 12, 200  # training steps between two frames, where they are cheap; frames of a training, at most
COSTLY = {"glyphs": 6, "yours": 6, "aae": 10, "wae_critic": 6}  # steps where they are not


@dataclass(frozen=True)
class Learning:
    """The settings that the training depends on."""

    data: str = knob(
        "glyphs",
        "data",
        choices=NAMES | {YOURS: "your pictures"},
        help="what is squeezed into a few numbers and made of them again",
    )
    method: str = knob("vae", "method", choices={name: how.label for name, how in METHODS.items()})
    n_components: int = knob(2, "latent dimensions", 1, MOST_COMPONENTS, symbol="k")
    beta: float = knob(
        1.0,
        "pull to the prior",
        0.01,
        100.0,
        symbol=r"\beta",
        log=True,
        help="weight of the term that asks codes to follow the prior; methods without a prior do not use it",
    )
    steps: int = knob(900, "training steps", 50, 6000, log=True)
    seed: int = knob(0, "seed", 0, 999)
    pictures: str = knob("", "your pictures", text=KEPT.check, folded=True)

    @property
    def learning(self) -> "Learning":
        """The part of the settings that the training depends on."""
        return part(Learning, self)

    @property
    def examples(self) -> Examples:
        """What is learned from."""
        return examples(self.data, self.pictures if self.data == YOURS else "")


class Moment(NamedTuple):
    """A model after some training steps."""

    step: int
    progress: float  # 0 to 1
    loss: float  # of the last batch; NaN before the first
    weights: np.ndarray  # (p,) averaged weights of the coder
    shift: np.ndarray  # (k,)
    scale: np.ndarray  # (k,)
    adversary: np.ndarray  # (a,) weights of the adversary; (0,) where there is none


def learn(cfg: Learning) -> Iterator[Moment]:
    """The training, some 10 steps a moment, the untrained model first; the PCA is there at once."""
    training = Training(cfg.examples.train, cfg.method, cfg.n_components, cfg.beta, cfg.steps, cfg.seed)
    yield _moment(training)
    while not training.done:
        training.advance(chunk(cfg))
        yield _moment(training)


def chunk(cfg: Learning) -> int:
    """Training steps between two frames."""
    few = min(COSTLY.get(cfg.data, CHUNK), COSTLY.get(cfg.method, CHUNK))
    return max(few, -(-cfg.steps // MOST))


@torch.no_grad()
def _moment(training: Training) -> Moment:
    model, descent, how = training.model(), training.descent, training.adversary
    weights, shift, scale = (array(part) for part in (model.weights, model.shift, model.scale))
    adversary = array(how.weights) if how else np.empty(0, np.float32)
    return Moment(descent.step, descent.step / descent.steps, descent.loss, weights, shift, scale, adversary)


def restored(cfg: Learning, moment: Moment) -> Model:
    """The model of that moment, on DEVICE."""
    weights, shift, scale = (torch.tensor(part, device=DEVICE) for part in moment[3:6])
    return Model(cfg.method, coder(cfg), weights, shift, scale, cfg.examples.shape)


def coder(cfg: Learning) -> Coder:
    """The coder that these settings train."""
    return METHODS[cfg.method].coder(cfg.examples.shape, cfg.n_components)


def trained(cfg: Learning) -> Model:
    """What the training with these settings leaves behind; trains to the end if nobody has yet."""
    return restored(cfg, record(learn, cfg.learning).wind().frames[-1])


def follow(cfg: Learning) -> Iterator[Moment]:
    """The moments of the training, from the tape that all views share: those of the past cost nothing."""
    tape, seen = record(learn, cfg.learning), 0
    while seen < len(tape.frames) or not tape.done:
        if seen == len(tape.frames):
            tape.wind(0)
        else:
            yield tape.frames[seen]
            seen += 1


def array(x: Tensor) -> np.ndarray:
    """A copy for a frame: float32 on the CPU."""
    return x.detach().to("cpu", torch.float32, copy=True).numpy()
