"""The statements of the sheet on autoencoders and their priors, put to the test on real digits and bent sheets."""

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import softplus

from engine.claim import Evidence, claim
from engine.device import DEVICE, generator
from engine.latent_spaces import axes, gap
from engine.latent_spaces.adversaries import Discriminator
from engine.latent_spaces.adversary import compared
from engine.latent_spaces.coder import Model
from engine.latent_spaces.data import examples
from engine.latent_spaces.methods import fit
from engine.latent_spaces.pca import pca
from engine.nets import Descent, ResidualMLP


@cache
def fitted(data: str, method: str, beta: float = 1.0) -> Model:
    """A model with two latent dimensions, trained once for all claims; the adversary needs the longest."""
    steps = {"aae": 600, "deep": 400}.get(method, 300)
    return fit(examples(data).train, method, beta=beta, steps=steps)


@torch.no_grad()
def error(model: Model, x: Tensor) -> float:
    """Mean of ‖x − ψ(φ(x))‖² over examples (n, *shape)."""
    return float((model.decode(model.encode(x)) - x).flatten(1).square().sum(1).mean())


@claim("AE-1")
def linear_autoencoder() -> Evidence:
    """A linear autoencoder with eight units, trained on the digits, finds the span of the first eight principal
    components and their error, not the components themselves. Where it stands on others of them, its loss curves down.
    """
    *_, last = axes.run(axes.Config(n_components=8, steps=1200))
    on = axes.problem("digits", 2)
    bends = {name: curvature(on, chosen) for name, chosen in (("first", [0, 1]), ("other", [0, 2]))}
    angle = last.angle * torch.pi / 180
    numbers = {
        "largest angle to the span of the components, radians": angle,
        "squared error over that of PCA": 1 + last.excess,
        "least |cos| of a decoder column with its nearest component": last.aligned,
        "least curvature at components 1 and 2": bends["first"],
        "least curvature at components 1 and 3, a saddle": bends["other"],
    }
    good = angle <= 1e-2 and last.excess <= 1e-3 and last.aligned < 0.95
    return Evidence(good and bends["first"] > -1e-8 and bends["other"] < -1e-2, numbers)


def curvature(on: axes.Problem, chosen: list[int]) -> float:
    """The least eigenvalue of the Hessian of the squared error where the two units are these components."""
    d = on.covariance.shape[0]
    rows = pca(examples("digits").train.flatten(1), 3).components[chosen].to(on.covariance)

    def loss(flat: Tensor) -> Tensor:
        encoder, decoder = flat.split([2 * d, 2 * d])
        return axes.squared_error(on, encoder.view(2, d), decoder.view(d, 2))

    at = torch.cat([rows.flatten(), rows.T.flatten()])
    hessian = torch.autograd.functional.hessian(loss, at, vectorize=True)
    assert isinstance(hessian, Tensor)
    return float(torch.linalg.eigvalsh(hessian)[0])


@claim("AE-2")
def discarded_eigenvalues() -> Evidence:
    """The mean squared error of the reconstruction from k principal components is the sum of the other eigenvalues of
    the covariance, for every k from 0 to 64, on the digits.
    """
    x = examples("digits").train.flatten(1).double()
    found = pca(x)
    values = found.explained_variance * (len(x) - 1) / len(x)
    gaps, printed = [], 0.0
    for k in range(x.shape[1] + 1):
        u = found.components[:k]
        codes = (x - found.mean) @ u.T
        wrong = (found.mean + codes @ u - x).square().sum(1).mean()
        gaps.append(abs(float(wrong - values[k:].sum())))
        if k == 2:
            product = found.mean + torch.cat([codes * codes, x.new_zeros(len(x), x.shape[1] - k)], 1)
            printed = float((product - x).square().sum(1).mean())
    numbers = {
        "largest gap between error and sum, over all k": max(gaps),
        "error with two components": float(values[2:].sum()),
        "as printed: coordinates times themselves": printed,
    }
    return Evidence(max(gaps) <= 1e-10 and printed > 1.1 * float(values[2:].sum()), numbers)


@claim("AE-3")
def deep_autoencoder() -> Evidence:
    """With two latent dimensions a deep autoencoder reconstructs held-out digits and points of an S-curve better than
    PCA does. Off the data it fails, how badly depends on where: points of the box around the curve and digits with ink
    and paper exchanged come back at least three times as far off; digits with shuffled pixels, at least twice.
    """
    rng, numbers, good = generator(1), {}, True
    for data, strange in (("s_curve", _boxed), ("digits", _exchanged), ("digits", _shuffled)):
        deep, plain, test = fitted(data, "deep"), fitted(data, "pca"), examples(data).test
        on, off = error(deep, test), error(deep, strange(test, rng))
        ratio, least = (off / on) ** 0.5, 2 if strange is _shuffled else 3
        numbers[f"error over that of PCA, {data}"] = on / error(plain, test)
        numbers[f"distance ‖ψ(φ(x)) − x‖, {strange.__name__[1:]} {data} over the data"] = ratio
        good &= on <= 0.7 * error(plain, test) and ratio >= least
    return Evidence(good, numbers)


def _boxed(x: Tensor, rng: torch.Generator) -> Tensor:
    """Uniform points of the box around x."""
    low, high = x.amin(0), x.amax(0)
    return low + (high - low) * torch.rand(x.shape, generator=rng).to(x)


def _exchanged(x: Tensor, rng: torch.Generator) -> Tensor:
    """Ink for paper, paper for ink."""
    return 1 - x


def _shuffled(x: Tensor, rng: torch.Generator) -> Tensor:
    """The pixels of every picture in one other order."""
    return x.flatten(1)[:, torch.randperm(x[0].numel(), generator=rng).to(x.device)].view_as(x)


@claim("AE-4")
def aggregated_or_each() -> Evidence:
    """The adversarial and the Wasserstein autoencoders bring all codes together to the prior: their MMD² to it is at
    most a fifth of a plain autoencoder's. The VAE pulls each code, and a strong pull leaves nothing of the input.
    """
    x, test = examples("digits").train[:1000], examples("digits").test
    far = {m: discrepancy(fitted("digits", m), x) for m in ("deep", "aae", "wae_mmd", "wae_sw", "vae")}
    hard = {m: fitted("digits", m, 30.0) for m in ("wae_sw", "vae")}
    with torch.no_grad():
        pulled = float(fitted("digits", "vae").terms(test, generator(2))[1].sum(1).mean())
    numbers = {f"MMD² to the prior, {name}": value for name, value in far.items()}
    numbers |= {
        "KL to the prior of a single digit's q(z | x), VAE, nats": pulled,
        "error at 30 times the pull, VAE": error(hard["vae"], test),
        "error at 30 times the pull, sliced WAE": error(hard["wae_sw"], test),
        "error of the mean digit": float((x.mean(0) - test).flatten(1).square().sum(1).mean()),
    }
    close = all(far[m] <= 0.2 * far["deep"] for m in ("aae", "wae_mmd", "wae_sw"))
    kept = numbers["error at 30 times the pull, sliced WAE"] < 0.8 * numbers["error of the mean digit"]
    lost = numbers["error at 30 times the pull, VAE"] > 0.95 * numbers["error of the mean digit"]
    return Evidence(close and kept and lost and pulled > 1, numbers)


@torch.no_grad()
def discrepancy(model: Model, x: Tensor) -> float:
    """The unbiased MMD² between codes of x drawn from q(z | x) and the prior."""
    return float(gap.mmd2(model.draw(x, generator(1)), unbiased=True))


@claim("AAE-1")
def one_weight_for_both() -> Evidence:
    """With λ around both terms the discriminator's gradient keeps its direction whatever λ is. As printed, λ changes
    which discriminator is best, and the codes are told from the prior even where they match it exactly.
    """
    rng = generator(0)
    eta = Discriminator(2, rng)
    with torch.no_grad():
        codes = fitted("digits", "deep").encode(examples("digits").train[:500])
        eta.weights.add_(0.1 * torch.randn(eta.weights.shape, generator=rng).to(eta.weights))
    drawn = torch.randn(500, 2, generator=rng).to(codes)

    def slope(of_codes: float, of_prior: float) -> Tensor:
        value = of_codes * -softplus(eta(codes)).mean() + of_prior * -softplus(-eta(drawn)).mean()
        return torch.autograd.grad(value, eta.weights)[0].double()

    correct, printed = (cosine(slope(0.1, b[0]), slope(10.0, b[1])) for b in ((0.1, 10.0), (1.0, 1.0)))
    far = {m: discrepancy(fitted("digits", m), examples("digits").train[:1000]) for m in ("aae", "deep")}
    numbers = {
        "cos of the gradients at λ = 0.1 and 10": correct,
        "as printed: the same cosine": printed,
        "as printed: best η at λ = 10 where codes match the prior; 1/2 is right": 1 / (1 + 10.0),
        "MMD² to the prior over that of a plain autoencoder": far["aae"] / far["deep"],
    }
    return Evidence(abs(correct - 1) < 1e-6 and printed < 0.9 and far["aae"] <= 0.2 * far["deep"], numbers)


def cosine(a: Tensor, b: Tensor) -> float:
    """Of the angle between two vectors."""
    return float(a @ b / (a.norm() * b.norm()))


@claim("AAE-2")
def lower_bound() -> Evidence:
    """For two Gaussians on a line, what a discriminator says of the divergence is never above 2 JS − 2 log 2 while it
    learns, and comes within 2 % of JS. On a few samples of its own it can be above, which proves nothing.
    """
    line = torch.linspace(-8, 8, 801, dtype=torch.float64)
    cell = float(line[1] - line[0])
    p, q = (
        torch.exp(-((line - m) / s).square() / 2) / (s * (2 * torch.pi) ** 0.5) for m, s in ((0.0, 1.0), (1.5, 0.7))
    )
    said, exact = learned(line, p, q, cell)
    own = overfitted(exact)
    gap_to = (exact - said[-1]) / (exact + 2 * torch.log(torch.tensor(2.0)).item())
    numbers = {
        "2 JS − 2 log 2, exact": exact,
        "largest value while it learns, less that": max(said) - exact,
        "last gap, share of 2 JS": gap_to,
        "on 20 + 20 samples of its own, above the exact value by": own,
    }
    return Evidence(max(said) <= exact + 1e-9 and 0 <= gap_to <= 0.02 and own > 0.05, numbers)


def learned(line: Tensor, p: Tensor, q: Tensor, cell: float) -> tuple[list[float], float]:
    """What a discriminator says after each of 300 steps up its exact value, and the largest value there is."""
    net = ResidualMLP(1, 1, 32, 2)
    descent, x = Descent(net.init(generator(0)), 300, 1e-2), line[:, None].float().to(DEVICE)
    density = torch.stack([p, q]).float().to(DEVICE)
    said, exact = [], 0.0
    for _ in range(descent.steps):
        odds = net(descent.weights.detach(), x)[:, 0].double().cpu()
        value, exact, _ = compared(p, q, odds, cell)
        said.append(value)
        descent(lambda w: (density * softplus(torch.tensor([-1.0, 1.0]).to(x)[:, None] * net(w, x)[:, 0])).sum() * cell)
    return said, exact


def overfitted(exact: float) -> float:
    """How far above the exact value a discriminator comes on twenty samples of each that it learned by heart."""
    rng, net = generator(1), ResidualMLP(1, 1, 32, 2)
    drawn, codes = torch.randn(20, 1, generator=rng), 1.5 + 0.7 * torch.randn(20, 1, generator=rng)
    both = torch.cat([drawn, codes]).to(DEVICE)
    sign = torch.cat([-torch.ones(20), torch.ones(20)]).to(DEVICE)
    descent = Descent(net.init(rng), 400, 2e-2)
    for _ in range(descent.steps):
        descent(lambda w: 2 * softplus(sign * net(w, both)[:, 0]).mean())
    return -2 * float(softplus(sign * net(descent.weights.detach(), both)[:, 0]).mean()) - exact
