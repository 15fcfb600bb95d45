"""Generators, quadratic programs, distances between outputs and tasks of numbers, against independent computations."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import wasserstein_distance
from sklearn.metrics import r2_score

from engine.device import DEVICE, generator
from engine.forgetting_curves import fisher, line, metrics
from engine.forgetting_curves.backprop import backward, descend, forward, misfit
from engine.forgetting_curves.distilling import DISTANCES, LwF, pull
from engine.forgetting_curves.dreams import Dreams
from engine.forgetting_curves.memory import Examples
from engine.forgetting_curves.methods import How, Recipe, Setting
from engine.forgetting_curves.rehearsing import GEM, Generative, allowed
from engine.forgetting_curves.tasks import on_the_line, sequence, waves
from engine.forgetting_curves.training import METHODS, Training, explained, train_sequence
from engine.nets import Networks, cross_entropy

QUICK = How(epochs=2, hidden=(24, 16))


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=generator(seed), dtype=torch.float64)


# --- gradients ---------------------------------------------------------------------------------------------------


def test_gradients_of_groups_and_of_the_inputs_are_those_of_automatic_differentiation():
    net = Networks((5, 40, 6, 3))
    weights = net.init(2, generator(0)).double().cpu()
    x, y = uniform(2, 12, 5) - 0.5, torch.randint(3, (2, 12), generator=generator(1))
    seen = forward(net, weights, x)
    found = backward(net, weights, seen[:-1], misfit(seen[-1], y) * 4, 4).view(2, 4, -1)
    for group in range(4):
        at, part = weights.clone().requires_grad_(), slice(3 * group, 3 * group + 3)
        loss = cross_entropy(net(at, x[:, part]), y[:, part]).mean(1).sum()
        torch.testing.assert_close(found[:, group], torch.autograd.grad(loss, at)[0], atol=1e-13, rtol=0)
    there = x.clone().requires_grad_()
    expected = torch.autograd.grad(cross_entropy(net(weights, there), y).mean(1).sum(), there)[0]
    through = descend(net, weights, seen[:-1], misfit(seen[-1], y), through=True)[1]
    torch.testing.assert_close(through, expected, atol=1e-14, rtol=0)


@pytest.mark.parametrize("pictures", [True, False])
def test_the_gradient_of_the_vae_is_that_of_its_bound(pictures):
    rngs = [generator(0), generator(1)]
    like = uniform(6, 5) if pictures else uniform(6, 5) * 4 - 2
    one, task = Dreams(5, 3, rngs, like), torch.tensor([[0, 1, 2, 0, 1, 2]] * 2)
    x, noise = like.expand(2, -1, -1), torch.randn(2, 6, 4, generator=rngs[0], dtype=torch.float64)
    found, at = one.slope(x, task, noise), one.weights.clone().requires_grad_()
    encoder, decoder = at.split([one.encoder.size, one.decoder.size], 1)
    mean, log_var = one.encoder(encoder, one.told(x, task)).chunk(2, 2)
    made = one.decoder(decoder, one.told(mean + (log_var / 2).exp() * noise, task))
    if pictures:
        wrong = torch.nn.functional.binary_cross_entropy_with_logits(made, x, reduction="none").sum(2)
    else:
        wrong = (made - x).square().sum(2) / (2 * 0.1**2)
    apart = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (log_var / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    ).sum(2)
    expected = torch.autograd.grad((wrong + apart).mean(1).sum(), at)[0]
    torch.testing.assert_close(found, expected, atol=1e-11, rtol=1e-9)


def test_the_fisher_of_numbers_is_the_mean_square_of_the_slopes():
    net = Networks((3, 8, 5, 1))
    weights, x = net.init(2, generator(0)).double().cpu(), uniform(1, 9, 3)
    found = fisher.of_numbers(net, weights, x)
    for k in range(2):
        slopes = torch.autograd.functional.jacobian(lambda one: net(one[None], x)[0, :, 0], weights[k])
        torch.testing.assert_close(found[k], torch.as_tensor(slopes).square().mean(0), atol=1e-13, rtol=1e-9)


# --- generative replay -------------------------------------------------------------------------------------------


def test_the_vae_makes_up_what_resembles_the_task_and_not_another():
    tasks = sequence("split", 2, most=280)
    one = Dreams(64, 2, [generator(0)], tasks[0].x)
    for number, task in enumerate(tasks):
        x, which = one.sample(500, 1)
        old = Examples(x, which, which) if number else None
        for _ in range(160):
            one.study(task.x, number, old)
    x, which = one.sample(400, 2)
    assert x.min() >= 0 and x.max() <= 1 and set(which.flatten().tolist()) == {0, 1}
    for number in (0, 1):
        gaps = [float((x[0, which[0] == number].mean(0) - other.x.mean(0)).norm()) for other in tasks]
        assert gaps[number] < 0.6 * gaps[1 - number]


def test_made_up_examples_have_labels_that_the_network_has_learned():
    training = Training(sequence("split", 3, most=60), [Recipe("generative")], (0, 1), QUICK)
    for time in training.run():
        learner = training.learners[0]
        assert isinstance(learner, Generative)
        if time < 2:
            continue
        made = learner.begin(2, 300)  # of the third task
        assert made is not None and made.x.shape == (2, 300, 64)
        assert set(made.y.flatten().tolist()) <= {0, 1, 2, 3} and set(made.task.flatten().tolist()) == {0, 1}
        break


def test_the_vae_is_trained_as_often_as_it_should_be():
    one = Dreams(4, 1, [generator(0)], uniform(3, 4))
    for steps in (1, 7, 45, 999):
        assert sum(one.due(step, steps) for step in range(steps)) == 160


def test_generative_replay_forgets_a_fifth_of_what_plain_training_forgets():
    r = train_sequence(sequence("split", 4, most=200), ["generative", "naive"], (0, 1), How(5))[..., 1:]
    lost = metrics.forgetting(r.swapaxes(-1, -2)).mean(1)
    assert lost[0] < 0.2 * lost[1]


# --- gradient episodic memory ------------------------------------------------------------------------------------


def by_all_subsets(past, g, margin):
    """The dual's minimum: the best of all choices of which bounds are met with equality."""
    gram, along = past @ past.T, past @ g
    best, value = np.empty(0), np.inf
    t = len(past)
    for size in range(t + 1):
        for free in combinations(range(t), size):
            v, free = np.full(t, margin), list(free)
            rest = [i for i in range(t) if i not in free]
            if free:
                v[free] = np.linalg.solve(gram[np.ix_(free, free)], -along[free] - gram[np.ix_(free, rest)] @ v[rest])
            now = v @ gram @ v / 2 + along @ v
            if (v >= margin - 1e-12).all() and now < value:
                best, value = v, now
    return best


@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_gem_solves_its_quadratic_program(margin):
    rng = generator(3)
    past = torch.randn(30, 5, 40, generator=rng, dtype=torch.float64)
    g = torch.randn(30, 40, generator=rng, dtype=torch.float64) - 0.4 * past.sum(1)
    found = allowed(past, g, margin)
    for i in range(30):
        expected = by_all_subsets(past[i].numpy(), g[i].numpy(), margin)
        np.testing.assert_allclose(found[i].numpy(), expected, atol=1e-6)
    gram, along = (past[0] @ past[0].T).numpy(), (past[0] @ g[0]).numpy()
    by_scipy = minimize(lambda v: v @ gram @ v / 2 + along @ v, np.ones(5), jac=lambda v: gram @ v + along,
                        bounds=[(margin, None)] * 5, method="L-BFGS-B", tol=1e-14).x  # fmt: skip
    np.testing.assert_allclose(found[0].numpy(), by_scipy, atol=1e-4)
    bent = g + (found[:, None] @ past)[:, 0]
    assert ((past @ bent[..., None]) > -1e-6).all()  # no old loss rises, to first order


def test_gem_leaves_a_gradient_that_harms_nobody():
    past = torch.eye(4, dtype=torch.float64)[None, :2]
    assert not allowed(past, torch.tensor([[1.0, 0.5, -3.0, 0.0]], dtype=torch.float64)).any()
    assert not allowed(past, torch.tensor([[torch.nan, 0, 0, 0]], dtype=torch.float64)).any()
    assert not allowed(past * 0, -torch.ones(1, 4, dtype=torch.float64)).any()


def test_gem_asks_every_old_task_by_itself():
    tasks = sequence("split", 3, most=60)
    training = Training(tasks, [Recipe("gem", memory=20)], (0,), QUICK)
    for time in training.run():
        if time == 2:
            break
    one = training.learners[0]
    assert isinstance(one, GEM) and one.groups == 2 and one.kept is not None
    assert one.kept.task[0].tolist() == [0] * 10 + [1] * 10
    weights = training.weights
    g = torch.zeros_like(weights)
    for number in (0, 1):  # against each task alone, the step for the new one must not raise its loss
        at, rows = weights.clone().requires_grad_(), one.kept.task[0] == number
        loss = cross_entropy(training.net(at, one.kept.x[:, rows]), one.kept.y[:, rows]).mean()
        past = torch.autograd.grad(loss, at)[0]
        g = g - past
        bent = one.bend(g, None, weights)
        assert float((bent * past).sum()) > -1e-6 * float(past.square().sum())


# --- distances between outputs -----------------------------------------------------------------------------------


def coupled(p, q, power):
    """W_power^power of two rows on a line from 0 to 1, by moving the mass from the left."""
    i = j = 0
    left, right, total, last = p[0].clone(), q[0].clone(), 0.0, len(p) - 1
    while True:
        mass = torch.minimum(left, right)
        total = total + mass * (abs(i - j) / last) ** power
        left, right = left - mass, right - mass
        if float(left.detach()) <= 1e-15:
            if i == last:
                return total
            i += 1
            left = p[i].clone()
        if float(right.detach()) <= 1e-15:
            if j == last:
                return total
            j += 1
            right = q[j].clone()


MEASURES = {
    "kl": lambda p, q: (q * (q / p).log()).sum(),
    "tv": lambda p, q: (p - q).abs().sum() / 2,
    "w1": lambda p, q: coupled(p, q, 1),
    "w2": lambda p, q: coupled(p, q, 2),
    "mmd": lambda p, q: (p - q) @ torch.eye(len(p), dtype=p.dtype) @ (p - q),
}


@pytest.mark.parametrize("kind", DISTANCES)
def test_the_slope_of_each_distance_is_that_of_its_definition(kind):
    logits, told = 3 * uniform(8, 6), (3 * uniform(8, 6, seed=1)).softmax(-1)
    found = pull(kind, logits.softmax(-1), told)
    for i in range(8):
        at = logits[i].clone().requires_grad_()
        expected = torch.autograd.grad(MEASURES[kind](at.softmax(-1), told[i]), at)[0]
        torch.testing.assert_close(found[i], expected, atol=1e-10, rtol=0)
        step = 1e-6 * torch.eye(6, dtype=torch.float64)
        slopes = [(MEASURES[kind]((logits[i] + e).softmax(-1), told[i])
                   - MEASURES[kind]((logits[i] - e).softmax(-1), told[i])) / 2e-6 for e in step]  # fmt: skip
        torch.testing.assert_close(found[i], torch.stack(slopes), atol=1e-6, rtol=0)
    assert pull(kind, told, told).abs().max() < 1e-12  # nothing pulls where nothing has changed


def test_the_definitions_of_the_tests_are_those_of_scipy():
    p, q = uniform(6).softmax(0), (2 * uniform(6, seed=1)).softmax(0)
    places = np.arange(6) / 5
    assert float(coupled(p, q, 1)) == pytest.approx(wasserstein_distance(places, places, p.numpy(), q.numpy()))


@pytest.mark.parametrize("kind", DISTANCES)
def test_names_that_were_never_learned_are_not_held(kind):
    tasks = sequence("split", 2, most=40)
    on = Setting(Networks((64, 24, 16, 4)), tasks, None, How(), 1)
    one = LwF(on, Recipe("lwf", 1.0, apart=kind), [generator(0)])
    weights = on.net.init(1, generator(0))
    one.finish(0, weights)
    logits = on.net(on.net.init(1, generator(1)), tasks[1].x[None])
    slope = torch.zeros_like(logits)
    one.outputs(logits, tasks[1].x[None], slope)
    assert slope[..., 2:].abs().max() < 1e-8 < slope[..., :2].abs().max()


@pytest.mark.parametrize("kind", ["permuted", "split"])
def test_lwf_is_descent_on_its_loss_as_libraries_write_it(kind):
    tasks = tuple(replace(t, x=t.x.double(), test_x=t.test_x.double()) for t in sequence(kind, 3, most=60))
    training = Training(tasks, [Recipe("lwf", 1.0)], (4,), QUICK)
    weights, rng = training.weights.clone().requires_grad_(), generator(4)
    training.net.init(1, rng)
    rule, teacher = torch.optim.SGD([weights], QUICK.step_size), None
    for number, task in enumerate(tasks):
        active = sorted({int(y) for t in tasks[:number] for y in t.y})
        for rows in [r for _ in range(2) for r in torch.randperm(60, generator=rng).split(QUICK.batch)]:
            rule.zero_grad()
            logits = training.net(weights, task.x[None, rows])[0]
            loss = torch.nn.functional.cross_entropy(logits, task.y[rows])
            if teacher is not None:
                told = (training.net(teacher, task.x[None, rows])[0][:, active] / 2).softmax(1)
                now = (logits[:, active] / 2).log_softmax(1)
                loss = loss + torch.nn.functional.kl_div(now, told, reduction="batchmean")
            loss.backward()
            rule.step()
        teacher = weights.detach().clone()
    for _ in training.run():
        pass
    torch.testing.assert_close(training.weights, weights.detach(), atol=1e-10, rtol=0)


@pytest.mark.parametrize("kind", DISTANCES)
def test_each_distance_keeps_more_than_nothing_does(kind):
    methods = [Recipe("lwf", {"kl": 1.0, "w2": 20.0}.get(kind, 4.0), apart=kind), Recipe("naive")]
    r = train_sequence(sequence("permuted", 3, most=400), methods, (0, 1), How(4))[..., 1:].swapaxes(-1, -2)
    lost = metrics.forgetting(r).mean(1)
    assert lost[0] < 0.8 * lost[1]


# --- tasks of numbers --------------------------------------------------------------------------------------------


def test_plain_training_on_numbers_is_stochastic_gradient_descent_of_torch():
    tasks, how = on_the_line("pieces", 2, 0), How(epochs=3, step_size=0.05, hidden=(12,))
    training = Training(tasks, [Recipe("naive")], (4,), how)
    weights, rng = training.weights.clone().requires_grad_(), generator(4)
    training.net.init(1, rng)
    rule = torch.optim.SGD([weights], how.step_size)
    for task in tasks:
        for _ in range(how.epochs):
            for rows in torch.randperm(len(task.y), generator=rng).split(how.batch):
                rule.zero_grad()
                wrong = training.net(weights, task.x[None, rows])[0, :, 0] - task.y[rows]
                (wrong.square().mean() / 2).backward()
                rule.step()
    for _ in training.run():
        pass
    torch.testing.assert_close(training.weights, weights.detach(), atol=1e-5, rtol=0)


def test_the_share_explained_is_that_of_scikit_learn():
    y, made = uniform(50), uniform(3, 50, seed=1) * 0.2 + uniform(50) * 0.9
    expected = [max(0.0, r2_score(y.numpy(), row.numpy())) for row in made]
    np.testing.assert_allclose(explained(made, y).numpy(), expected, atol=1e-12)
    assert explained(y[None] * 0 + 9, y).item() == 0


def test_a_line_in_pieces_is_one_function_and_the_others_are_not():
    pieces, others = on_the_line("pieces", 3, 0, noise=0.0), on_the_line("others", 2, 0, noise=0.0)
    x = torch.cat([3 * task.x[:, 0] for task in pieces])
    expected = (2.2 * x).sin() + 0.35 * x * (1.1 * x).cos()
    torch.testing.assert_close(torch.cat([task.y for task in pieces]), expected, atol=1e-5, rtol=0)
    assert [float(task.x[:, 0].max()) < i - 0.3 for i, task in zip((0, 1, 2), pieces, strict=True)] == [True] * 3
    assert all(float(task.x[:, 0].abs().max()) > 0.95 for task in others)
    at = torch.linspace(-3, 3, 5, device=DEVICE)
    torch.testing.assert_close(waves(at)[:, 1], (at * torch.pi / 3).sin())
    assert [t.name for t in on_the_line("pieces", 3, 0, "reversed")] == ["C", "B", "A"]


def test_every_method_but_gaussians_learns_numbers():
    names = [name for name in METHODS if name != "gaussians"]
    tasks = on_the_line("pieces", 2, 0)
    found = train_sequence(tasks, [Recipe(name, memory=20) for name in names], (0,), How(20, 32, 0.05, (32,)))
    assert np.isfinite(found[[names.index(n) for n in ("naive", "joint", "replay", "ewc", "gem", "gpm")]]).all()
    kept = dict(zip(names, found[:, 0, 0, -1], strict=True))
    assert kept["naive"] < 0.9 < min(kept["joint"], kept["replay"], kept["gem"])
    with pytest.raises(ValueError, match="expected labels"):
        train_sequence(tasks, ["gaussians"], (0,))
    other = sequence("split", 1)[0]
    with pytest.raises(ValueError, match="labels in some tasks"):
        train_sequence([tasks[0], replace(other, x=other.x[:, :7], test_x=other.test_x[:, :7])], ["naive"], (0,))


def test_distillation_of_numbers_is_a_spring_to_the_old_function():
    tasks = on_the_line("pieces", 2, 0)
    on = Setting(Networks((7, 12, 1)), tasks, None, How(), 1)
    one, x = LwF(on, Recipe("lwf", 3.0), [generator(0)]), tasks[1].x[None]
    weights = on.net.init(1, generator(0))
    one.finish(0, weights)
    outputs = on.net(on.net.init(1, generator(1)), x).requires_grad_()
    expected = torch.autograd.grad(3 * (outputs - on.net(weights, x)).square().mean() / 2, outputs)[0]
    slope = torch.zeros_like(outputs)
    one.outputs(outputs.detach(), x, slope)
    torch.testing.assert_close(slope, expected)


@pytest.mark.parametrize("change", [{"tasks": 1}, {"memory": 0}, {"kind": "others"}, {"noise": 0.5}])
def test_a_line_with_little_to_see(change):
    *_, last = line.run(line.Config(**{"epochs": 2} | change))
    assert last.method.shape == (4, 121, 2) and np.isfinite(last.tasks).all()
    assert len(last.kept) == (0 if "memory" in change else 20)
