"""Why networks forget, against closed forms, automatic differentiation, scipy, scikit-learn and brute force."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from scipy.ndimage import rotate
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from torch.nn.functional import kl_div, nll_loss

from engine.device import DEVICE, generator
from engine.forgetting_curves import fisher, importance, interference, pair, plane, room, subspace, winners
from engine.nets import Networks, cross_entropy

NET = Networks((5, 7, 6, 3))


def drawn(k=1, n=11, seed=0):
    """Networks (k, size), examples (1, n, 5) and labels (1, n) in double precision."""
    rng = generator(seed)
    weights = NET.init(k, rng).double().cpu()
    weights += 0.1 * torch.randn(weights.shape, generator=rng, dtype=torch.float64)
    x = torch.randn(1, n, 5, generator=rng, dtype=torch.float64)
    return weights, x, torch.randint(3, (1, n), generator=rng)


def own_slopes(weights, x, y):
    """The gradient of log p of each example's label, by one backward pass each: (n, size)"""
    found = []
    for i in range(x.shape[1]):
        at = weights[0].clone().requires_grad_()
        loss = cross_entropy(NET(at[None], x[:, i : i + 1]), y[:, i : i + 1]).sum()
        found.append(torch.autograd.grad(-loss, at)[0])
    return torch.stack(found)


# --- the Fisher matrix ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_fisher_is_the_hessian_of_the_divergence(seed):
    weights, x, _ = drawn(seed=seed)
    hessian = torch.as_tensor(
        torch.autograd.functional.hessian(lambda one: fisher.divergence(NET, weights, one[None], x)[0], weights[0])
    )
    full = fisher.full(NET, weights, x)
    torch.testing.assert_close(full, hessian, atol=1e-12, rtol=0)
    torch.testing.assert_close(fisher.exact(NET, weights, x)[0], full.diagonal(), atol=1e-12, rtol=0)
    assert torch.linalg.eigvalsh(full).min() > -1e-12


def test_the_exact_fisher_is_a_loop_over_examples_and_classes():
    weights, x, _ = drawn()
    p, total = NET(weights, x).softmax(-1)[0], torch.zeros(NET.size, dtype=torch.float64)
    for c in range(3):
        slopes = own_slopes(weights, x, torch.full((1, 11), c))
        total += (p[:, c, None] * slopes.square()).mean(0)
    torch.testing.assert_close(fisher.exact(NET, weights, x)[0], total, atol=1e-14, rtol=1e-12)


def test_many_networks_have_each_their_own_fisher():
    weights, x, y = drawn(3)
    for one in (lambda w: fisher.exact(NET, w, x), lambda w: fisher.empirical(NET, w, x, y),
                lambda w: fisher.minibatch(NET, w, x, y, 4)):  # fmt: skip
        torch.testing.assert_close(one(weights), torch.cat([one(w[None]) for w in weights]))


@pytest.mark.parametrize("batch", [1, 4, 11, 50])
def test_empirical_and_mini_batch_fishers_are_loops(batch):
    weights, x, y = drawn()
    slopes = own_slopes(weights, x, y)
    torch.testing.assert_close(fisher.empirical(NET, weights, x, y)[0], slopes.square().mean(0))
    size = min(batch, 11)
    groups = slopes[: 11 // size * size].view(-1, size, NET.size)
    torch.testing.assert_close(fisher.minibatch(NET, weights, x, y, batch)[0], groups.mean(1).square().mean(0))


def test_a_sampled_fisher_has_the_exact_one_as_its_mean():
    weights, x, _ = drawn(n=3)
    rng = generator(5)
    many = torch.stack([fisher.sampled(NET, weights, x, rng)[0] for _ in range(1500)])
    true, error = fisher.exact(NET, weights, x)[0], many.std(0) / 1500**0.5
    assert ((many.mean(0) - true).abs() < 5 * error + 1e-12).all()


def test_forms_along_directions_need_no_matrix():
    weights, x, _ = drawn()
    ways = torch.randn(4, NET.size, generator=generator(1), dtype=torch.float64)
    form = ways @ fisher.full(NET, weights, x) @ ways.T
    torch.testing.assert_close(fisher.restricted(NET, weights, ways, x), form)
    step = 1e-6 * ways
    speed = (NET(weights + step, x) - NET(weights - step, x)) / 2e-6
    torch.testing.assert_close(fisher.moved(NET, weights, ways, x), speed, atol=1e-6, rtol=1e-6)


def test_an_unknown_fisher_is_refused():
    weights, x, y = drawn()
    with pytest.raises(ValueError, match="expected one of exact"):
        fisher.diagonal("biased", NET, weights, x, y, 4, 0)


def test_the_steepest_way_is_the_top_eigenvector():
    cfg = importance.Config(direction="steep")
    weights, x = importance.NET.init(1, generator(0)).double(), pair.numerals(60).x[None].double()
    along = importance.ways(cfg, weights, x)
    rows = fisher.root(importance.NET, weights, x)
    largest = float(torch.linalg.svdvals(rows)[0]) ** 2
    assert float(fisher.restricted(importance.NET, weights, along, x)) > 0.97 * largest


def test_the_map_shows_every_weight_once():
    values = torch.arange(1.0, importance.NET.size + 1)
    sheet = importance.map_of(values)
    first, _, last, _ = importance.NET.parts(values[None])
    shown = np.sort(10 ** sheet[np.isfinite(sheet)])
    expected = np.sort(torch.cat([first.flatten(), last.flatten()]).numpy())
    np.testing.assert_allclose(shown, expected, rtol=1e-4)
    np.testing.assert_allclose(10 ** sheet[-8:, :8][::-1].ravel(), first[0, :, 0], rtol=1e-4)


# --- gradients of two tasks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", interference.KINDS)
@pytest.mark.parametrize("angle", [0.0, 45.0, 180.0])
def test_the_forecast_is_the_slope_of_the_old_loss(data, angle):
    tasks = pair.pair(data, angle, 0, 60)
    weights = interference.begun(interference.Config(data=data, first=10), tasks)
    now = interference.take(interference.NETS[data], weights, tasks, 1e-5)
    torch.testing.assert_close(now.actual / now.unit, now.predicted / now.unit, atol=1e-3, rtol=0)
    torch.testing.assert_close(-now.predicted / now.unit, now.cosine)


def test_identical_tasks_have_cosine_one_and_opposite_points_have_their_labels_exchanged():
    same = next(interference.run(interference.Config(angle=0.0)))
    np.testing.assert_allclose(same.cosine, 1.0, atol=1e-12)
    tasks = pair.pair("points", 180.0, 3)
    half = len(tasks.old.x) // 2
    torch.testing.assert_close(tasks.new.x[half:], tasks.old.x[:half], atol=1e-6, rtol=0)
    fresh = interference.begun(interference.Config(first=200), tasks)
    assert interference.take(interference.NETS["points"], fresh, tasks, 0.01).cosine.max() < -0.7


def test_a_bent_gradient_is_never_against_the_old_one():
    rng = generator(0)
    new, old = torch.randn(50, 9, generator=rng), torch.randn(50, 9, generator=rng)
    bent = interference.away(new, old)
    harms = (new * old).sum(1) < 0
    assert ((bent * old).sum(1)[harms].abs() < 1e-5).all() and torch.equal(bent[~harms], new[~harms])
    assert torch.equal(interference.away(new, torch.zeros_like(old)), new)


@pytest.mark.parametrize("angle", [30.0, 90.0, -50.0])
def test_digits_are_turned_as_scipy_turns_them(angle):
    one = torch.zeros(1, 64)
    one.view(8, 8)[2:5, 1:7] = torch.rand(3, 6, generator=generator(0))
    ours = pair.turn_digits(one, angle).view(8, 8).numpy()
    np.testing.assert_allclose(ours, rotate(one.view(8, 8).numpy(), angle, reshape=False, order=1), atol=0.02)


def test_an_unknown_pair_is_refused_and_shuffled_pixels_are_the_same_pixels():
    with pytest.raises(ValueError, match="expected one of points"):
        pair.pair("tigers")
    tasks = pair.pair("permuted", 90.0, 4)
    assert torch.equal(tasks.new.x.sort(1).values, tasks.old.x.sort(1).values)
    assert not torch.equal(tasks.new.x, tasks.old.x)


# --- the plane --------------------------------------------------------------------------------------------------


def test_the_proximal_step_is_the_minimum_that_it_claims():
    rng = generator(1)
    w, to, f = torch.randn(3, 6, generator=rng), torch.randn(6, generator=rng), torch.rand(6, generator=rng)
    strength = torch.tensor([0.0, 2.0, 1e6])
    v = plane.pulled(w, to, f, strength, 0.3).requires_grad_()
    height = (v - w).square().sum(1) / 0.6 + strength / 2 * (f * (v - to).square()).sum(1)
    slope = torch.autograd.grad(height.sum(), v)[0]
    assert (slope.abs() <= 1e-5 * (1 + strength[:, None] * f)).all() and torch.equal(v[0].detach(), w[0])


def test_three_places_lie_in_their_plane():
    cfg = plane.Config(data="points", steps=30)
    on = plane.of(cfg)
    torch.testing.assert_close(on.axes @ on.axes.T, torch.eye(2, device=DEVICE), atol=1e-5, rtol=0)
    assert abs(on.corners[1, 1]) < 1e-4 and (on.corners[0] == 0).all() and (on.corners > on.low).all()
    net, tasks = plane.NETS["points"], pair.pair("points", cfg.angle, 0)
    places = on.start + torch.from_numpy(on.corners[1:]).to(DEVICE) @ on.axes
    assert cross_entropy(net(places[:1], tasks.new.x[None]), tasks.new.y[None]).mean() < 0.2
    dense = fisher.full(net, on.start[None], tasks.old.x[None])
    np.testing.assert_allclose(on.form, (on.axes @ dense @ on.axes.T / 2).cpu().numpy(), atol=1e-5)
    np.testing.assert_allclose(on.diagonal, ((on.axes * dense.diagonal()) @ on.axes.T / 2).cpu().numpy(), atol=1e-5)


def test_the_heights_over_the_plane_are_those_of_the_networks_there():
    cfg = plane.Config(steps=20)
    on, net, tasks = plane.of(cfg), plane.NETS["rotated"], pair.pair("rotated", cfg.angle, 0)
    (x, y), (x_new, y_new) = (plane.seen(task, plane.LOOKED) for task in tasks)
    for row, column in ((0, 0), (3, 27), (15, 15), (30, 8)):
        share = on.low + (on.high - on.low) * np.array([column, row], np.float32) / (plane.GRID - 1)
        place = on.start + torch.from_numpy(share)[None].to(DEVICE) @ on.axes
        own, there = (net(weights, x)[0].log_softmax(-1) for weights in (on.start[None], place))
        expected = (nll_loss(there, y[0]), nll_loss(net(place, x_new)[0].log_softmax(-1), y_new[0]),
                    kl_div(there, own, log_target=True, reduction="batchmean"))  # fmt: skip
        found = [height[row, column] for height in (on.old, on.new, on.apart)]
        np.testing.assert_allclose(found, [float(one) for one in expected], rtol=1e-4, atol=1e-5)


def test_an_outline_has_its_height_everywhere():
    form = np.array([[2.0, 0.5], [0.5, 1.0]])
    ring = plane.outline(form, 0.3)
    np.testing.assert_allclose(np.einsum("ni,ij,nj->n", ring, form, ring), 0.3, rtol=1e-5)
    assert np.isnan(plane.outline(np.zeros((2, 2)))).all()


def test_a_huge_penalty_holds_every_weight_that_matters():
    cfg = plane.Config(steps=20, index=11)
    *_, last = plane.run(cfg)
    assert np.isfinite(last.path).all() and last.strength == 1e5
    assert last.old_right > last.right[0, 1] / 100 - 1e-6


# --- the room ---------------------------------------------------------------------------------------------------


def test_the_span_is_that_of_the_inputs_with_a_one():
    weights, x, _ = drawn(2)
    for span, h in zip(subspace.spans(NET, weights, x), [x.expand(2, -1, -1), *NET.activations(weights, x)[:-1]],
                       strict=True):  # fmt: skip
        for i in range(2):
            seen = np.concatenate([h[i].numpy(), np.ones((11, 1))], 1)
            values = np.linalg.svd(seen, compute_uv=False) ** 2
            np.testing.assert_allclose(span.energy[i].numpy(), values / values.sum(), atol=1e-12)
            rank = int((values > 1e-10).sum())
            ours = span.axes[i][:, :rank].numpy()
            assert np.abs(subspace_angles(ours, np.linalg.svd(seen)[2][:rank].T)).max() < 1e-6


def test_ranks_hold_their_share_and_no_more():
    energy = torch.tensor([[0.6, 0.3, 0.1, 0.0]], dtype=torch.float64)
    found = [int(subspace.rank(energy, share)) for share in (0.0, 0.5, 0.6, 0.61, 0.9, 0.95, 1.0)]
    assert found == [0, 1, 1, 2, 2, 3, 3]


def test_projected_gradients_leave_every_old_output():
    weights, x, y = drawn(2, n=4)
    spans = subspace.spans(NET, weights, x)
    bases = [subspace.kept(span, subspace.rank(span.energy, 1.0)) for span in spans]
    gradient = torch.randn(weights.shape, generator=generator(7), dtype=torch.float64)
    step = subspace.project(NET, gradient, bases)
    torch.testing.assert_close(NET(weights - step, x), NET(weights, x), atol=1e-10, rtol=0)
    torch.testing.assert_close(subspace.project(NET, step, bases), step)
    assert step.norm() > 0.1 * gradient.norm()
    none = [subspace.kept(span, torch.zeros(2, dtype=torch.long)) for span in spans]
    assert torch.equal(subspace.project(NET, gradient, none), gradient)


def test_projection_is_the_product_with_its_matrix():
    weights, x, _ = drawn(1, n=3)
    spans = subspace.spans(NET, weights, x)
    bases = [subspace.kept(span, subspace.rank(span.energy, 0.9)) for span in spans]
    gradient = torch.randn(weights.shape, generator=generator(8), dtype=torch.float64)
    ours, parts = NET.parts(subspace.project(NET, gradient, bases)), NET.parts(gradient)
    for i, basis in enumerate(bases):
        g = torch.cat([parts[2 * i][0], parts[2 * i + 1][0]])
        expected = (torch.eye(len(g), dtype=torch.float64) - basis[0] @ basis[0].T) @ g
        torch.testing.assert_close(torch.cat([ours[2 * i][0], ours[2 * i + 1][0]]), expected)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_the_ends_of_the_threshold(threshold):
    *_, last = room.run(room.Config(threshold=threshold, examples=600, width=10, steps=20))
    if threshold:
        assert last.change[2] < 1e-10 and last.room[:, 1].max() < 25
    else:
        np.testing.assert_array_equal(last.change, last.free)
        assert (last.room[:, 1] == 100).all() and last.moved == 1


# --- winners ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3, 20])
def test_exactly_k_win_and_they_are_the_largest(k):
    h = torch.randn(4, 7, 20, generator=generator(k))
    kept = winners.winners(h, k)
    assert ((kept != 0).sum(-1) == k).all()
    torch.testing.assert_close(kept.sort(-1).values.sum(-1), h.topk(k).values.sum(-1))
    assert torch.equal(kept[kept != 0], h[kept != 0])


def test_ties_never_let_more_than_k_win():
    assert (winners.winners(torch.ones(5, 9), 4).sum(-1) == 4).all()


@pytest.mark.parametrize("k", [0, 21])
def test_an_impossible_number_of_winners_is_refused(k):
    with pytest.raises(ValueError, match="from 1 to 20"):
        winners.winners(torch.zeros(1, 20), k)


def test_groups_of_networks_have_their_own_number_of_winners():
    net = winners.Winners((3, 300))
    weights = winners.NET.init(4, generator(0)).cpu()
    h = net.hidden(weights, torch.rand(1, 9, 64, generator=generator(1)))
    assert ((h[:2] > 0).sum(-1) == 3).all() and ((h[2:] > 0).sum(-1) > 3).all()
    mask = torch.ones(1, 9, winners.UNITS)
    mask[..., :290] = 0
    few = net.hidden(weights, torch.rand(1, 9, 64, generator=generator(1)), mask)
    assert (few[..., :290] == 0).all()


def test_chances_and_overlap_have_their_closed_forms():
    frequency = torch.tensor([[0.0, 0.4, 0.8]])
    chance = winners.keep(frequency, torch.tensor([2.0]))[0]
    torch.testing.assert_close(chance, torch.tensor([1.0, np.exp(-1.0), np.exp(-2.0)]).float())
    assert (winners.keep(torch.zeros(1, 3), torch.tensor([5.0])) == 1).all()
    a = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    assert winners.overlap(a, a) == 1 and winners.overlap(a, 1 - a) == 0
    assert winners.overlap(a, torch.tensor([[0.0, 0.5, 0.5, 0.0]])) == 0.5


def test_components_are_those_of_scikit_learn():
    h = torch.randn(2, 60, 12, generator=generator(3)) * torch.linspace(0.1, 3, 12) + 5
    for one, count in zip(h, winners.components(h), strict=True):
        share = PCA().fit(one.numpy()).explained_variance_ratio_.cumsum()
        assert count == (share < 0.95).sum() + 1


def test_the_rank_correlation_is_that_of_scipy():
    rng = generator(4)
    a = torch.randn(12, generator=rng)
    b = a + torch.randn(12, generator=rng)
    assert winners.rank_correlation(a, b) == pytest.approx(spearmanr(a, b)[0])
    assert np.isnan(winners.rank_correlation(a, torch.zeros(12)))


# --- every run --------------------------------------------------------------------------------------------------

EDGES = [
    (interference, interference.Config(steps=20, step_size=1.0, rule="agem")),
    (interference, interference.Config(data="rotated", steps=20, first=0, angle=0.0)),
    (plane, plane.Config(data="points", angle=0.0, steps=20, index=0)),
    (plane, plane.Config(data="points", angle=180.0, steps=20, kind="empirical")),
    (importance, importance.Config(steps=20, kind="minibatch", batch=200, wrong=0.6)),
    (room, room.Config(examples=5, width=10, steps=20, step_size=0.5)),
    (winners, winners.Config(k=1, steps=40)),
    (winners, winners.Config(k=300, steps=40, alpha=8.0)),
]


@pytest.mark.parametrize(("view", "cfg"), EDGES)
def test_runs_at_their_edges_are_finite_and_repeat(view, cfg):
    last = list(view.run(cfg))[-1]
    loose = {"spectrum", "map", "together"}  # NaN where there is nothing
    for name, value in last._asdict().items():
        assert name in loose or not np.size(value) or np.isfinite(value).all(), name
    again = list(view.run(cfg))[-1]
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(last, again, strict=True))
    other = next(iter(view.run(replace(cfg, seed=cfg.seed + 1))))
    assert not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(next(view.run(cfg)), other, strict=True))
