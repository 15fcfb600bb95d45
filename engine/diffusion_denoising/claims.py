"""Every statement of the sheet on denoising and diffusion, put to the test with the engine's own functions."""

import math

import torch
from torch import Tensor

from engine.claim import Evidence, claim
from engine.data.points import Mixture, eight_gaussians, moons
from engine.device import DEVICE, generator
from engine.diffusion_denoising import langevin, score
from engine.diffusion_denoising.model import predict_noise
from engine.diffusion_denoising.samplers import State, ddim, ddpm, ddpm_step, last, normal
from engine.diffusion_denoising.schedules import add_noise
from engine.diffusion_denoising.trials import (
    LINEAR,
    backward,
    chain_variance,
    correlation,
    crossing_rate,
    descend,
    gaussians,
    line,
    noise_hat,
    share_right,
    slope_of,
    step_of_loss,
    trained,
)
from engine.distance import Truth


@claim("DAE-1")
def denoiser_is_score() -> Evidence:
    """The closed-form denoiser against autograd at three noise levels, its limit for small noise, and a trained one.

    The order of the approach to the clean score is asked to be 1.7 to 2.1: it is 2 only in the limit of small noise.
    """
    p, sigmas = gaussians(), torch.logspace(-1.3, -0.5, 9, dtype=torch.float64)
    x = p.sample(2000, generator(0)).double().cpu()
    gap = 0.0
    for sigma in (0.1, 0.5, 2.0):
        at = x.clone().requires_grad_(True)
        exact = slope_of(p.noised(1.0, sigma).log_density(at), at)
        gap = max(gap, float(((p.denoise(x, sigma) - x) / sigma**2 - exact).abs().max()))
    residuals = [(p.denoise(x, s) - x) / s**2 for s in sigmas.tolist()]
    misses = torch.tensor([score.relative(residual, p.score(x)) for residual in residuals])
    order, _ = line(sigmas.log(), misses.log())
    *_, end = score.run(score.Config(data="moons", sigma=0.3))
    numbers = {
        "largest |(r*(x) − x)/σ² − ∇log p_σ|, closed form": gap,
        "order in σ of the distance to ∇log p": order,
        "relative error of a trained autoencoder, σ = 0.3": end.relative_error,
    }
    return Evidence(gap < 1e-10 and 1.7 < order < 2.1 and end.relative_error < 0.1, numbers)


@claim("DAE-2")
def score_of_an_energy() -> Evidence:
    """An unnormalised energy of three Gaussians by autograd against the exact score, its integral over a grid
    against 1, and the residual of the best denoiser for little noise against both."""
    p = gaussians()
    x = p.sample(2000, generator(0)).double().cpu().requires_grad_(True)

    def energy(at: Tensor) -> Tensor:  # known up to a constant, as energies are
        return 7.0 - p.log_density(at)

    force = -slope_of(energy(x), x)
    gap = float((force - p.score(x.detach())).abs().max())
    axis = torch.linspace(-8, 8, 801, dtype=torch.float64)
    places = torch.cartesian_prod(axis, axis)
    height = (-energy(places)).exp()
    density = height / (height.sum() * (16 / 800) ** 2)
    offset = float((density - p.log_density(places).exp()).abs().max())
    residual = score.relative((p.denoise(x.detach(), 0.02) - x.detach()) / 0.02**2, force)
    numbers = {
        "largest |∇log p + ∇E|": gap,
        "largest |e^(−E)/Z − p|": offset,
        "relative distance of (r*(x) − x)/σ² to −∇E, σ = 0.02": residual,
    }
    return Evidence(gap < 1e-10 and offset < 1e-10 and residual < 0.01, numbers)


@claim("LAN-1")
def finite_step_bias() -> Evidence:
    """The variance of 8000 chains on N(0, 1) at four step sizes against 1 / (1 − ε/2), within 3 standard errors,
    and whether chains are lost at ε = 1.95 and at 2.05."""
    numbers, worst = {}, 0.0
    for step_size in (0.1, 0.5, 1.0, 1.5):
        seen, error = chain_variance(step_size)
        exact = langevin.stationary_variance(1.0, step_size)
        numbers |= {f"variance at ε = {step_size:g}": seen, f"1/(1 − ε/2) at ε = {step_size:g}": exact}
        worst = max(worst, abs(seen - exact) / error)
    kept, lost = step_of_loss(1.95), step_of_loss(2.05)
    numbers |= {"largest deviation, in standard errors": worst, "a chain is lost at ε = 2.05 in step": lost}
    return Evidence(worst <= 3 and kept == -1 and lost > 0, numbers)


@claim("LAN-2")
def crossing_takes_exponentially_long() -> Evidence:
    """Crossings between two Gaussians at five barriers, the bias of the variance at two step sizes, and the share
    of chains in the right mode with and without annealing."""
    rates, barriers = torch.tensor([crossing_rate(gap) for gap in (4.0, 5.0, 6.0, 7.0, 7.5)]).unbind(1)
    slope, fit = line(barriers, rates.log())
    (small, error_small), (large, error_large) = (chain_variance(step_size, 16_000) for step_size in (0.1, 0.2))
    doubt = math.hypot(error_large, 2 * error_small)
    stuck, mended = share_right(False), share_right(True)
    numbers = {
        "R² of log crossing rate on the barrier": fit,
        "log crossing rate per nat of barrier": slope,
        f"steps for a crossing at {float(barriers[0]):.1f} nats": float(1 / rates[0]),
        f"steps for a crossing at {float(barriers[-1]):.1f} nats": float(1 / rates[-1]),
        "bias of the variance at ε = 0.1": small - 1,
        "bias of the variance at ε = 0.2": large - 1,
        "share in the right mode, true": mended.weight_right,
        "share in the right mode, K = 600 (all start left)": stuck.share_right,
        "share in the right mode, annealed": mended.share_right,
        "… standard error": mended.share_error,
    }
    holds = fit > 0.95 and slope < -0.5 and abs(large - 1 - 2 * (small - 1)) <= 3 * doubt + 0.01
    holds &= stuck.share_right < 0.1 and abs(mended.share_right - mended.weight_right) <= 3 * mended.share_error
    return Evidence(holds, numbers)


@claim("DIF-1")
def alpha_bar_is_a_product() -> Evidence:
    """1000 one-step kernels in a row against add_noise with ᾱ_t at every t, then clouds of moons at t = T with ᾱ_T
    and with α_T."""
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    signal, variance, gap = one, zero, 0.0
    for alpha, bar in zip(LINEAR.alphas, LINEAR.alpha_bar, strict=True):
        signal = add_noise(signal, zero, alpha)
        variance = add_noise(variance.sqrt(), zero, alpha) ** 2 + add_noise(zero, one, alpha) ** 2
        jump = add_noise(one, zero, bar), add_noise(zero, one, bar) ** 2
        gap = max(gap, float((signal - jump[0]).abs()), float((variance - jump[1]).abs()))
    rng = generator(0)
    x0 = moons().sample(20_000, rng)
    noise = torch.randn(x0.shape, generator=rng).to(x0)
    right, printed = (correlation(add_noise(x0, noise, level[-1]), x0) for level in (LINEAR.alpha_bar, LINEAR.alphas))
    numbers = {
        "largest gap between 1000 single steps and the ᾱ_t form": gap,
        "corr(x_T, x₀) with ᾱ_T": right,
        "corr(x_T, x₀) as printed, with α_T": printed,
        "standard error of the first": 1 / math.sqrt(x0.numel()),
    }
    return Evidence(gap < 1e-12 and abs(right - float(LINEAR.alpha_bar[-1]) ** 0.5) < 0.02 and printed > 0.98, numbers)


@claim("DIF-2")
def descent_not_ascent() -> Evidence:
    """The loss of a fresh noise predictor on one large batch before and after 1 and 5 gradient steps, with a minus
    and with the printed plus, for five seeds (the numbers are of the first)."""
    courses = [(descend(-0.1, seed), descend(+0.1, seed)) for seed in range(5)]
    down, up = courses[0]
    numbers = {
        "loss before": down[0],
        "loss after one step with −": down[1],
        "loss after 5 steps with −": down[5],
        "loss after one step with +, as printed": up[1],
        "loss after 5 steps with +, as printed": up[5],
    }
    return Evidence(all(a[5] < a[1] < a[0] == b[0] < b[1] < b[5] for a, b in courses), numbers)


@claim("DIF-5")
def minimiser_is_conditional_mean() -> Evidence:
    """A network trained on L_simple against E[ε | x_t] of three Gaussians, at 100 values of t with 500 points each:
    the root mean square distance over the root mean square of E[ε | x_t] below 5 %; and the loss of both."""
    p, rng, n = gaussians(), generator(1), 500
    weights, sums = trained(p), torch.zeros(4, dtype=torch.float64)
    for bar in LINEAR.alpha_bar[::10].tolist():
        noise = torch.randn(n, 2, generator=rng).to(DEVICE)
        x_t = add_noise(p.sample(n, rng), noise, bar)
        best, level = predict_noise(p.denoise, x_t, bar), torch.full((n, 1), bar, device=DEVICE)
        with torch.no_grad():
            found = noise_hat(weights, x_t, level)
        squares = ((found - best), best, (found - noise), (best - noise))
        sums += torch.tensor([float(one.square().mean()) / 100 for one in squares])
    away, size, loss, least = sums.tolist()
    numbers = {
        "relative distance of the network to E[ε | x_t]": math.sqrt(away / size),
        "loss of the network": loss,
        "loss of E[ε | x_t] itself, the least there is": least,
    }
    return Evidence(math.sqrt(away / size) < 0.05 and loss > least, numbers)


@claim("DIF-3")
def sampling_starts_from_noise() -> Evidence:
    """DDIM with the exact denoiser of eight Gaussians, 50 calls, once from N(0, I) and once from N(x₀, I): what of
    x₀ is left in x_T and in the samples, and how far the samples are from the data."""
    p, rng, n = eight_gaussians(), generator(0), 2000
    truth, x0 = Truth(p.sample, n, rng), p.sample(n, rng)
    z = torch.randn(n, 2, generator=rng).to(x0)
    numbers, drawn = {"sliced W2 of true samples to the data": truth.floor}, {}
    for form, x_T in (("", z), (" as printed", x0 + z)):
        drawn[form] = last(ddim(p.denoise, LINEAR, 50, x_T, normal(rng))).x
        numbers[f"corr(x_T, x₀){form}"] = correlation(x_T, x0)
        numbers[f"corr(sample, x₀){form}"] = correlation(drawn[form], x0)
        numbers[f"sliced W2 of samples to the data{form}"] = truth(drawn[form])
    error = 1 / math.sqrt(2 * n)
    right = abs(numbers["corr(x_T, x₀)"]) < 4 * error and abs(numbers["corr(sample, x₀)"]) < 4 * error
    leaks = numbers["corr(x_T, x₀) as printed"] > 0.6 and numbers["corr(sample, x₀) as printed"] > 0.3
    fits = truth(drawn[""]) < truth.floor + 4 * truth.spread
    return Evidence(right and leaks and fits, numbers)


@claim("DIF-4")
def reverse_step() -> Evidence:
    """The mean and the variance that 1000 reverse steps leave of N(2, 0.5²), exactly, in three forms: with each of
    the two σ_t within 2 % of the data's, as printed off by more than a factor of 10."""
    p = Mixture(torch.full((1, 2), 2.0).double(), torch.ones(1).double(), torch.tensor([0.5]).double())
    numbers, right = {"mean of the data": 2.0, "variance of the data": 0.25}, True
    for name, form in (("posterior", "smaller σ_t"), ("wide", "larger σ_t"), ("printed", "as printed")):
        mean, variance = backward(p, name)
        numbers |= {f"mean, {form}": mean, f"variance, {form}": variance}
        right &= name == "printed" or (abs(mean / 2 - 1) < 0.02 and abs(variance / 0.25 - 1) < 0.02)
    return Evidence(right and numbers["variance, as printed"] > 10 * 0.25, numbers)


@claim("DIF-6")
def last_step_is_deterministic() -> Evidence:
    """The draws of noise in 1000 DDPM steps on eight Gaussians, counted, and the last step taken 20 times from the
    same x_1, each time offered fresh noise."""
    p, rng, draws = eight_gaussians(), generator(0), []

    def counted(x: Tensor) -> Tensor:
        draws.append(x)
        return torch.randn(x.shape, generator=rng).to(x)

    states: list[State] = list(ddpm(p.denoise, LINEAR, 1000, torch.randn(100, 2, generator=rng).to(DEVICE), counted))
    before, end = states[-2], states[-1]
    noise_hat = predict_noise(p.denoise, before.x, before.alpha_bar)
    again = [ddpm_step(before.x, noise_hat, before.alpha_bar, end.alpha_bar, counted(before.x)) for _ in range(20)]
    numbers = {
        "steps": len(states) - 1,
        "draws of noise": len(draws) - 20,
        "largest difference between 20 last steps": max(float((x - end.x).abs().max()) for x in again),
    }
    return Evidence(
        numbers["draws of noise"] == 999 and numbers["largest difference between 20 last steps"] == 0, numbers
    )
