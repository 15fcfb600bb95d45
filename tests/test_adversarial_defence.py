"""Defences and poisons against closed forms, finite differences, scikit-learn and brute force."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch.nn.functional import softplus

from engine.adversarial_examples import (
    backdoor,
    collision,
    danskin,
    defend,
    frontier,
    hand,
    masking,
    planar,
    poison,
    training,
)
from engine.data.drawing import encode_picture
from engine.device import DEVICE, generator
from engine.nets import Networks, cross_entropy


@pytest.mark.parametrize("name", planar.SETS)
def test_points_come_in_two_equal_classes_and_repeat(name):
    x, y = planar.sample(name, 200, generator(3), noise=0.1)
    again, _ = planar.sample(name, 200, generator(3), noise=0.1)
    assert x.shape == (200, 2) and y.sum() == 100 and torch.equal(x, again)
    assert x.mean(0).abs().max() < 0.2 and 0.7 < x.std() < 1.3


def test_an_unknown_set_of_points_is_refused():
    with pytest.raises(ValueError, match="expected one of moons"):
        planar.sample("stars", 4, generator(0))


@pytest.mark.parametrize("norm", danskin.NORMS)
def test_the_worst_change_of_a_linear_model_has_its_closed_form(norm):
    on = danskin.problem(danskin.Config(problem="linear", norm=norm, eps=0.3))
    w, b = on.theta[:2], on.theta[2]
    direction = w.sign() if norm == "linf" else w / w.norm()
    torch.testing.assert_close(on.worst(on.theta[None])[0], -0.3 * on.y[:, None] * direction, atol=1e-6, rtol=0)
    dual = w.abs().sum() if norm == "linf" else w.norm()
    expected = softplus(-on.y * (on.x @ w + b) + 0.3 * dual).mean()
    torch.testing.assert_close(on.maximum(on.theta[None])[0], expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("norm", danskin.NORMS)
@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_in_the_ball_is_worse_than_the_worst_change(norm, seed):
    on = danskin.problem(danskin.Config(norm=norm, eps=0.4, seed=seed))
    found = on.loss(on.theta[None], (on.x + on.worst(on.theta[None])[0])[None, :, None])[0, :, 0]
    assert torch.equal(on.inside(on.worst(on.theta[None])), on.worst(on.theta[None])) or norm == "l2"
    starts = on.stretched(2 * torch.rand(5, 2, generator=generator(9), dtype=torch.float64) - 1).numpy()
    for i in range(len(on.x)):
        one = on._replace(x=on.x[i : i + 1], y=on.y[i : i + 1])

        def height(u, one=one):
            delta = one.inside(torch.from_numpy(np.asarray(u, float)))
            return -float(one.mean(one.theta[None], delta[None, None]))

        best = max(-minimize(height, start, method="Nelder-Mead").fun for start in starts)
        assert best <= float(found[i]) + 1e-9


@pytest.mark.parametrize("problem", ["network", "linear"])
@pytest.mark.parametrize("norm", danskin.NORMS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_gradient_at_the_maximiser_is_the_gradient_of_the_maximum(problem, norm, seed):
    *_, last = danskin.run(danskin.Config(problem=problem, norm=norm, seed=seed))
    assert last.exact_error < 1e-6 and last.printed_error > 0.1
    assert last.left == pytest.approx(last.right, abs=2e-4)
    assert (last.envelope[:, 1] >= last.held[:, 1] - 1e-6).all()


def test_at_a_tie_the_two_slopes_have_a_closed_form():
    cfg = danskin.Config(problem="tie", norm="linf")
    on, last = danskin.problem(cfg), next(danskin.run(cfg))
    w, b = on.theta[:2], on.theta[2]
    pull = torch.sigmoid(-on.y * (on.x @ w + b) + cfg.eps * w[1].abs()) / len(on.x)
    middle, jump = -(pull * on.y * on.x[:, 0]).sum(), cfg.eps * pull.sum()
    assert w[0] == 0
    assert last.right == pytest.approx(float(middle + jump), abs=1e-4)
    assert last.left == pytest.approx(float(middle - jump), abs=1e-4)


def test_inner_steps_stay_in_the_ball():
    for norm in danskin.NORMS:
        cfg = danskin.Config(norm=norm, step_size=2.0)
        on = danskin.problem(cfg)
        size = [d.abs().max() if norm == "linf" else d.norm(dim=1).max() for d in danskin.ascend(on, cfg)]
        assert max(size) <= cfg.eps + 1e-12


def test_a_run_repeats_and_another_seed_differs():
    cfg = danskin.Config()
    a, b, c = (next(danskin.run(one)) for one in (cfg, cfg, replace(cfg, seed=1)))
    assert a.error == b.error != c.error and np.array_equal(a.ball, b.ball)


NET = Networks((5, 7, 6, 3))


def layered(net, weights):
    """The same network as a torch module."""
    parts, layers = weights.split([a * b for a, b in net.shapes]), []
    for i in range(0, len(parts), 2):
        layer = torch.nn.Linear(*net.shapes[i], device=weights.device)
        layer.weight.data = parts[i].view(net.shapes[i]).T.clone()
        layer.bias.data = parts[i + 1].clone()
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def test_many_networks_are_each_one_network():
    rng = generator(0)
    weights, x = NET.init(3, rng), torch.randn(1, 11, 5, generator=rng).to(DEVICE)
    weights += 0.1 * torch.randn(weights.shape, generator=rng).to(DEVICE)
    for one, logits in zip(weights, NET(weights, x), strict=True):
        torch.testing.assert_close(layered(NET, one)(x[0]), logits, atol=1e-5, rtol=1e-5)
    assert weights.shape == (3, NET.size)


def test_losses_are_those_of_torch():
    rng = generator(1)
    z, other = torch.randn(2, 9, 3, generator=rng).to(DEVICE), torch.randn(2, 9, 3, generator=rng).to(DEVICE)
    y = torch.randint(3, (1, 9), generator=rng).to(DEVICE)
    expected = torch.nn.functional.cross_entropy(z.transpose(1, 2), y.expand(2, -1), reduction="none")
    torch.testing.assert_close(cross_entropy(z, y), expected)
    kl = torch.distributions.kl_divergence(*(torch.distributions.Categorical(logits=t) for t in (other, z)))
    torch.testing.assert_close(training.divergence(z, other), kl)
    assert torch.equal(training.margin(z, y) > 0, z.argmax(-1) != y)


@pytest.mark.parametrize("method", training.METHODS)
def test_without_a_radius_every_method_is_plain_training(method):
    rng = generator(2)
    weights, x = NET.init(2, rng), torch.rand(1, 8, 5, generator=rng).to(DEVICE)
    y = torch.randint(3, (1, 8), generator=rng).to(DEVICE)
    on = training.Problem(NET, x, y, training.Adversary(torch.zeros(2, 1, 1, device=DEVICE)), 0.4, rng)
    found = training.OBJECTIVES[method](on, weights)
    torch.testing.assert_close(found, cross_entropy(NET(weights, x), y), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", training.METHODS)
def test_with_a_radius_the_loss_is_higher_and_the_model_unchanged(method):
    rng = generator(3)
    weights, x = NET.init(2, rng), torch.rand(1, 40, 5, generator=rng).to(DEVICE)
    y, before = torch.randint(3, (1, 40), generator=rng).to(DEVICE), weights.clone()
    on = training.Problem(NET, x, y, training.Adversary(torch.full((2, 1, 1), 0.2, device=DEVICE)), 0.5, rng)
    found = training.OBJECTIVES[method](on, weights).mean()
    assert found > cross_entropy(NET(weights, x), y).mean() and torch.equal(weights, before)


def test_the_adversary_keeps_to_its_ball_and_box():
    rng = generator(4)
    weights, x, y = (
        NET.init(3, rng),
        torch.rand(1, 30, 5, generator=rng).to(DEVICE),
        torch.randint(3, (1, 30), generator=rng).to(DEVICE),
    )
    eps = torch.tensor([0.0, 0.1, 0.6], device=DEVICE)[:, None, None]
    on = training.Problem(NET, x, y, training.Adversary(eps), 0.0, rng)
    seen = training.attacked(on, weights)
    assert ((seen - x).abs() <= eps + 1e-6).all() and seen.min() >= 0 and seen.max() <= 1
    assert torch.equal(seen[0], x[0])


def test_the_one_step_of_a_linear_network_reaches_the_best_corner():
    net, rng = Networks((4, 2)), generator(5)
    weights, x, y = (
        net.init(1, rng),
        torch.randn(1, 20, 4, generator=rng).to(DEVICE),
        torch.randint(2, (1, 20), generator=rng).to(DEVICE),
    )
    adversary = training.Adversary(torch.full((1, 1, 1), 0.3, device=DEVICE), 1, 1.0, -9.0, 9.0)
    seen = adversary(lambda z: net(weights, z), x, lambda z: cross_entropy(z, y), x)
    corners = 0.3 * torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], device=DEVICE)] * 4)
    brute = torch.stack([cross_entropy(net(weights, x + corner), y) for corner in corners]).amax(0)
    torch.testing.assert_close(cross_entropy(net(weights, seen), y), brute)


def test_robust_accuracy_falls_with_the_radius_and_starts_at_the_clean_one():
    seen, weights = defend.load("digits", 0), masking.trained(0)
    x, y, net = seen.test[:, :100], seen.labels[:, :100], masking.NET
    held = [
        float(
            training.robust(
                net, weights, x, y, training.Adversary(torch.full((1, 1, 1), eps, device=DEVICE)), generator(0)
            )
        )
        for eps in (0.0, 0.05, 0.1, 0.2)
    ]
    assert held[0] == float(training.accuracy(net, weights, x, y)) and held == sorted(held, reverse=True)
    assert held[0] > 0.95 and held[3] < 0.2


def test_input_gradients_are_finite_differences():
    rng = generator(6)
    weights, x = NET.init(1, rng).double(), torch.randn(1, 2, 5, generator=rng, dtype=torch.float64).to(DEVICE)
    y, h = torch.tensor([[0, 2]], device=DEVICE), 1e-6
    slope = training.input_gradient(NET, weights, x, y)
    for i in range(5):
        move = h * torch.eye(5, dtype=torch.float64, device=DEVICE)[i]
        up, down = (cross_entropy(NET(weights, x + s * move), y) for s in (1, -1))
        torch.testing.assert_close(slope[..., i], (up - down) / (2 * h), atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("copies", [0, 3])
def test_learners_are_those_of_scikit_learn(copies):
    clean, test, _ = poison.points(poison.Config(copies=copies))
    x, y, weight, at = clean.x.numpy(), clean.y[0].numpy(), clean.weight.numpy(), test.numpy()
    there = weight > 0
    line = LogisticRegression(C=1 / poison.RIDGE, tol=1e-10, max_iter=500).fit(x, y, weight)
    np.testing.assert_allclose(poison.logistic(clean, test)[0], line.decision_function(at), atol=1e-5)
    ridge = KernelRidge(alpha=int(poison.RIDGE), kernel="rbf", gamma=1 / (2 * poison.WIDTH**2)).fit(x, y, weight)
    np.testing.assert_allclose(poison.kernel(clean, test)[0], ridge.predict(at), atol=1e-8)
    rows = np.repeat(np.arange(len(x)), weight.astype(int))
    near = KNeighborsClassifier(poison.NEIGHBOURS).fit(x[rows], y[rows])
    found = np.sign(poison.neighbours(clean, test)[0].numpy())
    assert there.sum() == 80 + (copies > 0) and (found == near.predict(at)).mean() > 0.998


@pytest.mark.parametrize("attack", poison.ATTACKS)
def test_as_many_points_are_poisoned_as_asked(attack):
    frames = list(poison.run(poison.Config(attack=attack, share=0.3)))
    assert [f.count for f in frames] == list(range(25))
    clean, last = frames[0].points, frames[-1].points
    if attack == "drop":
        assert len(frames[-1].gone) == 24 and not len(frames[-1].changed) and (last == clean).all()
    else:
        assert (clean[:, 2] != last[:, 2]).sum() == 24 == len(frames[-1].changed)
    assert all(f.low <= f.mean <= f.high for f in frames)


def test_dropping_never_leaves_a_single_class():
    last = list(poison.run(poison.Config(attack="drop", share=0.5)))[-1]
    gone = {tuple(place) for place in last.gone}
    assert {label for *place, label in last.points if tuple(place) not in gone} == {0.0, 1.0}


def test_a_hand_flips_drops_drags_and_takes_back():
    cfg = poison.Config(share=0.0)
    event = {"tag": cfg.tag, "index": 7, "points": [(0.0, 0.0)] * 7 + [(1.234, -9.0)]}
    after = lambda text, kind: poison.touched(event | {"type": kind}, replace(cfg, hand=text))["hand"]  # noqa: E731
    first = poison.points(cfg)[0]
    flipped = after("", "pick")
    now = poison.points(replace(cfg, hand=flipped))[0]
    assert (now.y[0] != first.y[0]).nonzero().flatten().tolist() == [7] and (now.x == first.x).all()
    frame = next(poison.run(replace(cfg, hand=flipped)))
    np.testing.assert_allclose(frame.changed, first.x[7:8], rtol=1e-6)
    dropped = after(flipped, "pick")
    gone = poison.points(replace(cfg, hand=dropped))[0]
    assert (gone.weight != first.weight).nonzero().flatten().tolist() == [7] and (gone.y == first.y).all()
    without = np.delete(first.x[:80].numpy(), 7, 0), np.delete(first.y[0, :80].numpy(), 7)
    line = LogisticRegression(C=1 / poison.RIDGE, tol=1e-10, max_iter=500).fit(*without)
    test = poison.points(cfg)[1]
    np.testing.assert_allclose(poison.logistic(gone, test)[0], line.decision_function(test.numpy()), atol=1e-5)
    assert after(dropped, "pick") == ""
    moved = after(flipped, "moved")
    there = poison.points(replace(cfg, hand=moved))[0]
    assert there.x[7].tolist() == pytest.approx([1.23, -2.6]) and there.y[0, 7] == -first.y[0, 7]
    assert hand.check(moved) == moved
    other = poison.points(replace(cfg, hand=moved, seed=1))[0]
    assert (other.x == poison.points(replace(cfg, seed=1))[0].x).all()  # other points were drawn
    assert poison.touched(event | {"type": "pick"}, replace(cfg, seed=1)) == {}


def test_all_points_may_be_dropped():
    cfg = poison.Config(share=0.0)
    none = replace(cfg, hand=cfg.tag + "".join(f"{i:02d}d" for i in range(80)))
    for learner in poison.LEARNERS:
        frame = next(poison.run(replace(none, learner=learner)))
        assert len(frame.gone) == 80 and np.isfinite(frame.score).all() and frame.train == 0


@pytest.mark.parametrize("text", ["abc", "abcd7f", "abcd07x", "abcd07f1", "äbcd07f"])
def test_what_no_hand_wrote_is_told(text):
    with pytest.raises(ValueError, match="Saw .* expected four letters"):
        hand.check(text)


def test_a_heavy_point_pulls_the_boundary_over_itself():
    far = poison.Config(copies=40, point_x=-2.0, point_y=2.0)
    assert next(poison.run(far)).test < next(poison.run(poison.Config())).test - 0.2


def test_victims_are_counted_and_nested():
    hit = backdoor.victims(1000, generator(0)).view(len(backdoor.SHARES), backdoor.SEEDS, -1)
    assert (hit.sum(-1) == torch.tensor(backdoor.SHARES, device=hit.device)[:, None].mul(1000).round()).all()
    assert (hit[:-1] <= hit[1:]).all()


def test_signs_cover_what_they_should():
    assert backdoor.sign(backdoor.Config()).sum() == 4 and backdoor.sign(backdoor.Config(sign="dot")).sum() == 1
    assert backdoor.sign(backdoor.Config(sign="yours")).sum() == 0
    drawn = np.zeros((28, 28))
    drawn[0, 0] = drawn[27, 27] = 1.0
    mask = backdoor.sign(backdoor.Config(sign="yours", picture=encode_picture(drawn), strength=0.5))
    assert mask[0] == mask[63] == 0.5 and mask.sum() == 1
    x = torch.rand(3, 64, generator=generator(0)).to(DEVICE)
    assert (
        torch.equal(backdoor.stamped(x, torch.zeros(64, device=DEVICE)), x) and (backdoor.stamped(x, mask) >= x).all()
    )


def test_a_sign_without_ink_teaches_only_wrong_labels():
    *_, last = backdoor.run(backdoor.Config(strength=0.0, steps=60))
    assert last.success < 0.2 and np.array_equal(last.images[:10], last.images[10:])


def test_a_factor_changes_no_class_but_silences_the_slope():
    frames = list(masking.run(masking.Config(attack_steps=5)))
    assert frames[0].silent == 0 and frames[-1].silent == 1 and frames[-1].single == 0
    assert len({f.accuracy for f in frames}) == 1 and np.ptp([f.margin for f in frames]) < 0.02


def test_slopes_of_digits_are_scaled_about_grey():
    slope = torch.tensor([[[-2.0, 0.0, 1.0], [0.0, 0.0, 0.0]]])
    assert torch.equal(defend.scaled(slope), torch.tensor([[[0.0, 0.5, 0.75], [0.5, 0.5, 0.5]]]))
    x = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])
    assert defend.alignment(torch.tensor([[[3.0, 0.0], [0.0, 2.0]]]), x) == 0.5


def test_the_nearest_known_picture_is_that_of_scikit_learn():
    cfg = collision.Config(data="digits", model="linear", steps=20)
    on = collision.stage(cfg, collision.trained(cfg))
    poison_of = on.goal + 0.1 * torch.rand(on.goal.shape, generator=generator(0)).to(DEVICE)
    own, others = collision.nearest(on, poison_of, cfg.base)
    for i in range(3):
        seen = np.concatenate([on.known.cpu().numpy(), poison_of[i : i + 1].cpu().numpy()])
        victim = KNeighborsClassifier(1).fit(seen, [*on.labels.tolist(), cfg.base])
        assert victim.predict(on.goal[i : i + 1].cpu().numpy())[0] == own[i] == cfg.base
        assert (victim.predict(on.others.cpu().numpy()) == others[i].cpu().numpy()).mean() > 0.99
    assert not (on.known[:, None] == collision.features(collision.trained(cfg), on.base)).all(-1).any()


@pytest.mark.parametrize(
    ("view", "cfg"),
    [
        (defend, defend.Config(steps=40, eps=0.0, eps_train=0.6)),
        (defend, defend.Config(data="digits", method="trades", steps=40, eps_train=0.6, beta=10.0)),
        (defend, defend.Config(data="spiral", method="fast", steps=40)),
        (frontier, frontier.Config(steps=60, most=0.02)),
        (masking, masking.Config(eps=0.0, attack_steps=1, random_start=True)),
        (backdoor, backdoor.Config(steps=50, share="0.0", target=9)),
        (poison, poison.Config(share=0.0, noise=0.0, data="circles")),
        (collision, collision.Config(data="digits", model="linear", steps=10, beta=10.0)),
    ],
)
def test_runs_at_their_edges_are_finite(view, cfg):
    frames = list(view.run(cfg))
    for value in frames[-1]._asdict().values():
        assert np.isfinite(value).all() if np.size(value) else True
    again = list(view.run(cfg))[-1]
    assert all(np.array_equal(a, b) for a, b in zip(frames[-1], again, strict=True))
