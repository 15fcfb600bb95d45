"""Learning in sequence against automatic differentiation, brute force, closed forms and one network at a time."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from engine.device import DEVICE, generator
from engine.forgetting_curves import boundary, contest, course, curves, frontier, metrics, rehearsal
from engine.forgetting_curves.backprop import backward, forward, misfit
from engine.forgetting_curves.memory import Coreset, Examples, Gaussians, Reservoir, herd, of_task
from engine.forgetting_curves.methods import EWC, SI, How, Recipe, Setting
from engine.forgetting_curves.rehearsing import AGEM
from engine.forgetting_curves.structure import Sparse, grown
from engine.forgetting_curves.tasks import KINDS, Task, drawn, in_the_plane, sequence
from engine.forgetting_curves.training import METHODS, Training, train_sequence
from engine.nets import Networks, cross_entropy

QUICK = How(epochs=2, hidden=(24, 16))


def short(kind="split", count=3, most=60, dtype=torch.float32):
    """A few small tasks."""
    return tuple(replace(t, x=t.x.to(dtype), test_x=t.test_x.to(dtype)) for t in sequence(kind, count, most=most))


def finish(training):
    """Train to the end."""
    for _ in training.run():
        pass


def test_gradients_are_those_of_automatic_differentiation():
    net, rng = Networks((7, 6, 5, 4)), generator(0)
    weights = net.init(3, rng).double().cpu()
    x, y = torch.randn(3, 9, 7, generator=rng, dtype=torch.float64), torch.randint(4, (3, 9), generator=rng)
    seen = forward(net, weights, x)
    found = backward(net, weights, seen[:-1], misfit(seen[-1], y))
    at = weights.clone().requires_grad_()
    expected = torch.autograd.grad(cross_entropy(net(at, x), y).mean(1).sum(), at)[0]
    torch.testing.assert_close(found, expected, atol=1e-14, rtol=0)


def test_the_four_summaries_of_a_matrix_worked_out_by_hand():
    r = np.array([[0.9, 0.2, 0.1], [0.5, 0.8, 0.3], [0.6, 0.4, 0.7]])
    start = np.array([0.1, 0.1, 0.2])
    assert metrics.average_accuracy(r) == pytest.approx((0.6 + 0.4 + 0.7) / 3)
    assert metrics.backward_transfer(r) == pytest.approx(((0.6 - 0.9) + (0.4 - 0.8)) / 2)
    assert metrics.forward_transfer(r, start) == pytest.approx(((0.2 - 0.1) + (0.3 - 0.2)) / 2)
    assert metrics.forgetting(r) == pytest.approx(((0.9 - 0.6) + (0.8 - 0.4)) / 2)
    r[1, 0] = 0.95  # learned later than when it was the task: only Chaudhry's definition sees that
    assert metrics.forgetting(r) == pytest.approx(((0.95 - 0.6) + (0.8 - 0.4)) / 2)
    assert metrics.forgetting(r) > -metrics.backward_transfer(r)
    one = np.array([[0.8]])
    assert metrics.backward_transfer(one) == metrics.forgetting(one) == metrics.forward_transfer(one, one[0]) == 0


def test_a_batch_of_networks_learns_as_each_one_alone():
    tasks = short(dtype=torch.float64)
    methods = [Recipe(name, memory=30, chosen=((0, 3), (1, 5))) for name in METHODS]
    together = Training(tasks, methods, (0, 5), QUICK)
    finish(together)
    for i, method in enumerate(methods):
        for j, seed in enumerate((0, 5)):
            alone = Training(tasks, [method], (seed,), QUICK)
            finish(alone)
            torch.testing.assert_close(together.every[i, j], alone.every[0, 0], atol=1e-6, rtol=0)


def test_plain_training_is_stochastic_gradient_descent_of_torch():
    tasks, how = short(count=2, dtype=torch.float64), QUICK
    training = Training(tasks, [Recipe("naive")], (4,), how)
    weights, rng = training.weights.clone().requires_grad_(), generator(4)
    training.net.init(1, rng)
    rule = torch.optim.SGD([weights], how.step_size)
    for task in tasks:
        for _ in range(how.epochs):
            for rows in torch.randperm(len(task.y), generator=rng).split(how.batch):
                rule.zero_grad()
                cross_entropy(training.net(weights, task.x[None, rows]), task.y[None, rows]).mean().backward()
                rule.step()
    finish(training)
    torch.testing.assert_close(training.weights, weights.detach(), atol=1e-10, rtol=0)


def test_everything_repeats_and_the_global_randomness_is_left_alone():
    state = torch.get_rng_state()
    first, again = (train_sequence(short(), ("replay", "generative", "sparse"), (0, 1), QUICK) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert torch.equal(state, torch.get_rng_state()) and first.shape == (3, 2, 3, 4)


def setting(net=None, tasks=None, seeds=1):
    tasks = tasks or short(count=2)
    return Setting(net or Networks((64, 24, 16, 10)), tasks, None, How(), seeds)


@pytest.mark.parametrize("strength", [1.0, 1e3, 1e6])
def test_the_proximal_step_of_ewc_is_the_minimum_it_claims_to_be(strength):
    one = EWC(setting(), Recipe("ewc", strength), [generator(0)])
    rng = generator(1)
    weights, anchor, importance = (torch.rand(1, 50, generator=rng, dtype=torch.float64) for _ in range(3))
    one.importance, one.anchor = importance, importance * anchor
    moved = weights.clone()
    one.settle(moved)
    slope = (moved - weights) / 0.1 + strength * importance * (moved - anchor)  # of |v - w|^2 / 2 eta + penalty
    assert moved.isfinite().all() and float(slope.abs().max()) < 1e-9 * strength


@pytest.mark.parametrize("method", ["ewc", "ewc_online", "si"])
def test_no_strength_makes_the_proximal_step_diverge(method):
    recipes = [Recipe(method, 10.0**power) for power in range(7)]
    training = Training(short(), recipes, (0,), QUICK)
    finish(training)
    assert training.weights.isfinite().all()
    start = Training(short(count=1), [Recipe("naive")], (0,), QUICK)
    finish(start)
    moved = (training.every[:, 0] - start.every[0, 0]).norm(dim=1)
    assert (moved.diff() < 1e-3).all() and moved[-1] < 0.5 * moved[0]  # the stronger, the nearer to the first task


def test_a_penalty_in_the_gradient_that_diverges_is_marked():
    found = train_sequence(short(), [Recipe("ewc", 1e6, plain=True), Recipe("ewc", 1e6)], (0,), How(6, hidden=(24,)))
    assert np.isnan(found[0, :, :, -1]).all() and np.isfinite(found[1]).all()


def test_the_path_integral_of_si_is_what_the_loss_fell_by():
    tasks = short(count=1, most=40, dtype=torch.float64)
    how = How(epochs=60, batch=40, step_size=0.01, hidden=(12,))  # whole batches, short steps
    training = Training(tasks, [Recipe("si")], (0,), how)
    learner = training.learners[0]
    assert isinstance(learner, SI)

    def loss():
        return float(cross_entropy(training.net(training.weights, tasks[0].x[None]), tasks[0].y[None]).mean())

    before, paths = loss(), []
    for batch in training.batches(0):
        training.learn(*batch)
        paths.append(float(learner.path.sum()))
    assert paths[-1] == pytest.approx(before - loss(), rel=0.02)


def test_the_projected_step_of_agem_does_not_raise_the_reference_loss():
    one, rng = AGEM(setting(), Recipe("agem"), [generator(0)]), generator(2)
    g, old = (torch.randn(200, 30, generator=rng, dtype=torch.float64) for _ in range(2))
    bent = one.bend(g, old, g)
    along = (bent * old).sum(1)
    assert (along > -1e-12).all() and (along[(g * old).sum(1) < 0].abs() < 1e-12).all()
    agree = (g * old).sum(1) >= 0
    torch.testing.assert_close(bent[agree], g[agree])
    assert one.bend(g, None, g) is g


@pytest.mark.parametrize("kind", ["permuted", "split"])
def test_old_outputs_do_not_change_under_exact_projection(kind):
    tasks = short(kind, 2, 20, torch.float64)  # twenty examples: there is room left
    training = Training(tasks, [Recipe("gpm", threshold=1.0), Recipe("naive")], (0, 1), How(40, hidden=(60, 60)))
    steps, before = training.run(), None
    for time in steps:
        outputs = training.net(training.every.flatten(0, 1), tasks[0].x[None])
        before = outputs if time == 1 else before
    assert before is not None
    change = (training.net(training.every.flatten(0, 1), tasks[0].x[None]) - before).abs().amax((1, 2))
    assert change[:2].max() < 1e-5 and change[2:].min() > 0.1
    read = training.outputs(training.every, tasks[1].x[None]).argmax(-1) == tasks[1].y
    assert read[:2].float().mean(1).min() > 0.6  # and yet it learned


def test_a_grown_basis_is_orthonormal_and_holds_its_share():
    rng = generator(0)
    h = torch.randn(2, 40, 12, generator=rng, dtype=torch.float64) * torch.linspace(2, 0.1, 12, dtype=torch.float64)
    old = torch.linalg.qr(torch.randn(2, 12, 3, generator=rng, dtype=torch.float64)).Q
    basis = grown(h, old, 0.9)
    kept = (h @ basis).square().sum((1, 2)) / h.square().sum((1, 2))
    assert (kept >= 0.9).all() and basis.shape[2] < 12
    inner = basis.transpose(1, 2) @ basis
    lengths = inner.diagonal(dim1=1, dim2=2)
    assert ((lengths - 1).abs().minimum(lengths.abs()) < 1e-10).all()
    assert (inner - torch.diag_embed(lengths)).abs().max() < 1e-10


def test_a_reservoir_is_a_uniform_sample():
    x, times = torch.arange(40.0)[None, :, None], 3000
    box = Reservoir(8, [generator(s) for s in range(times)])
    for part in x.split([5, 20, 15], 1):
        many = part.expand(times, -1, -1)
        box.add(Examples(many, many[..., 0].long(), many[..., 0].long()))
    assert box.kept is not None and box.kept.y.shape == (times, 8)
    counts = np.bincount(box.kept.y.flatten().numpy(), minlength=40)
    assert chisquare(counts).pvalue > 1e-3
    assert all(len(set(row)) == 8 for row in box.kept.y[:50].tolist())


@pytest.mark.parametrize(("size", "kept"), [(0, 0), (10_000, 120)])
def test_a_buffer_of_nothing_and_one_larger_than_the_data(size, kept):
    training = Training(short(count=2), [Recipe("replay", memory=size), Recipe("agem", memory=size),
                                         Recipe("herding", memory=size), Recipe("naive")], (0,), QUICK)  # fmt: skip
    finish(training)
    held = training.learners[0].buffer.kept  # type: ignore[attr-defined]
    assert held.y.shape[1] == kept and np.isfinite(training.accuracy()).all()
    if not size:  # nothing to rehearse is plain training
        for i in (0, 1, 2):
            torch.testing.assert_close(training.every[i], training.every[3])


def test_herding_follows_its_definition():
    features = torch.randn(1, 12, 5, generator=generator(0), dtype=torch.float64)
    order, mean, chosen = herd(features, 6)[0].tolist(), features[0].mean(0), []
    for step in range(6):
        left = [i for i in range(12) if i not in chosen]
        gaps = [float((mean - features[0, [*chosen, i]].mean(0)).norm()) for i in left]
        chosen.append(left[int(np.argmin(gaps))])
        assert order[step] == chosen[step]


def test_a_coreset_shares_its_room_between_the_classes():
    box = Coreset(11)
    for number, task in enumerate(short(count=2)):
        box.add(of_task(task, number, 2), of_task(task, number, 2).x)
    assert box.kept is not None
    assert sorted(np.bincount(box.kept.y[0].cpu().numpy()).tolist()) == [2, 3, 3, 3] and box.kept.y.shape == (2, 11)


def test_the_generator_has_the_mean_and_the_spread_of_each_class():
    task = sequence("split", 1)[0]
    made = Gaussians()
    made.add(task, 0)
    found = made.sample(6000, [generator(0)])
    assert found.x.min() >= task.x.min() and found.x.max() <= task.x.max() and not found.task.any()
    for label in (0, 1):
        own, true = found.x[0, found.y[0] == label], task.x[task.y == label]
        assert (own.mean(0) - true.mean(0)).abs().max() < 0.08
        inside = (true.mean(0) > 0.3) & (true.mean(0) < 0.7)  # where clipping hardly matters
        assert (own.std(0)[inside] / true.std(0)[inside]).mean().item() == pytest.approx(1, abs=0.25)


def test_few_winners_and_those_in_use_are_dropped():
    one = Sparse(setting(), Recipe("sparse", k=5, alpha=4.0), [generator(0)])
    h = torch.rand(1, 400, 24, generator=generator(1))
    assert (one.hidden(h, 0, False) > 0).sum(-1).eq(5).all()
    one.used = [torch.tensor([[1.0] * 12 + [0.0] * 12])]
    active = (one.hidden(h, 0, True) > 0).float().mean((0, 1))
    assert active[:12].mean() < 0.1 * active[12:].mean()


def test_joint_training_sees_everything_once_a_pass():
    tasks = short(count=3, most=40)
    training = Training(tasks, [Recipe("joint")], (0,), How(2))
    seen = torch.cat([training.learners[0].begin(i, 80).x[0] for i in range(3)])  # type: ignore[union-attr]
    every = torch.cat([t.x for t in tasks])
    for part in seen.split(120):
        torch.testing.assert_close(part.sum(0), every.sum(0), atol=1e-3, rtol=0)
        assert len(part.unique(dim=0)) == len(every.unique(dim=0))


@pytest.mark.parametrize("kind", KINDS)
def test_tasks_have_what_they_promise(kind):
    tasks = sequence(kind, 3, 1, most=50)
    assert len(tasks) == 3 and len({t.x.shape[1] for t in tasks}) == 1
    for task in tasks:
        assert len(task.y) == 50 and set(task.test_y.tolist()) <= set(task.classes)
        assert float(task.x.min()) >= 0 and float(task.x.max()) <= 1
    assert sequence(kind, 3, 1, most=50)[2].name == tasks[2].name
    turned = [t.name for t in sequence(kind, 3, 1, most=50, order="reversed")]
    assert turned == [t.name for t in tasks][::-1]


def test_identical_tasks_are_not_forgotten_and_contradictory_ones_are():
    same, other = sequence("rotated", 2, angle=0.0, most=150), sequence("relabelled", 2, most=150)
    assert torch.equal(same[0].x, same[1].x) and torch.equal(other[0].x, other[1].x)
    for tasks, low, high in ((same, -0.2, 0.03), (other, 0.5, 1.0)):
        r = train_sequence(tasks, ("naive",), (0, 1), How(8))[..., 1:].swapaxes(-1, -2)
        assert low <= metrics.forgetting(r).mean() <= high
    assert metrics.average_accuracy(r).mean() < 0.6


def test_a_single_task_and_one_told_apart_by_its_names():
    found = train_sequence(short(count=1), [*METHODS], (0,), QUICK)
    assert found.shape == (len(METHODS), 1, 1, 2) and np.isfinite(found).all()
    told = Training(short("split_task"), [Recipe("naive")], (0,), QUICK)
    logits = told.outputs(told.every, told.tasks[1].test_x[None]) + told.masks[1]  # type: ignore[index]
    assert set(logits.argmax(-1).flatten().tolist()) <= {2, 3}


def test_half_of_each_kind_of_example_at_equal_compute():
    tasks = short(count=2)
    training = Training(tasks, [Recipe("replay", memory=30)], (0,), QUICK._replace(share=True))
    for _ in training.run():
        if training.task == 1:
            break
    new, brought = next(training.batches(1))
    assert brought[0] is not None and brought[0].y.shape[1] == QUICK.batch // 2
    before = training.weights.clone()
    training.learn(new, brought)
    at = before.clone().requires_grad_()
    x, y = (torch.cat([getattr(new, n)[0, :16], getattr(brought[0], n)[0]]) for n in ("x", "y"))
    cross_entropy(training.net(at, x[None]), y[None]).mean().backward()
    torch.testing.assert_close(training.weights, before - 0.1 * at.grad, atol=1e-6, rtol=0)  # type: ignore[operator]


def test_equal_memory_counts_numbers():
    size = course.even(sequence("permuted", 2), How())
    weights = 65 * 100 + 101 * 100 + 101 * 10
    assert size * 65 <= 2 * weights < (size + 1) * 65


@pytest.mark.parametrize(
    ("tasks", "methods", "words"),
    [([], ["naive"], "0 tasks"), (short(), [], "0 methods"), (short(), ["magic"], "called 'magic'")],
)
def test_what_cannot_be_learned_is_refused(tasks, methods, words):
    with pytest.raises(ValueError, match=words):
        train_sequence(tasks, methods, (0,))


def test_strange_tasks_are_refused():
    with pytest.raises(ValueError, match="expected at least one"):
        sequence("split", 0)
    with pytest.raises(ValueError, match="of kind 'moons'"):
        sequence("moons", 2)
    with pytest.raises(ValueError, match="expected one number"):
        train_sequence([short()[0], sequence("strokes", 1)[0]], ("naive",), (0,))
    with pytest.raises(ValueError, match="at least two"):
        drawn(torch.zeros(1, 2), "A")
    with pytest.raises(ValueError, match="two figures"):
        rehearsal.check("123")


def test_tasks_in_the_plane_are_turned_copies_of_the_places_of_the_first():
    first, second = in_the_plane(2, 0, 90.0)
    assert (first.x.mean(0) - torch.tensor([1.5, 0.0], device=DEVICE)).abs().max() < 0.1
    assert (second.x.mean(0) - torch.tensor([0.0, 1.5], device=DEVICE)).abs().max() < 0.1
    task = drawn(torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]), "D")
    assert isinstance(task, Task) and set(task.y.tolist()) == {0, 1} and len(task.y) >= 150


@pytest.mark.parametrize("module", [curves, contest, frontier, rehearsal, boundary], ids=lambda m: m.__name__[25:])
def test_a_view_with_one_task_and_one_of_no_memory(module):
    for change in ({"tasks": 1}, {"memory": 0}):
        known = set(module.Config.__dataclass_fields__)
        if set(change) <= known:
            *_, last = module.run(module.Config(**{"epochs": 1} | change))
            assert last.time >= 1 and all(np.size(value) >= 0 for value in last)
