"""Latent spaces against scikit-learn and pythae (Chadebec et al. 2022), each on one thread, on the real digits."""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA as SkPCA
from torch import Tensor

from engine.device import generator
from engine.latent_spaces import dial, gap
from engine.latent_spaces.data import examples
from engine.latent_spaces.learning import Learning
from engine.latent_spaces.methods import Training
from engine.latent_spaces.pca import pca
from engine.tape import Tape
from tests.bench.row import Row, row, said

SEEDS, GOAL, DRAWS = 3, 25.0, 5  # −ELBO in nats per held-out digit, averaged over draws of the code
STEPS, CHECK = 400, 10  # of our training, and how often it is looked at
CLEAN = 0.97  # of held-out codes have a nearest one of their class: ten classes apart
EPOCHS = 60  # of theirs, at most
SHIPPED = {"learning_rate": 1e-4, "per_device_train_batch_size": 64}
TUNED = [{"learning_rate": lr, "per_device_train_batch_size": n} for lr in (1e-3, 3e-3, 1e-2) for n in (32, 64, 128)]
SIX = ("pca", "linear", "deep", "vae", "aae", "wae_sw")


def components() -> Iterator[Row]:
    """The PCA of the digits, against scikit-learn's."""
    x = examples("digits").train.flatten(1).double()
    ours, theirs = pca(x, 40), SkPCA(40, svd_solver="full").fit(x.numpy())
    sign = np.sign((ours.components.numpy() * theirs.components_).sum(1, keepdims=True))
    worst = [
        np.abs(ours.components.numpy() * sign - theirs.components_).max(),
        np.abs(ours.explained_variance.numpy() - np.asarray(theirs.explained_variance_)).max(),
        np.abs(ours.explained_variance_ratio.numpy() - np.asarray(theirs.explained_variance_ratio_)).max(),
    ]
    yield row("pca", "largest difference from scikit-learn, up to sign", "", worst, "goal 1e-10")


@dataclass
class Clock:
    """Seconds of training alone, and what was seen at each stop."""

    started: float = field(default_factory=time.perf_counter)
    spent: float = 0.0
    seen: list[tuple[float, float]] = field(default_factory=list)

    def stop(self, value: Callable[[], float]) -> float:
        """Note the value; the time that it takes does not count."""
        self.spent += time.perf_counter() - self.started
        found = value()
        self.seen.append((self.spent, found))
        self.started = time.perf_counter()
        return found

    def reached(self, goal: float) -> float:
        """Seconds until the value was at most the goal; NaN if never."""
        return next((seconds for seconds, value in self.seen if value <= goal), float("nan"))

    def stays(self, goal: float) -> float:
        """Seconds until the value was at most the goal for good; NaN if it was not in the end."""
        over = max((i for i, (_, value) in enumerate(self.seen) if value > goal), default=-1)
        return self.seen[over + 1][0] if over + 1 < len(self.seen) else float("nan")


@torch.no_grad()
def held_out(elbo: Callable[[Tensor, int], float]) -> float:
    """−ELBO over the held-out digits, mean of a few draws."""
    return float(np.mean([elbo(examples("digits").test, s) for s in range(DRAWS)]))


def ours(seed: int) -> Clock:
    """Our two-dimensional VAE, until its cosine has come down to the goal or its steps are spent."""
    clock = Clock()
    training = Training(examples("digits").train, "vae", 2, 1.0, STEPS, seed)
    while not training.done:
        training.advance(CHECK)
        if clock.stop(lambda: held_out(lambda x, s: -float(training.model().elbo(x, generator(s)).mean()))) <= GOAL:
            break
    return clock


def theirs(seed: int, settings: dict[str, Any], epochs: int = EPOCHS) -> Clock:
    """pythae's VAE with its own network and trainer, looked at after every epoch."""
    models, trainers = (import_module(f"pythae.{room}") for room in ("models", "trainers"))
    torch.manual_seed(seed)
    model = models.VAE(models.VAEConfig(input_dim=(64,), latent_dim=2, reconstruction_loss="bce"))
    x = examples("digits").train.flatten(1)

    def elbo(test: Tensor, draw: int) -> float:
        torch.manual_seed(draw)
        return float(model({"data": test.flatten(1)}).loss)

    class Watch(import_module("pythae.trainers.training_callbacks").TrainingCallback):
        def on_epoch_end(self, training_config, **kwargs):
            state = torch.random.get_rng_state()
            model.eval()
            clock.stop(lambda: held_out(elbo))
            model.train()
            torch.random.set_rng_state(state)

    with tempfile.TemporaryDirectory() as folder:
        config = trainers.BaseTrainerConfig(output_dir=folder, num_epochs=epochs, seed=seed, no_cuda=True, **settings)
        trainer = trainers.BaseTrainer(model, Pictures(x), training_config=config, callbacks=[Watch()])
        clock = Clock()
        trainer.train()
    return clock


class Pictures(torch.utils.data.Dataset):
    """Rows as pythae's trainer wants them."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"data": self.x[index]}


def elbos() -> Iterator[Row]:
    """Seconds until −ELBO ≤ 25.0: ours, pythae as shipped, and pythae at the best of nine settings."""
    ours(99)  # the first training of a process imports much
    mine = [ours(seed) for seed in range(SEEDS)]
    spent = [clock.reached(GOAL) for clock in mine]
    yield row("vae", "2-D VAE, −ELBO ≤ 25.0", "s", spent)
    if find_spec("pythae") is None:
        yield said("vae", "pythae is not installed: nothing to compare with")
        return
    yield row("vae", "pythae as shipped, same", "s", [theirs(s, SHIPPED).reached(GOAL) for s in range(SEEDS)],
              f"lr 1e-4, {EPOCHS} epochs at most")  # fmt: skip
    best = min(TUNED, key=lambda settings: np.nan_to_num(theirs(99, settings).reached(GOAL), nan=np.inf))
    tuned = [theirs(seed, best).reached(GOAL) for seed in range(SEEDS)]
    yield row("vae", "pythae at the best of nine settings, same", "s", tuned, str(best))
    yield row("vae", "times faster than pythae, tuned", "x", [np.median(tuned) / np.median(spent)], "goal 3")


def prior(method: str, beta: float, steps: int, seed: int) -> tuple[Clock, float]:
    """A training until its codes are as near to the prior as asked, and how near they are in the end, in floors."""
    x, clock = examples("digits").train, Clock()
    least, training = gap.floor(len(x), 2).sliced, Training(x, method, 2, beta, steps, seed)

    @torch.no_grad()
    def ratio() -> float:
        return gap.sliced(training.model().encode(x)) / least

    while not training.done:
        training.advance(CHECK)
        clock.stop(ratio)
    return clock, clock.seen[-1][1]


def priors() -> Iterator[Row]:
    """How soon the codes of all digits are within 1.2 floors of the prior and stay so, and where they end.

    The floor is what as many samples of the prior have.
    """
    for method, beta, steps in (
        ("aae", 1.0, 800),
        ("wae_sw", 3.0, 600),
        ("wae_mmd", 1.0, 800),
        ("wae_critic", 1.0, 800),
    ):
        found = [prior(method, beta, steps, seed) for seed in range(SEEDS)]
        yield row(
            "prior",
            f"{method}: sliced W₂ over the floor after {steps} steps",
            "x",
            [end for _, end in found],
            "goal 1.2",
        )
        yield row(
            "prior", f"{method}: training until at most 1.2 for good", "s", [c.stays(1.2) for c, _ in found], "goal 3"
        )
        yield row("prior", f"{method}: training", "s", [c.spent for c, _ in found])


def manifold() -> Iterator[Row]:
    """The page's first view, all of its frames: a VAE of glyphs with two dimensions."""
    clean, spent, near, frames = [], [], [], []
    for seed in range(SEEDS):
        tape, clock = Tape(dial.run(dial.Config(seed=seed))), Clock()
        while not tape.done:
            tape.wind(0)
            clock.stop(lambda tape=tape: 1 - tape.frames[-1].knn)
        clean.append(clock.stays(1 - CLEAN))
        spent.append(clock.spent)
        near.append(100 * tape.frames[-1].knn)
        frames.append(1000 * spent[-1] / len(tape.frames))
    yield row("glyphs", f"2-D VAE of glyphs, until {CLEAN:.0%} for good, with all frames", "s", clean, "goal 10")
    yield row("glyphs", "the whole training, with all frames", "s", spent)
    yield row("glyphs", "held-out codes whose nearest has their class, at the end", "%", near)
    yield row("glyphs", "a frame", "ms", frames)


def six() -> Iterator[Row]:
    """Six methods of the dial on one seed, all of their frames."""
    spent = []
    for seed in range(SEEDS):
        start = time.perf_counter()
        for method in SIX:
            Tape(dial.run(dial.Config("digits", method, seed=seed))).wind()
        spent.append(time.perf_counter() - start)
    yield row("six", f"{', '.join(SIX)}: training and all frames", "s", spent, f"goal 20; {Learning().steps} steps")


BENCHES = {"pca": components, "vae": elbos, "prior": priors, "manifold": manifold, "six": six}
