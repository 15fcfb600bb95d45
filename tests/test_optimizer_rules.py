"""The rules against torch.optim, formulas against autograd, surfaces and schedules against what is known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_optimizer import SAM

from engine.optimizer_paths.formula import Formula, check
from engine.optimizer_paths.rules import NAMES, RULES, Hyper, Slope
from engine.optimizer_paths.schedule import LR_SCHEDULES, SCHEDULES
from engine.optimizer_paths.surfaces import SURFACES, TITLES, YOURS, surface

HYPER = Hyper(mu=0.85, beta1=0.88, beta2=0.97, alpha=0.95, eps=1e-7, weight_decay=0.1, rho=0.3)
OPTIM = {
    "gd": lambda p, lr: torch.optim.SGD(p, lr),
    "momentum": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.85),
    "nesterov": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.85, nesterov=True),
    "adagrad": lambda p, lr: torch.optim.Adagrad(p, lr, eps=1e-7),
    "rmsprop": lambda p, lr: torch.optim.RMSprop(p, lr, alpha=0.95, eps=1e-7),
    "adam": lambda p, lr: torch.optim.Adam(p, lr, betas=(0.88, 0.97), eps=1e-7),
    "adamw": lambda p, lr: torch.optim.AdamW(p, lr, betas=(0.88, 0.97), eps=1e-7, weight_decay=0.1),
}


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("name", OPTIM)
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_a_rule_steps_as_torch_optim_does(name, kind):
    gradients, start = rng().normal(size=(300, 16, 5)), rng().normal(size=(16, 5))
    theirs = torch.tensor(start, requires_grad=True)
    optimizer = OPTIM[name]([theirs], 0.03)
    w = torch.tensor(start) if kind == "torch" else start
    state, worst = RULES[name].init(w), 0.0
    for k, g in enumerate(gradients):
        theirs.grad = torch.tensor(g)
        optimizer.step()
        w, state = RULES[name].step(lambda _, g=g: torch.tensor(g) if kind == "torch" else g, w, state, HYPER, k, 0.03)
        worst = max(worst, float(abs(np.asarray(w) - theirs.detach().numpy()).max()))
    assert worst <= 1e-12


@pytest.mark.parametrize("name", [name for name in RULES if name != "newton"])
def test_a_batch_of_step_sizes_is_as_many_runs(name):
    w, sizes = torch.tensor(rng().normal(size=(3, 7))), torch.tensor([[0.01], [0.1], [0.3]], dtype=torch.float64)
    together, state, slope = w, RULES[name].init(w), lambda at: at**3 - at
    alone, states = [*w], [RULES[name].init(row) for row in w]
    for k in range(20):
        together, state = RULES[name].step(slope, together, state, HYPER, k, sizes)
        for i in range(3):
            alone[i], states[i] = RULES[name].step(slope, alone[i], states[i], HYPER, k, float(sizes[i]))
    assert torch.allclose(together, torch.stack(alone), rtol=0, atol=1e-14)


def test_sam_takes_the_gradient_rho_uphill():
    ground = surface("himmelblau")
    w = rng().normal(size=(10, 2))
    g = ground.gradient(w)
    uphill = w + 0.3 * g / np.linalg.norm(g, axis=1, keepdims=True)
    moved, _ = RULES["sam"].step(ground.gradient, w, (), HYPER, 0, 0.01)
    assert np.allclose(moved, w - 0.01 * ground.gradient(uphill), rtol=0, atol=1e-13)
    each, _ = RULES["sam"].step(ground.gradient, w, (), Hyper(rho=np.full((10, 1), 0.3)), 0, 0.01)  # type: ignore
    assert np.allclose(each, moved, rtol=0, atol=1e-13)
    assert np.isfinite(RULES["sam"].step(lambda at: 0 * at, w, (), HYPER, 0, 0.1)[0]).all()


BENT = torch.tensor(rng().normal(size=(20, 20)) / 20**0.5)
LOSSES = {
    "quadratic": lambda w: (BENT.to(w) @ w).square().sum() / 2,
    "rosenbrock": lambda w: (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2,
}


# The library rounds the gradient's length to float32 even where all else is float64: they agree to 1e-7 of rho.
# Neighbours in float32 lie up to 1.2e-7 of themselves apart, so there it must be the same number or the next.
@pytest.mark.parametrize(("kind", "allowed"), [(torch.float64, 1e-7), (torch.float32, 1.2e-7)])
@pytest.mark.parametrize(("name", "d", "lr"), [("quadratic", 20, 0.05), ("rosenbrock", 2, 3e-4)])
def test_sam_steps_as_a_library_does(name, d, lr, kind, allowed):
    def slope(w):
        at = w.detach().requires_grad_()
        return torch.autograd.grad(LOSSES[name](at), at)[0]

    def closure():
        theirs.grad = slope(theirs)
        return 0.0  # the loss, which is not looked at

    for start in rng().normal(size=(10, d)):
        theirs = torch.tensor(start, dtype=kind, requires_grad=True)
        optimizer = SAM([theirs], torch.optim.SGD, rho=Hyper().rho, adaptive=False, lr=lr)
        for k in range(50):
            w = theirs.detach().clone()
            closure()
            optimizer.step(closure)
            ours, _ = RULES["sam"].step(slope, w, (), Hyper(), k, lr)
            assert (ours - theirs).abs().max() <= allowed * w.abs().max()


def test_newton_lands_on_a_quadratic_and_says_what_it_needs():
    ground, w = surface("ravine", 300.0, YOURS, 30.0), rng().normal(size=(10, 2))
    assert abs(RULES["newton"].step(ground.slope, w, (), HYPER, 0, 1.0)[0]).max() < 1e-12
    with pytest.raises(TypeError, match="needs a Slope"):
        RULES["newton"].step(ground.gradient, w, (), HYPER, 0, 1.0)


@pytest.mark.parametrize("name", RULES)
def test_what_a_step_costs_is_what_it_asks_for(name):
    asked = []
    slope = Slope(lambda w: asked.append(1) or w, lambda w, g: asked.extend([1] * w.shape[-1]) or g)
    for d in (2, 5):
        asked.clear()
        w = np.ones(d)
        RULES[name].step(slope, w, RULES[name].init(w), HYPER, 0, 0.1)
        assert len(asked) == RULES[name].cost(d)
    assert set(RULES) == set(NAMES)


@pytest.mark.parametrize("name", [*SURFACES, "yours"])
def test_slopes_and_curvatures_are_those_of_the_loss(name):
    ground, h = surface(name, 30.0, YOURS, 20.0), 1e-5
    w = rng().uniform(ground.low, ground.high, size=(50, 2))
    for i, e in enumerate(h * np.eye(2)):
        slope = (ground.f(w + e) - ground.f(w - e)) / (2 * h)
        bend = (ground.gradient(w + e) - ground.gradient(w - e)) / (2 * h)
        assert np.allclose(ground.gradient(w)[:, i], slope, rtol=1e-5, atol=1e-5 * (1 + abs(slope).max()))
        assert np.allclose(ground.hessian(w)[..., i], bend, rtol=1e-5, atol=1e-5 * (1 + abs(bend).max()))


@pytest.mark.parametrize("name", SURFACES)
def test_known_minima_are_level_and_lowest(name):
    ground = surface(name)
    found = np.array(ground.minima)
    assert abs(ground.gradient(found)).max() < 1e-6
    assert np.nanmin(ground.f(ground.grid(100))) >= ground.f(found).max() - 1e-9
    assert ground.curvature > 0 and (np.array(ground.low) < ground.start).all()
    assert set(TITLES) == {*SURFACES, "yours"}


def test_solve_is_the_pseudoinverse():
    for ground in (surface("rosenbrock"), surface("yours", 1.0, "(x + 2*y)**2"), surface("yours", 1.0, "3")):
        w, g = rng().normal(size=(2, 100, 2))
        g = ground.gradient(w) if ground.name == "yours" else g
        inverse = np.linalg.pinv(ground.hessian(w), rcond=1e-12, hermitian=True)
        assert np.allclose(ground.solve(w, g), np.einsum("nij,nj->ni", inverse, g), rtol=1e-9, atol=1e-12)


FORMULAS = {
    "x^2 + y^2/4": lambda x, y: x**2 + y**2 / 4,
    "exp(-x*y) * sin(3*x) - cos(y)**3": lambda x, y: torch.exp(-x * y) * torch.sin(3 * x) - torch.cos(y) ** 3,
    "sqrt(x**2 + 2*y**2 + 1) / (1 + abs(y))": lambda x, y: (x**2 + 2 * y**2 + 1) ** 0.5 / (1 + y.abs()),
    "(x**2 + 1)**y + 2**x - x**-2": lambda x, y: (x**2 + 1) ** y + 2**x - x**-2.0,
    "tanh(x) - tan(y/4) + log(3 + x*y/9) + pi*e": lambda x, y: (
        torch.tanh(x) - torch.tan(y / 4) + torch.log(3 + x * y / 9) + np.pi * np.e
    ),
    "-x**7 + y**2.5": lambda x, y: -(x**7) + y**2.5,
}


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_what_autograd_says(text):
    w = torch.tensor(rng().uniform(0.2, 2, size=(30, 2)), requires_grad=True)
    value = FORMULAS[text](w[:, 0], w[:, 1])
    (g,) = torch.autograd.grad(value.sum(), w, create_graph=True)
    h = torch.stack([torch.autograd.grad(g[:, i].sum(), w, retain_graph=True)[0] for i in range(2)], 1)
    ours, at = Formula(text), w.detach().numpy()
    for mine, its in ((ours(at), value), (ours.gradient(at), g), (ours.hessian(at), h)):
        assert np.allclose(mine, its.detach().numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "column"),
    [("x +", 4), ("2x", 2), ("x^2 + z", 7), ("__import__('os')", 12), ("x.real", 1), ("x**2 if y else 1", 1),
     ("sin(x, y)", 6), ("x²", 2), ("sin", 1), ("sin()", 1), ("[x]", 1), ("x^2^2 + q", 9), ("True", 1), ("1e3e", 3)],
)  # fmt: skip
def test_what_is_no_formula_is_told_with_its_column(text, column):
    with pytest.raises(ValueError, match=f"column {column} of .*expected x, y, numbers"):
        check(text)


@pytest.mark.parametrize("text", ["", " ", "x" * 300, "sin(" * 49 + "x" + ")"])
def test_too_little_and_too_much_is_no_formula(text):
    with pytest.raises(ValueError, match="expected"):
        check(text)


@settings(max_examples=300, deadline=None)
@given(st.one_of(
    st.text(max_size=40),
    st.text("xye0123456789.+-*/^() ", max_size=30),
    st.lists(st.sampled_from(["x", "y", "2", "0", "-", "+", "*", "/", "**", "(", ")", "log", "sqrt(", "exp(", "abs("]),
             max_size=25).map("".join),
))  # fmt: skip
def test_no_text_does_more_than_be_refused(text):
    try:
        formula = Formula(check(text))
    except ValueError:
        return
    w = rng().normal(size=(5, 2)) * 3
    assert not np.isinf(formula(w)).any() and formula.gradient(w).shape == (5, 2)
    assert formula.hessian(w).shape == (5, 2, 2) and check(check(text)) == check(text)


def test_schedules():
    assert set(LR_SCHEDULES) == set(SCHEDULES)
    for name, factor in LR_SCHEDULES.items():
        for steps in (1, 2, 10, 1000):
            factors = [factor(k, steps) for k in range(steps)]
            assert min(factors) >= 0 and max(factors) <= 1, name
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], 1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    for k in range(50):
        assert LR_SCHEDULES["cosine"](k, 50) == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()
    assert [LR_SCHEDULES["step"](k, 8) for k in range(8)] == pytest.approx([1] * 4 + [0.1] * 2 + [0.01] * 2)
    assert LR_SCHEDULES["warm_up"](4, 100) == 0.5 and LR_SCHEDULES["warm_up"](10, 100) == 1
