"""The learner, every meta-gradient and the tasks, against automatic differentiation, least squares and closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.data.points import check_code
from engine.device import generator
from engine.figures.adapted import adaptation, loss, outputs
from engine.maml_adaptation import adapt as adapting
from engine.maml_adaptation import given, learning, sets, train
from engine.maml_adaptation.adapt import adapt, losses
from engine.maml_adaptation.learner import Layers, Learner, gradient, pulled, spread
from engine.maml_adaptation.meta import BETAS, LONGEST, METHODS, Adam, Inner, meta_step
from engine.maml_adaptation.sinusoids import (
    FAMILIES,
    REACH,
    Tasks,
    batches,
    best_single,
    interpolated,
    sinusoid_tasks,
    with_ones,
)

NET = Learner()


def here(tasks: Tasks) -> Tasks:
    """On the CPU, where the weights of these tests are."""
    return Tasks(*(part.cpu() for part in tasks))


def exact(tasks: Tasks) -> Tasks:
    return Tasks(*(part.double() for part in here(tasks)))


def weights(s: int, seed: int = 0) -> Tensor:
    """Generic ones, with biases everywhere: (s, size) in float64"""
    rng = generator(seed)
    start = NET.init(s, rng).double().cpu()
    for matrix in NET.layers(start):
        matrix[:, -1, :40] += 0.2 * torch.randn(matrix[:, -1, :40].shape, generator=rng)
    return start


def flat(layers: Layers) -> Tensor:
    return torch.cat([one.flatten(1) for one in layers], 1)


def mean_loss(w: Tensor, tasks: Tasks) -> Tensor:
    return (NET(NET.layers(w), tasks.x) - tasks.y).square().mean((1, 2)).sum()


# --- the learner ------------------------------------------------------------------------------------------------


def test_the_network_is_the_usual_perceptron():
    w, x = weights(1), torch.linspace(-5, 5, 9, dtype=torch.float64)
    net = torch.nn.Sequential(torch.nn.Linear(1, 40), torch.nn.ReLU(), torch.nn.Linear(40, 40), torch.nn.ReLU(),
                              torch.nn.Linear(40, 1)).double()  # fmt: skip
    with torch.no_grad():
        linear = [one for one in net if isinstance(one, torch.nn.Linear)]
        for layer, matrix in zip(linear, NET.layers(w), strict=True):
            out = layer.out_features
            layer.weight.copy_(matrix[0, :-1, :out].T[:, : layer.in_features])
            layer.bias.copy_(matrix[0, -1, :out])
    found = NET(NET.layers(w), with_ones(x[None]))
    torch.testing.assert_close(found[0], net(x[:, None]), rtol=0, atol=1e-12)
    assert NET.size == 1804 and sum(p.numel() for p in net.parameters()) == 1761


@pytest.mark.parametrize("shared", [True, False])
def test_gradient_and_hessian_vector_product_by_hand(shared):
    tasks, w, u = exact(sinusoid_tasks(6, 10, generator(1))), weights(1 if shared else 6), weights(6, 5)
    u = u[:1].expand(6, -1).clone() if shared else u
    seen = NET.passed(NET.layers(w), tasks.x, tasks.y)
    at = w.clone().requires_grad_()
    (slope,) = torch.autograd.grad(mean_loss(at, tasks), at, create_graph=True)
    torch.testing.assert_close(flat(gradient(seen, len(w))), slope, rtol=1e-10, atol=1e-9)
    (curved,) = torch.autograd.grad((slope * u[: len(w)]).sum(), at)
    found = pulled(NET.layers(w), seen, NET.layers(u), 0.01)
    whole = u.sum(0, keepdim=True) if shared else u
    torch.testing.assert_close(flat(found), whole - 0.01 * curved, rtol=1e-9, atol=1e-9)


def test_weights_shared_by_consecutive_tasks():
    two = NET.layers(weights(2))
    assert [len(one) for one in spread(two, 6)] == [6, 6, 6]
    x = with_ones(torch.linspace(-3, 3, 4, dtype=torch.float64)[None]).expand(6, -1, -1)
    torch.testing.assert_close(NET(two, x), NET(spread(two, 6), x), rtol=0, atol=1e-13)


def test_the_unit_that_is_always_on_keeps_its_weights():
    trained = learning.meta_train("maml", meta_iterations=20)
    first, second, _ = NET.layers(trained)
    assert not first[:, :, -1].any() and not second[:, :, -1].any()


# --- meta-gradients ---------------------------------------------------------------------------------------------


def looped(method: str, w: Tensor, tasks: Tasks, how: Inner) -> Tensor:
    """The meta-gradient by automatic differentiation through the loop, a task at a time: (size,)"""
    predict = lambda at, x: NET(NET.layers(at[None]), x[None])[0]  # noqa: E731
    head = torch.zeros_like(w)
    head[-41:] = 1
    total, w = torch.zeros_like(w), w.clone().requires_grad_()
    for i in range(len(tasks.x)):
        at = w
        for k in range(how.adaptation_steps):
            other = method == "reptile" and k % 2
            x, y = (tasks.query_x[i], tasks.query_y[i]) if other else (tasks.x[i], tasks.y[i])
            second = method in ("maml", "anil")
            (slope,) = torch.autograd.grad((predict(at, x) - y).square().mean(), at, create_graph=second)
            at = at - how.fast_lr * (slope * head if method == "anil" else slope)
        if method == "reptile":
            total += (w - at).detach() / (how.fast_lr * how.adaptation_steps)
            continue
        outcome = (predict(at, tasks.query_x[i]) - tasks.query_y[i]).square().mean()
        if method == "joint":
            outcome = (outcome + (predict(at, tasks.x[i]) - tasks.y[i]).square().mean()) / 2
        total += torch.autograd.grad(outcome, w)[0]
    return total / len(tasks.x)


@pytest.mark.parametrize("method", ["maml", "fomaml", "reptile", "anil", "joint"])
@pytest.mark.parametrize("steps", [1, 3])
def test_five_meta_steps_are_those_of_autograd_through_the_loop(method, steps):
    how, rng = Inner(0.02, 0 if method == "joint" else steps), generator(2)
    rule = Adam(weights(2), 0.01)
    peers = [w.clone() for w in rule.weights]
    theirs = [torch.optim.Adam([w], 0.01, betas=BETAS) for w in peers]
    for _ in range(5):
        tasks = exact(sinusoid_tasks(8, 10, rng))
        meta_step(NET, method, rule, tasks, how)
        for i, (w, peer) in enumerate(zip(peers, theirs, strict=True)):
            w.grad = looped(method, w.detach(), Tasks(*(part[4 * i : 4 * i + 4] for part in tasks)), how)
            torch.nn.utils.clip_grad_norm_([w], LONGEST)
            peer.step()
    assert float((rule.weights - torch.stack(peers)).abs().max()) < 5e-6


def test_single_precision_follows_double():
    rng, rules = generator(2), [Adam(weights(1).float(), 0.01), Adam(weights(1), 0.01)]
    for _ in range(5):
        tasks = here(sinusoid_tasks(10, 10, rng))
        for rule, batch in zip(rules, (tasks, exact(tasks)), strict=True):
            meta_step(NET, "maml", rule, batch, Inner(0.01, 1))
    assert float((rules[0].weights - rules[1].weights).abs().max()) < 1e-4


def test_random_weights_stay():
    rule = Adam(weights(1), 0.01)
    before = rule.weights.clone()
    meta_step(NET, "random", rule, exact(sinusoid_tasks(4, 5, generator(0))), Inner())
    assert torch.equal(before, rule.weights)


def test_reptile_with_one_step_is_the_gradient_of_the_support_loss():
    tasks, w = exact(sinusoid_tasks(5, 10, generator(3))), weights(1)
    found = flat(METHODS["reptile"].gradient(NET, NET.layers(w), tasks, Inner(0.01, 1)))
    torch.testing.assert_close(found, torch.func.grad(mean_loss)(w, tasks) / 5, rtol=1e-7, atol=1e-8)


def test_with_the_sets_mixed_up_the_gradient_is_another():
    tasks, w = exact(sinusoid_tasks(10, 5, generator(3))), weights(1)
    right, wrong = (
        flat(METHODS["maml"].gradient(NET, NET.layers(w), one, Inner(0.01, 1))) for one in (tasks, tasks.mixed_up())
    )
    assert float((right - wrong).norm() / right.norm()) > 0.1


# --- adapting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head_only", [False, True])
def test_adapting_here_and_in_numpy(head_only):
    w, tasks = weights(1).float(), here(sinusoid_tasks(1, 10, generator(4)))
    *_, last = adapt(NET, w, tasks.x, tasks.y, fast_lr=0.01, adaptation_steps=20, head_only=head_only)
    places = given.flat(tasks.x, tasks.y)
    style = dict(points=places.tolist(), sizes=NET.sizes, fast_lr=0.01, head=head_only)
    mine, x = adaptation(w[0].numpy(), style, 20)[-1], np.linspace(-5, 5, 11)
    theirs = NET(last, with_ones(torch.tensor(x, dtype=torch.float32)[None]))[0, :, 0]
    np.testing.assert_allclose(outputs(mine, x), theirs, atol=2e-4)
    assert loss(mine, places) == pytest.approx(float(losses(NET, last, tasks.x, tasks.y)), rel=1e-3)


def test_without_examples_nothing_changes():
    w, none = weights(1), torch.zeros(1, 0, 2, dtype=torch.float64)
    first, *_, last = adapt(NET, w, none, none[:, :, :1], adaptation_steps=3)
    torch.testing.assert_close(flat(first), flat(last), rtol=0, atol=0)
    assert np.isnan(loss(adaptation(w[0].numpy(), dict(points=[], sizes=NET.sizes, fast_lr=1, head=False), 3)[0],
                         np.zeros((0, 2))))  # fmt: skip


def test_examples_all_in_one_place_are_learned():
    w = learning.meta_train("maml", meta_iterations=30).cpu()
    x, y = with_ones(torch.full((1, 10), 1.5)), torch.full((1, 10, 1), 2.0)
    *_, last = adapt(NET, w, x, y, adaptation_steps=20)
    assert float(losses(NET, last, x, y)) < 0.01


def test_steps_that_diverge_are_marked():
    cfg = adapting.Config(meta_iterations=50, fast_lr=0.2)
    last = list(adapting.run(cfg))[-1]
    assert last.diverged == int((last.mine >= adapting.FAR).sum()) >= 4 and np.isfinite(last.mean).all()
    style = dict(points=[[1.0, 9.0]], sizes=NET.sizes, fast_lr=50.0, head=False)
    assert 1 <= len(adaptation(last.maml, style, 20)) < 21


def test_examples_of_a_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"saw examples of shapes .* expected \(t, n, 2\)"):
        next(adapt(NET, weights(2), torch.zeros(3, 5, 2), torch.zeros(3, 5, 1)))
    with pytest.raises(ValueError, match="expected one of maml"):
        learning.meta_train("mamal")


# --- tasks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_tasks_of_every_family(family):
    tasks = here(sinusoid_tasks(50, 7, generator(0), query=11, family=family))
    assert tasks.x.shape == (50, 7, 2) and tasks.query_y.shape == (50, 11, 1)
    assert (tasks.x[..., 0].abs() <= REACH).all() and (tasks.x[..., 1] == 1).all()
    again = FAMILIES[family].function(tasks.params, tasks.query_x[..., 0])
    torch.testing.assert_close(again, tasks.query_y[..., 0])
    low, high = (torch.tensor(ends) for ends in (FAMILIES[family].low, FAMILIES[family].high))
    assert ((tasks.params >= low) & (tasks.params <= high)).all()


def test_noise_is_on_the_support_alone():
    still, noisy = (sinusoid_tasks(400, 10, generator(0), noise=noise) for noise in (0.0, 0.5))
    assert float((noisy.y - still.y).std()) == pytest.approx(0.5, rel=0.05)
    assert torch.equal(still.query_y, noisy.query_y)


def test_the_same_generator_gives_the_same_tasks_and_batches_go_on():
    one, two = (sinusoid_tasks(5, 3, generator(9)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    stream = batches(4, 3, generator(1))
    drawn = [next(stream).params for _ in range(40)]
    assert all(len(one) == 4 for one in drawn) and len({float(one[0, 0]) for one in drawn}) == 40


def test_even_tasks_leave_little_to_chance():
    found = [sinusoid_tasks(16, 1, generator(s), query=10, even=True).query_y.square().mean() for s in range(20)]
    usual = [sinusoid_tasks(16, 1, generator(s), query=10).query_y.square().mean() for s in range(20)]
    assert float(torch.stack(found).std()) < 0.7 * float(torch.stack(usual).std())
    assert float(torch.stack(found).mean()) == pytest.approx(8.67 / 2, rel=0.1)  # E a² / 2, of a from 0.1 to 5


def test_no_single_function_serves_all_sinusoids():
    x = np.linspace(-5, 5, 2001)
    second = (5.0**3 - 0.1**3) / 3 / 4.9  # E a²
    variance = second * (0.5 - 0 * x) - (2.55 * 2 / np.pi * np.cos(x)) ** 2  # of a sin(x - b), b uniform in [0, π]
    assert best_single("sinusoids") == pytest.approx(float(variance.mean()), rel=0.02)
    assert best_single("lines") == pytest.approx(25 / 3 / 3 + 1 / 3, rel=0.02)


def test_a_drawing_is_a_function():
    drawn = np.array([[-5, 0], [0, 2], [5, -2]])
    np.testing.assert_allclose(interpolated(drawn, np.array([-5, -2.5, 0, 2.5, 5])), [0, 1, 2, 0, -2])
    assert interpolated(np.array([[1.0, 3.0]]), np.array([-5, 5])).tolist() == [3, 3]
    assert interpolated(np.array([[0, 1], [0, 3]]), np.array([0.0])) == [2]
    with pytest.raises(ValueError, match="without points"):
        interpolated(np.zeros((0, 2)), np.zeros(1))
    with pytest.raises(ValueError, match="expected one of sinusoids"):
        sinusoid_tasks(1, 1, generator(0), family="cubes")


# --- the visitor's task -----------------------------------------------------------------------------------------


def test_dragged_examples_are_kept_in_the_link_and_forgotten_with_their_task():
    cfg = adapting.Config(shots=3)
    settings = given.dragged({"tag": cfg.tag, "points": [[-4.0, 1.0], [0.0, -9.0], [77.0, 2.0]]}, cfg)
    assert given.dragged({"tag": "of another task", "points": [[0.0, 0.0]] * 3}, cfg) == {}
    assert check_code(settings["support"]) == settings["support"]
    moved = adapting.Config(shots=3, **settings)
    places = given.flat(moved.tasks(1).x, moved.tasks(1).y)
    np.testing.assert_allclose(places, [[-4, 1], [0, -6], [5, 2]], atol=0.002)  # what lies outside goes to the edge
    torch.testing.assert_close(moved.tasks(1).query_y, cfg.tasks(1).query_y)
    other = adapting.Config(shots=3, example=8, **settings)
    torch.testing.assert_close(other.tasks(1).x, adapting.Config(shots=3, example=8).tasks(1).x)


def test_a_drawn_task():
    settings = given.drawn({"points": [[-5, -2], [5, 2]]}, adapting.Config())
    cfg = adapting.Config(**settings)
    assert cfg.task == "yours"
    x, y = cfg.truth()
    torch.testing.assert_close(y[0, :, 0], 0.4 * x[0, :, 0], atol=0.01, rtol=0)
    tasks = cfg.tasks(7)
    torch.testing.assert_close(tasks.y[..., 0], 0.4 * tasks.x[..., 0], atol=0.01, rtol=0)
    with pytest.raises(ValueError, match="Nothing was drawn"):
        given.drawn({"points": []}, cfg)


# --- runs -------------------------------------------------------------------------------------------------------


def test_meta_training_is_repeatable_and_learns():
    one, two = (learning.meta_train("maml", meta_iterations=60, seeds=2) for _ in range(2))
    assert torch.equal(one, two)
    tasks = sinusoid_tasks(200, 10, generator(7))
    before, *_, after = adapt(NET, one[:1], tasks.x, tasks.y, adaptation_steps=3)
    ends = [float(losses(NET, at, tasks.query_x, tasks.query_y).mean()) for at in (before, after)]
    assert ends[1] < 0.6 * ends[0]


def test_a_batch_of_seeds_learns_what_each_would_alone():
    both = Adam(weights(2).float(), 0.01)
    alone = [Adam(one[None].clone(), 0.01) for one in both.weights]
    for drawn, _ in zip(batches(6, 10, generator(1)), range(5), strict=False):
        tasks = here(drawn)
        meta_step(NET, "anil", both, tasks, Inner(0.01, 2))
        for i, rule in enumerate(alone):
            meta_step(NET, "anil", rule, Tasks(*(part[3 * i : 3 * i + 3] for part in tasks)), Inner(0.01, 2))
    torch.testing.assert_close(both.weights, torch.cat([rule.weights for rule in alone]), atol=2e-5, rtol=1e-3)


def test_equal_work_counts_the_passes():
    cfg = train.Training(equal="work", meta_iterations=50, adaptation_steps=3)
    assert [cfg.iterations(name, 30) for name in learning.TRAINED] == [30, 75, 100, 150, 150]
    assert train.Training(equal="work", order="first").iterations("reptile", 30) == 40
    last = list(train.learn(train.Training(equal="work", meta_iterations=50, adaptation_steps=1, order="second")))[-1]
    assert last.done.tolist() == [50, 0, 0, 100, 100, 0] and not last.fomaml.size and np.isnan(last.after[1]).all()


def test_looking_at_another_task_does_not_train_again():
    cfg = train.Config(meta_iterations=50, order="second", adaptation_steps=1, meta_batch_size=2)
    one = list(train.run(cfg))
    two = list(train.run(replace(cfg, example=9)))
    assert len(one) == len(two) and all(a is b for a, b in zip(one, two, strict=True))


def test_both_set_trainings_begin_alike():
    first = next(sets.run(sets.Config(meta_iterations=50)))
    assert first.iteration == 0 and first.mixed_says[0] < first.right_says[0]  # three steps on the judge itself
    assert 0 <= first.turned[1] <= first.turned[0] <= first.turned[2] <= 180
