"""Attacks against closed forms, brute force, finite differences, SciPy and torch's own layers."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from torch import nn
from torch.nn.functional import cross_entropy

from engine.adversarial_examples import ball, goal, instance, pixel, population, shared
from engine.adversarial_examples.arsenal import METHODS, surrogate_of
from engine.adversarial_examples.attacks import ATTACKS, apgd, bim, fgsm, pgd, robust_accuracy, sweep, transfer
from engine.adversarial_examples.classifiers import KINDS, Learning, Net, accuracy, examples, learn_all, trained
from engine.adversarial_examples.goal import Goal, MaskedGradient, dlr, margin
from engine.adversarial_examples.query import pixel_heights, turned
from engine.adversarial_examples.threat import inside, length, project, steepest
from engine.adversarial_examples.universal import fooling
from engine.device import DEVICE, generator

MINIMUM = ("ddn", "cw", "deepfool", "fmn")
NORMED = ("fgsm", "bim", "pgd", "apgd", "noise", "universal")


def random(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def digits(n=40, model="mlp"):
    """A classifier and the first held-out digits that it gets right."""
    found, seen = trained(Learning("digits", model)), examples("digits")
    x, y = seen.test[:n], seen.test_labels[:n]
    kept = ~Goal(found, y).reached(x)
    return found, x[kept], y[kept]


def linear(d=12, classes=3, seed=1):
    """Logits x W + b of pictures (n, d); W (d, classes)."""
    w, b = random(d, classes, seed=seed), 0.3 * random(classes, seed=seed + 1)
    return (lambda x: x @ w + b), w


def needs(name):
    """The settings without which an attack cannot run."""
    extra = {"surrogate": trained(Learning("digits", "mlp", seed=1))} if name == "transfer" else {}
    extra |= {"binary_search_steps": 4, "steps": 60} if name == "cw" else {}
    return extra | ({} if name in MINIMUM else {"eps": {"rotate": 20.0, "one_pixel": 1.0}.get(name, 0.1)})


# --- threat -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_projection_is_the_nearest_point_of_the_ball(norm):
    delta = random(4, 5).double()
    found = project(delta, 0.7, norm)
    p = {"linf": np.inf, "l2": 2, "l1": 1}[norm]
    for one, ours in zip(delta.numpy(), found.numpy(), strict=True):
        if norm == "l1":  # δ = a − b with a, b ≥ 0, so that every condition is smooth
            best = optimize.minimize(
                lambda ab, one=one: ((ab[:5] - ab[5:] - one) ** 2).sum(), np.full(10, 0.01), bounds=[(0, None)] * 10,
                constraints={"type": "ineq", "fun": lambda ab: 0.7 - ab.sum()}, options={"ftol": 1e-14, "maxiter": 500},
            ).x  # fmt: skip
            best = best[:5] - best[5:]
        else:
            best = np.clip(one, -0.7, 0.7) if norm == "linf" else one * min(1, 0.7 / np.linalg.norm(one))
        np.testing.assert_allclose(ours, best, atol=1e-5)
        assert np.linalg.norm(ours, p) <= 0.7 + 1e-9


def test_the_projection_takes_one_budget_for_each_row():
    delta, rooms = random(3, 2, 4), torch.tensor([0.0, 0.5, 100.0])
    for norm in ("linf", "l2", "l1"):
        found = project(delta, rooms, norm)
        assert float(found[0].abs().max()) == 0 and torch.equal(found[2], delta[2])
        torch.testing.assert_close(length(found, norm)[1], torch.tensor(0.5))


@pytest.mark.parametrize(("norm", "dual"), [("linf", "l1"), ("l2", "l2"), ("l1", "linf")])
def test_the_steepest_change_attains_the_dual_norm(norm, dual):
    slope = random(5, 3, 4)
    ways = steepest(slope, norm)
    torch.testing.assert_close((ways * slope).flatten(1).sum(1), length(slope, dual))
    torch.testing.assert_close(length(ways, norm), torch.ones(5))


@pytest.mark.parametrize(("norm", "power"), [("linf", 3), ("l2", 3), ("l1", 3)])
def test_random_starts_are_uniform_in_the_ball(norm, power):
    sizes = length(inside(torch.zeros(4000, 3), 0.5, norm, generator(2)), norm) / 0.5
    assert stats.kstest(sizes.numpy() ** power, "uniform").pvalue > 0.01


def test_a_norm_that_is_none_is_refused():
    for act in (lambda: project(random(1, 2), 1.0, "l3"), lambda: steepest(random(1, 2), "l3")):
        with pytest.raises(ValueError, match="'l3'; expected one of linf, l2, l1"):
            act()


# --- goal -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["ce", "margin", "dlr"])
@pytest.mark.parametrize("targeted", [False, True])
def test_the_gradient_is_that_of_finite_differences(loss, targeted):
    w = random(6, 4).double()
    aim = Goal(lambda x: (x @ w).tanh() * 3, torch.tensor([1, 2]), targeted, loss)
    x = random(2, 6, seed=5).double()
    _, value, slope = aim.climb(x)
    torch.testing.assert_close(value, aim.height(aim.model(x)))
    for i, j in product(range(2), range(6)):
        step = torch.zeros_like(x)
        step[i, j] = 1e-6
        rise = (aim.height(aim.model(x + step)) - aim.height(aim.model(x - step)))[i] / 2e-6
        torch.testing.assert_close(rise, slope[i, j], atol=1e-6, rtol=1e-6)


def test_margins_are_those_of_a_loop_and_dlr_is_free_of_scale():
    logits, y = random(20, 5), torch.arange(20) % 5
    loop = torch.stack([max(z[k] for k in range(5) if k != c) - z[c] for z, c in zip(logits, y.tolist(), strict=True)])
    torch.testing.assert_close(margin(logits, y), loop)
    torch.testing.assert_close(dlr(1000 * logits, y), dlr(logits, y))
    assert bool(((margin(logits, y) > 0) == (logits.argmax(1) != y)).all())


# --- classifiers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [8, 28])
def test_classifiers_are_torchs_layers(kind, side):
    net = Net(kind, side)
    weights, x = net.init(generator(3)), torch.rand(5, side, side, generator=generator(4))
    parts = net.parts(weights)
    layers: list[nn.Module] = [nn.Unflatten(1, (1, side))] if kind == "cnn" else [nn.Flatten()]
    for i in range(0, len(parts), 2):
        w, last = parts[i], i + 2 == len(parts)
        if w.ndim == 4:
            stride = 1 if side == 8 and i == 0 else 2
            layers.append(nn.Conv2d(w.shape[1], w.shape[0], w.shape[2], stride, padding=w.shape[2] // 2))
        else:
            layers += [nn.Flatten()] if kind == "cnn" else []
            layers.append(nn.Linear(w.shape[0], w.shape[1]))
        state = dict(layers[-1].named_parameters())
        state["weight"].data, state["bias"].data = (w if w.ndim == 4 else w.T), parts[i + 1]
        layers += [] if last else [nn.ReLU()]
    theirs = nn.Sequential(*layers)(x)
    torch.testing.assert_close(net(weights, x), theirs, atol=1e-5, rtol=1e-4)
    assert len(weights) == net.size


def test_classifiers_learn_and_adversarial_training_helps():
    seen = examples("digits")
    for kind, least in (("linear", 0.9), ("mlp", 0.97), ("cnn", 0.97)):
        assert accuracy(trained(Learning("digits", kind)), seen.test, seen.test_labels) >= least
    robust, plain = (trained(Learning("digits", "mlp", how)) for how in ("robust", "standard"))
    x, y = seen.test[:150], seen.test_labels[:150]
    kept = [robust_accuracy(pgd, model, x, y, [0.12])[0] for model in (robust, plain)]
    assert kept[0] > kept[1] + 0.3
    assert [one.progress for one in learn_all((Learning("digits"),))][-1] == 1


# --- attacks ----------------------------------------------------------------------------------------------------


def test_one_step_is_the_best_corner_of_a_linear_model():
    model, w = linear(10, 2)
    x, y = torch.rand(4, 10, generator=generator(0)), torch.tensor([0, 1, 0, 1])
    found = fgsm(model, x, y, eps=0.2, keep_failed=True)
    low, high = (x - 0.2).clamp(0, 1), (x + 0.2).clamp(0, 1)
    pick = torch.tensor(list(product([False, True], repeat=10)))
    for i in range(4):
        corners = torch.where(pick, high[i], low[i])
        best = cross_entropy(model(corners), y[i : i + 1].expand(1024), reduction="none").max()
        torch.testing.assert_close(cross_entropy(model(found[i : i + 1]), y[i : i + 1]), best)


def test_iterated_steps_are_those_of_a_plain_loop():
    model, x, y = digits()
    now = x.clone()
    for _ in range(10):
        now.requires_grad_()
        (slope,) = torch.autograd.grad(cross_entropy(model(now), y, reduction="sum"), now)
        now = torch.minimum(torch.maximum(now.detach() + 0.02 * slope.sign(), x - 0.1), x + 0.1).clamp(0, 1)
    torch.testing.assert_close(bim(model, x, y, eps=0.1, keep_failed=True), now, atol=1e-6, rtol=0)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_shortest_change_of_a_linear_model(norm):
    model, w = linear()
    x = 0.5 + 0.1 * torch.rand(30, 12, generator=generator(7))
    y = model(x).argmax(1)
    ways = w[:, None, :] - w[:, y][:, :, None]  # (d, n, classes): w_k − w_y
    gap = model(x).gather(1, y[:, None]) - model(x)
    far = gap / torch.linalg.vector_norm(ways, 2 if norm == "l2" else 1, 0).clamp_min(1e-9)
    exact = far.scatter(1, y[:, None], torch.inf).amin(1)
    assert float(exact.max()) < 0.4  # so that the box plays no part
    names = MINIMUM if norm == "l2" else ("deepfool", "fmn")
    for name in names:
        extra = {"norm": norm} if name in ("deepfool", "fmn") else {}
        extra |= {"steps": 300} if name in ("ddn", "fmn", "cw") else {}
        extra |= {"stepsize": 0.02, "steps": 150, "binary_search_steps": 7} if name == "cw" else {}
        found = length(ATTACKS[name](model, x, y, **extra) - x, norm)
        assert bool((found >= exact - 1e-5).all()), name
        assert float((found / exact).median()) < 1.03, (name, float((found / exact).median()))


def test_turns_and_shifts_move_pixels():
    x = torch.rand(2, 8, 8, generator=generator(0))
    zero = torch.zeros(2)
    torch.testing.assert_close(turned(x, zero + 90, zero, zero), torch.rot90(x, -1, (1, 2)), atol=1e-5, rtol=0)
    torch.testing.assert_close(turned(x, zero, zero + 1, zero)[:, :, 1:], x[:, :, :-1], atol=1e-5, rtol=0)
    torch.testing.assert_close(turned(x, zero, zero, zero + 2)[:, 2:], x[:, :-2], atol=1e-5, rtol=0)


def test_every_pixel_at_every_level_is_tried():
    model, x, y = digits(3)
    heights = pixel_heights(Goal(model, y), x, 5)
    for i, row, column, level in product(range(2), (0, 3, 7), (1, 6), range(5)):
        moved = x[i].clone()
        moved[row, column] = level / 4
        torch.testing.assert_close(heights[i, row, column, level], margin(model(moved[None]), y[i : i + 1])[0],
                                   atol=1e-4, rtol=1e-4)  # fmt: skip


def test_one_pixel_finds_what_every_change_finds_and_asks_less():
    model, x, y = digits(60)
    asked = []

    def counted(pictures):
        asked.append(len(pictures))
        return model(pictures)

    found = ATTACKS["one_pixel"](counted, x, y, eps=1, levels=2, keep_failed=True)
    heights = pixel_heights(Goal(model, y), x, 2).flatten(1).amax(1)
    own = margin(model(found).detach(), y)
    assert 5 <= (heights > 0).sum() < 55
    assert torch.equal(own > 0, heights > 0)
    assert torch.allclose(
        own[heights <= 0], torch.maximum(heights, margin(model(x).detach(), y))[heights <= 0], atol=1e-5
    )
    assert ((found != x).flatten(1).sum(1) <= 1).all()
    assert sum(asked) < 0.6 * 60 * 64 * 2  # it stops at what fools, and no pixel is set to what it is


def test_one_change_for_all_is_the_best_one_where_that_is_known():
    w = random(16, seed=3)
    model = lambda x: torch.stack([-(x @ w), x @ w], 1)  # noqa: E731
    x = 0.4 + 0.2 * torch.rand(50, 16, generator=generator(1))
    x = x - ((x @ w) + 0.5)[:, None] * w / w.square().sum()  # all of class 0, equally far from the boundary
    y = torch.zeros(50, dtype=torch.long)
    eps = 0.1
    found = ATTACKS["universal"](model, x.clamp(0, 1), y, eps=eps, keep_failed=True) - x.clamp(0, 1)
    torch.testing.assert_close(found.mean(0), eps * w.sign(), atol=1e-3, rtol=0)
    assert fooling(model, x.clamp(0, 1), eps * w.sign()) == (1.0 if 0.1 * float(w.abs().sum()) > 0.5 else 0.0)


def test_stronger_attacks_leave_no_more():
    model, x, y = digits(150)
    left = {n: float((model(ATTACKS[n](model, x, y, **needs(n))).argmax(1) == y).double().mean())
            for n in ("noise", "square", "fgsm", "bim", "pgd", "apgd", "transfer")}  # fmt: skip
    assert left["pgd"] <= left["bim"] + 0.02 and left["apgd"] <= left["pgd"] + 0.02 and left["pgd"] < left["fgsm"]
    assert left["fgsm"] < left["transfer"] < left["noise"] and left["square"] < left["noise"]


# --- the contract -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ATTACKS)
def test_the_contract_of_every_attack(name):
    model, x, y = digits(12)
    weights, before = model.weights.clone(), x.clone()
    how = needs(name)
    found, again = ATTACKS[name](model, x, y, **how), ATTACKS[name](model, x, y, **how)
    assert torch.equal(found, again) and torch.equal(x, before) and torch.equal(model.weights, weights)
    assert model.weights.grad is None and not found.requires_grad
    assert float(found.min()) >= 0 and float(found.max()) <= 1
    stays = model(found).argmax(1) == y
    assert torch.equal(found[stays], x[stays])
    if name not in (*MINIMUM, "rotate", "one_pixel"):
        assert float(length(found - x, "linf").max()) <= 0.1 + 1e-6
    assert ATTACKS[name](model, x[:0], y[:0], **how).shape == (0, 8, 8)
    if name not in MINIMUM:
        assert torch.equal(ATTACKS[name](model, x, y, **(how | {"eps": 0.0})), x)


@pytest.mark.parametrize("name", NORMED)
def test_the_l2_budget_is_kept_and_each_row_may_have_its_own(name):
    model, x, y = digits(12)
    assert float(length(ATTACKS[name](model, x, y, eps=0.6, norm="l2", keep_failed=True) - x, "l2").max()) <= 0.6 + 1e-6
    if name != "universal":
        room = torch.linspace(0, 0.3, len(x), device=x.device)
        assert bool((length(ATTACKS[name](model, x, y, eps=room, keep_failed=True) - x, "linf") <= room + 1e-6).all())


@pytest.mark.parametrize(
    "name", ["fgsm", "pgd", "apgd", "cw", "ddn", "fmn", "deepfool", "square", "transfer", "universal"]
)
def test_a_target_is_reached_or_the_picture_returned(name):
    model, x, y = digits(20)
    t = (y + 1) % 10
    how = needs(name) | ({} if name in MINIMUM else {"eps": 0.3})
    found = ATTACKS[name](model, x, y, targeted=t, **how)
    there = model(found).argmax(1) == t
    assert torch.equal(found[~there], x[~there])
    assert float(there.double().mean()) >= {"fgsm": 0.1, "transfer": 0.2, "square": 0.3, "universal": 0.0}.get(
        name, 0.9
    )


def test_a_module_is_left_as_it_is():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10)).to(DEVICE)
    _, x, y = digits(6)
    with pytest.raises(ValueError, match="training mode"):
        fgsm(net, x, y, eps=0.1)
    net.eval()
    state = {k: v.clone() for k, v in net.state_dict().items()}
    pgd(net, x, y, eps=0.1)
    assert not net.training and all(p.grad is None for p in net.parameters())
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())


def test_what_is_wrong_already_is_left_alone():
    model, x, y = digits(8)
    assert torch.equal(pgd(model, x, (y + 3) % 10, eps=0.2), x)


def test_bad_input_is_refused_in_words():
    model, x, y = digits(4)
    for how, words in (
        ({"targeted": y}, "4 of 4 targets equal"), ({"eps": -0.1}, "budget of -0.1"), ({"eps": None}, "no budget"),
        ({"loss": "mse"}, "'mse'; expected one of ce"), ({"norm": "l7"}, "'l7'"),
        ({"eps": float("nan")}, "budget of nan"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            pgd(model, x, y, **({"eps": 0.1} | how))
    with pytest.raises(ValueError, match="pixels from .* expected 0 to 1"):
        pgd(model, 2 * x, y, eps=0.1)
    with pytest.raises(ValueError, match="one label each"):
        pgd(model, x, y[:2], eps=0.1)
    with pytest.raises(RuntimeError, match="beyond its budget"):
        goal.checked("linf")(lambda aim, x, eps, generator: (x + 0.5).clamp(0, 1))(model, x, y, eps=0.1)


def test_a_budget_beyond_the_box_stays_in_it():
    model, x, y = digits(6)
    found = pgd(model, x, y, eps=5.0)
    assert float(found.min()) >= 0 and float(found.max()) <= 1 and bool((model(found).argmax(1) != y).all())


def test_failing_silently_is_not_allowed():
    model, x, y = digits(60)
    sure = lambda x: 1e4 * model(x)  # noqa: E731
    with pytest.warns(MaskedGradient, match="gradient of 'ce' is zero for"):
        blind = pgd(sure, x, y, eps=0.12)
    seeing = pgd(sure, x, y, eps=0.12, loss="margin")
    plain = pgd(model, x, y, eps=0.12)
    rate = [float((model(found).argmax(1) != y).double().mean()) for found in (blind, seeing, plain)]
    assert rate[0] < 0.5 * rate[1] and rate[1] >= rate[2] - 0.05
    with pytest.warns(MaskedGradient, match="look like probabilities"):
        pgd(lambda x: model(x).softmax(1), x, y, eps=0.1)
    with pytest.warns(MaskedGradient, match="is zero for 5 of 5"):
        always = lambda x: torch.arange(10.0, device=x.device) + 0 * x.sum((1, 2))[:, None]  # noqa: E731
        assert torch.equal(apgd(always, x[:5], torch.full((5,), 9, device=x.device), eps=0.3), x[:5])


def test_the_whole_curve_in_one_call():
    model, x, y = digits(80)
    eps = [0.0, 0.05, 0.1, 0.15, 0.3]
    shares = robust_accuracy(pgd, model, x, y, eps, steps=20)
    assert shares[0] == 1 and shares == sorted(shares, reverse=True) and shares[-1] < 0.1
    alone = [float((model(pgd(model, x, y, eps=e, steps=20)).argmax(1) == y).double().mean()) for e in eps[1:]]
    assert all(ours <= theirs + 1e-9 + 1 / 80 for ours, theirs in zip(shares[1:], alone, strict=True))
    swept = sweep(model, x, y, eps)
    assert swept == sorted(swept, reverse=True) and all(
        abs(a - b) <= 3 / 80 for a, b in zip(swept, shares, strict=True)
    )
    with pytest.raises(ValueError, match=r"0\.1 after 0\.2"):
        robust_accuracy(pgd, model, x, y, [0.2, 0.1])
    with pytest.raises(ValueError, match=r"0\.1 after 0\.2"):
        sweep(model, x, y, [0.2, 0.1])


def test_who_sees_whose_weights():
    own = Learning("digits", "cnn", "robust", 3)
    assert surrogate_of(own, "white", "pgd") == own == surrogate_of(own, "black", "square")
    assert surrogate_of(own, "grey", "pgd") == Learning("digits", "cnn", "robust", 4)
    assert surrogate_of(own, "black", "pgd") == Learning("digits", "mlp", "standard", 4)
    model, x, y = digits(10)
    torch.testing.assert_close(transfer(model, x, y, eps=0.1, surrogate=model), pgd(model, x, y, eps=0.1))


# --- views ------------------------------------------------------------------------------------------------------


def test_runs_are_deterministic_and_their_frames_whole():
    for module, cfg in (
        (instance, instance.Config(data="digits", attack="square")), (ball, ball.Config(norm="l1", steps=3)),
        (population, population.Config(n=20, steps=3)), (pixel, pixel.Config(levels=3)), (shared, shared.Config()),
    ):  # fmt: skip
        runs = [list(module.run(cfg)) for _ in range(2)]
        for one, other in zip(*runs, strict=True):
            for a, b in zip(one, other, strict=True):
                np.testing.assert_array_equal(a, b)
            assert all(np.isfinite(part).all() for part in one)


def test_every_method_offered_is_an_attack():
    assert {how.attack for how in METHODS.values()} <= set(ATTACKS)


@pytest.mark.parametrize("rule", ball.RULES)
@pytest.mark.parametrize("norm", ball.NORMS)
def test_the_ball_at_its_ends(rule, norm):
    for eps in (0.0, 0.4):
        *_, last = ball.run(ball.Config(rule=rule, norm=norm, eps=eps, x=0.0, y=1.0, steps=2))
        assert np.isfinite(last.loss) and (rule == "unclipped" or last.used <= eps + 1e-6)
