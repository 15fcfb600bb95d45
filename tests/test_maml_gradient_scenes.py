"""The titles of the scenes on the meta-gradient are claims: each is measured on the very run that it shows."""

from pathlib import Path

import numpy as np
import pytest

from engine.claim import Claim
from engine.figures.maml_gradient import SCENES, VIEWS, matrix, power
from engine.knob import tidy
from engine.maml_adaptation import gradient_claims, surface
from engine.maml_adaptation.surface import BOUND, adapted, places
from tests.topics import drawn, filming

frames = filming(SCENES, VIEWS)
BY_NAME = {view.name: view for view in VIEWS}
MAML, FOMAML, REPTILE, JOINT = range(4)


def end(name, **changes):
    return frames(name, **changes)[-1]


@pytest.mark.parametrize("name", [scene.name for scene in SCENES])
def test_every_scene_can_be_drawn(name):
    drawn(name, SCENES, VIEWS, frames(name))


def test_the_best_start_moves_as_steps_are_added():
    run = frames("moves")
    moved = [float(np.linalg.norm(f.best - run[0].best)) for f in run]
    assert min(moved[3:]) > 1.2 and moved[1] > 0.5
    middle = run[0].best - np.mean(surface.Config().tasks.centre.numpy(), (0, 1))
    assert np.linalg.norm(middle) < 0.4  # without a step it is the middle of all tasks
    assert all(f.middle > 2 * f.least for f in run[2:])


def test_here_joint_training_climbs_the_surface():
    run = frames("uphill")
    assert run[0].turned[JOINT] < 10 and min(f.turned[JOINT] for f in run[1:]) > 120
    scene = next(scene for scene in SCENES if scene.name == "uphill")
    cfg = tidy(surface.Config, scene.settings)
    for f in run[1:]:
        near = cfg.phi.numpy() + 0.05 * f.joint[0]  # a short step of joint training, and the loss after k inner ones
        after = surface.Config(phi_x=float(near[0]), phi_y=float(near[1]))
        path = surface.walk(after.tasks, after.phi, cfg.fast_lr, f.step)
        assert float(after.tasks.loss(surface.B, path[-1]).mean()) > f.loss


def test_beyond_a_wall_the_inner_steps_run_away():
    cfg, last = tidy(surface.Config, {"fast_lr": 1.1}), end("wall")
    at, out = places().view(-1, 1, 2).expand(-1, 5, 2), np.zeros(surface.EDGE**2, bool)
    for _ in range(surface.STEPS):
        at = adapted(cfg.tasks, at, cfg.fast_lr)
        out |= (at.abs() >= BOUND).any(-1).any(-1).numpy()
    assert 0.2 < out.mean() < 0.8 and last.diverged >= 1 and end("moves").diverged == 0
    height = last.height.ravel()
    assert np.percentile(height[~out], 90) < 0 < np.percentile(height[out], 10)
    far = np.abs(places().numpy().reshape(-1, 2)).max(1)
    assert far[out].mean() > far[~out].mean() + 0.5  # the calm places are in the middle
    assert last.factor[0] < -1


def test_in_the_other_order_it_goes_elsewhere():
    run = frames("order")
    assert all(f.turned > 45 and f.miss > 0.5 for f in run[3:]) and run[1].miss < 1e-14
    assert max(f.error for f in run) < 1e-12


def test_with_one_curvature_the_order_does_not_matter():
    assert max(f.miss for f in frames("same")) < 1e-12
    factors = np.array([f.factor for f in frames("same")])
    np.testing.assert_allclose(factors, np.repeat(factors[:1], len(factors), 0))


def test_only_the_flat_direction_comes_back():
    last = end("flat")
    assert last.stretch[0] > 0.7 and last.stretch[1] < 1e-3
    flat = np.linalg.svd(last.product)[0][:, 0]
    assert abs(flat @ last.right[0]) / np.linalg.norm(last.right) > 0.999
    along = tidy(BY_NAME["jacobians"].config, {"condition": 30.0, "bend": 0.0, "fast_lr": 0.8}).tasks.matrix[0, 4]
    assert flat @ along.numpy() @ flat == pytest.approx(1 / 30, rel=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_maml_asks_for_agreement_twice_as_much(seed):
    last = end("twice", seed=seed)
    np.testing.assert_allclose(last.first, [1, 1, 2], atol=1e-3)
    np.testing.assert_allclose(last.second, [-2, -1, -1], rtol=0.02)
    np.testing.assert_allclose(last.order, [2, 2, 2, 1], atol=0.02)


@pytest.mark.parametrize("k", [3, 4])
def test_with_more_minibatches_theory_holds_too(k):
    last = end("twice", adaptation_steps=k, longest=0.01)
    np.testing.assert_allclose(last.second, last.theory[:, 1], rtol=0.02)
    np.testing.assert_allclose(last.first, last.theory[:, 0], rtol=0.02)


def test_with_one_minibatch_all_are_joint_training():
    for f in frames("alone"):
        np.testing.assert_allclose(f.first, 1, atol=1e-10)
        assert abs(f.second).max() < 1e-9 and f.rest.max() < 1e-12 and f.gap == 0
        assert np.isnan(f.order).all()


def test_with_relu_the_two_terms_are_not_all():
    assert min(end("kink").rest) > 1e-3 and max(end("twice").rest) < 1e-5
    assert end("kink").order[3] == pytest.approx(1, abs=0.1)
    for seed in (0, 3, 5):
        short = [
            np.array([f.order[:3] for f in frames(name, seed=seed) if f.size < 2e-3]) for name in ("kink", "twice")
        ]
        assert abs(short[0] - 2).max() > 0.5 > 0.1 > abs(short[1] - 2).max()


def test_every_scene_is_measured_here():
    text = Path(__file__).read_text("utf-8")
    assert not [scene.name for scene in SCENES if f'"{scene.name}"' not in text]


def test_every_statement_has_its_claim():
    assert [one.id for one in vars(gradient_claims).values() if isinstance(one, Claim)] == ["ML-3", "ML-4", "ML-6"]


def test_numbers_in_the_formula():
    assert power(1.56e-4) == "1.6e-04" and power(0.0) == "0" and power(np.nan) == r"\text{–}"
    assert matrix(np.array([[1, 0.5], [0, -2]])) == r"1&0.5\\0&-2"
    assert matrix(np.zeros((0, 2))) == ""
