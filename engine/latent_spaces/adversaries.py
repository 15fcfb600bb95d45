"""Networks that tell the codes of a batch from the prior, and so say where the codes should go."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from engine.device import DEVICE
from engine.nets import Adam, ResidualMLP

WIDTH, DEPTH = 48, 2
STEP_SIZE, BETAS = 5e-3, (0.5, 0.9)
SLOPE = 1.0  # weight of the gradient penalty; Gulrajani et al. (2017) take 10, which here matched the prior more slowly


class Adversary:
    """A network f of k numbers that learns from each batch of codes before it says how to move them."""

    turns = 1  # steps on each batch

    def __init__(self, k: int, rng: torch.Generator) -> None:
        self.net, self.rng = ResidualMLP(k, 1, WIDTH, DEPTH), rng
        self.weights = self.net.init(rng).to(DEVICE).requires_grad_()
        self._adam = Adam(self.weights, BETAS)

    def learn(self, codes: Tensor) -> None:
        """One step against these codes (n, k) and as many fresh draws of the prior."""
        drawn = torch.randn(codes.shape, generator=self.rng).to(codes)
        (slope,) = torch.autograd.grad(self.wrong(codes, drawn), self.weights)
        self._adam(slope, STEP_SIZE)

    def __call__(self, codes: Tensor, weights: Tensor | None = None) -> Tensor:
        """f: (n, k) -> (n,)."""
        return self.net(self.weights if weights is None else weights, codes)[:, 0]

    def wrong(self, codes: Tensor, drawn: Tensor) -> Tensor:
        """What the adversary minimises."""
        raise NotImplementedError

    def pull(self, codes: Tensor) -> Tensor:
        """What the encoder minimises, after the adversary has learned from these codes (n, k)."""
        for _ in range(self.turns):
            self.learn(codes.detach())
        return self.blame(self(codes, self.weights.detach()))

    def blame(self, found: Tensor) -> Tensor:
        """The encoder's loss, from the f of its codes (n,)."""
        raise NotImplementedError


class Discriminator(Adversary):
    """η = 1 / (1 + e^−f), the guessed probability that a code came from the prior (Makhzani et al. 2015)."""

    def wrong(self, codes: Tensor, drawn: Tensor) -> Tensor:
        """−E_p log η − E_q log(1 − η)."""
        true, false = self(torch.cat([drawn, codes])).split([len(drawn), len(codes)])
        return softplus(-true).mean() + softplus(false).mean()

    def blame(self, found: Tensor) -> Tensor:
        """−E_q log η: the form with the stronger pull where η is near 0 (Goodfellow et al. 2014, sec. 3)."""
        return softplus(-found).mean()


class Critic(Adversary):
    """f with a slope held near 1, so that E_p f − E_q f tells of W1 (Arjovsky et al. 2017; Gulrajani et al. 2017).

    With so soft a penalty a cloud that lies W1 away gets the slope 1 + W1 / 2: far codes are pulled harder.
    """

    turns = 2

    def wrong(self, codes: Tensor, drawn: Tensor) -> Tensor:
        """E_q f − E_p f + (‖∇f‖ − 1)², the last at places between the two."""
        share = torch.rand(len(codes), 1, generator=self.rng).to(codes)
        between = (share * codes + (1 - share) * drawn).requires_grad_()
        (slope,) = torch.autograd.grad(self(between).sum(), between, create_graph=True)
        steep = (slope.norm(dim=1) - 1).square().mean()
        false, true = self(torch.cat([codes, drawn])).split([len(codes), len(drawn)])
        return false.mean() - true.mean() + SLOPE * steep

    def blame(self, found: Tensor) -> Tensor:
        """−E_q f."""
        return -found.mean()
