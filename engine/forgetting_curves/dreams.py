"""A small variational autoencoder for every seed, which goes on learning from what it made up itself."""

import torch
from torch import Tensor

from engine.forgetting_curves.backprop import backward, descend, forward
from engine.forgetting_curves.memory import Examples
from engine.nets import Networks

WIDTH, CODE = 64, 4  # hidden units of encoder and decoder; numbers in a code
STEPS, BATCH, RATE = 160, 48, 6e-3  # of the training on one task: steps, new examples in each, Adam's step size
NOISE = 0.1  # standard deviation of an example around its decoded code, where it is no picture


class Dreams:
    """Variational autoencoders (Kingma & Welling, 2014), told the number of the task, each seed with its own.

    A pixel is ink with the decoded probability; examples that are no pictures are Gaussian around the decoded one.
    """

    def __init__(self, inputs: int, tasks: int, rngs: list[torch.Generator], like: Tensor) -> None:
        self.tasks, self.rngs = tasks, rngs
        self.pictures = bool(like.min() >= 0 and like.max() <= 1)
        self.encoder = Networks((inputs + tasks, WIDTH, 2 * CODE))
        self.decoder = Networks((CODE + tasks, WIDTH, inputs))
        first = [torch.cat([self.encoder.init(1, rng), self.decoder.init(1, rng)], 1) for rng in rngs]
        self.weights = torch.cat(first).to(like)
        self.kept = self.halves()[1]
        self.adam = torch.optim.Adam([self.weights], RATE, fused=True)

    def halves(self) -> list[Tensor]:
        """The weights of the encoders and of the decoders."""
        return list(self.weights.split([self.encoder.size, self.decoder.size], 1))

    def due(self, step: int, steps: int) -> int:
        """How many of the task's steps belong to step number `step` of the network's `steps`."""
        return STEPS * (step + 1) // steps - STEPS * step // steps

    def told(self, x: Tensor, task: Tensor) -> Tensor:
        """Examples or codes (s, n, d) with the number of their task (s, n) as more inputs."""
        return torch.cat([x, torch.nn.functional.one_hot(task, self.tasks).to(x)], 2)

    def normal(self, count: int) -> Tensor:
        """Standard normal numbers: (s, count, CODE)"""
        return torch.stack([torch.randn(count, CODE, generator=rng) for rng in self.rngs]).to(self.weights)

    def slope(self, x: Tensor, task: Tensor, noise: Tensor) -> Tensor:
        """The gradient of minus the evidence's bound, mean over the examples: (s, size)"""
        encoder, decoder = self.halves()
        seen = forward(self.encoder, encoder, self.told(x, task))
        mean, log_var = seen[-1].chunk(2, 2)
        std, n = (log_var / 2).exp(), x.shape[1]
        made = forward(self.decoder, decoder, self.told(mean + std * noise, task))
        wrong = made[-1].sigmoid() - x if self.pictures else (made[-1] - x) / NOISE**2
        down, back = descend(self.decoder, decoder, made[:-1], wrong / n, through=True)
        back = back[..., :CODE]
        pull = torch.cat([back + mean / n, back * noise * std / 2 + (std.square() - 1) / (2 * n)], 2)
        return torch.cat([backward(self.encoder, encoder, seen[:-1], pull), down], 1)

    def study(self, x: Tensor, number: int, old: Examples | None) -> None:
        """One step on some examples of a task (n, inputs), and on as many of those made up."""
        rows = torch.stack([torch.randint(len(x), (BATCH,), generator=rng) for rng in self.rngs]).to(x.device)
        new, task = x[rows], torch.full_like(rows, number)
        if old is not None:
            picked = [torch.randint(old.y.shape[1], (BATCH,), generator=rng) for rng in self.rngs]
            rows, seeds = torch.stack(picked).to(x.device), torch.arange(len(picked), device=x.device)[:, None]
            new, task = torch.cat([new, old.x[seeds, rows]], 1), torch.cat([task, old.task[seeds, rows]], 1)
        self.weights.grad = self.slope(new, task, self.normal(new.shape[1]))
        self.adam.step()

    def keep(self) -> None:
        """The decoders as they are now will make up the examples to rehearse."""
        self.kept = self.halves()[1].clone()

    def sample(self, count: int, tasks: int, kept: bool = False) -> tuple[Tensor, Tensor]:
        """Examples (s, count, inputs) decoded from the prior, of the first `tasks` tasks (s, count) alike.

        By the decoders as they are, or as they were `kept`.
        """
        task = torch.stack([torch.randint(tasks, (count,), generator=rng) for rng in self.rngs]).to(self.weights.device)
        made = forward(self.decoder, self.kept if kept else self.halves()[1], self.told(self.normal(count), task))[-1]
        return made.sigmoid() if self.pictures else made, task
