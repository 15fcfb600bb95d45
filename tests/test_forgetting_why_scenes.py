"""The titles of the scenes on why networks forget are claims: each is measured on the very run that the scene shows."""

from pathlib import Path

import numpy as np
import pytest

from engine.claim import Claim
from engine.figures.forgetting_why import SCENES, VIEWS
from engine.forgetting_curves import plane, room_claims, why_claims
from engine.knob import tidy
from tests.topics import drawn, filming

frames = filming(SCENES, VIEWS)
CLAIMS = {one.id for module in (why_claims, room_claims) for one in vars(module).values() if isinstance(one, Claim)}
BY_NAME = {view.name: view for view in VIEWS}


def end(name, **changes):
    return frames(name, **changes)[-1]


def setting(name):
    scene = next(scene for scene in SCENES if scene.name == name)
    return tidy(BY_NAME[scene.view].config, scene.settings)


@pytest.mark.parametrize("name", [scene.name for scene in SCENES])
def test_every_scene_can_be_drawn(name):
    drawn(name, SCENES, VIEWS, frames(name))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_task_turned_far_enough_interferes(seed):
    for frame in (frames("turned", seed=seed)[0], end("turned", seed=seed)):
        angles, cosines = frame.dial.T
        assert cosines[0] == pytest.approx(1, abs=1e-6) and (np.sign(cosines[angles >= 120]) == -1).all()
        assert (np.diff(np.sign(cosines)) != 0).sum() == 1
    assert frames("turned", seed=seed)[0].cosine[2] < 0 < frames("turned", seed=seed, angle=20.0)[0].cosine[1]
    assert end("turned", seed=seed).signs >= 0.99


def test_one_gains_what_the_other_loses():
    run = frames("opposed")
    assert run[0].cosine[0] < -0.9 and max(f.cosine[2] for f in run) < -0.7
    assert (np.diff([f.old_loss[0] for f in run]) > 0).all() and (np.diff([f.new_loss[0] for f in run]) < 0).all()


def test_a_long_step_breaks_the_forecast():
    first, short = frames("longstep")[0], frames("longstep", step_size=0.001)[0]
    assert first.cosine[0] > 0 and first.predicted < 0 < first.actual and first.signs < 1
    assert short.cosine[0] == first.cosine[0] and short.actual < 0 and short.signs == 1
    assert np.abs(short.pairs[:, 1] - short.pairs[:, 0]).max() < 0.05 and np.abs(end("longstep").pairs).max() < 1.2


def test_a_bent_step_leaves_the_old_loss():
    run, plain = frames("turned", rule="agem"), frames("turned")
    assert run[-1].old_loss[0] - run[0].old_loss[0] < 0.02 * (plain[-1].old_loss[0] - plain[0].old_loss[0])
    assert run[-1].new_loss[0] < run[0].new_loss[0]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_fisher_knows_the_old_loss_nearby(seed):
    line = plane.of(tidy(plane.Config, {"seed": seed})).line
    assert setting("valley") == plane.Config()
    near = (line[:, 0] > 0) & (line[:, 0] <= 0.5)
    assert np.abs(line[near, 2] / line[near, 1] - 1).max() < 0.2
    assert line[-1, 1] > 1.2 * line[-1, 2]


def test_the_strength_slides_from_learning_to_remembering():
    right = end("slider").right
    assert np.diff(right[:, 1]).min() > -1.5 and np.diff(right[:, 2]).max() < 1.5
    assert np.abs(right[5:, 1] - right[4, 1]).max() < 1.5 and 20 < right[4, 0] < 40  # no more of the old
    assert right[-1, 1] - right[0, 1] > 20 and right[0, 2] - right[-1, 2] > 30
    assert end("slider").strength == pytest.approx(1e4)


@pytest.mark.parametrize("seed", [0, 1])
def test_no_strength_is_as_good_as_both_at_once(seed):
    last = end("both", seed=seed)
    assert 100 * last.joint_right > last.right[:, 1:].mean(1).max()


def test_what_the_form_misses_shrinks_with_the_cube():
    run = frames("cube")[5:]
    assert abs(np.mean([f.slope for f in run]) - 3) < 0.2 and np.std([f.slope for f in run]) < 0.35
    assert all(abs(f.half - 0.5) < 0.003 for f in run)


def test_half_of_the_weights_hardly_matter():
    idle, weighty = end("idle"), end("idle", direction="important")
    at = np.searchsorted(idle.apart[:, 0], 0.99)
    assert idle.apart[at, 1] < weighty.apart[at, 1] / 30 and idle.top_half < 0.1


def test_a_mini_batch_fisher_is_far_too_small():
    last = end("batch")
    assert last.ratio < 1 / 16 and end("batch", batch=1).ratio > 0.3


def test_nothing_old_changes_and_the_new_is_learned():
    run = frames("exact")
    assert max(f.change[2] for f in run) < 1e-12 and run[0].new[0] < 20 and run[-1].new[1] > 92
    assert run[-1].free[1] > 1 and run[-1].old[0] > run[-1].old_free[0] + 15


def test_most_of_the_energy_and_it_hardly_forgets():
    last = end("nearly")
    assert last.before - last.old[0] < 2 and last.old[0] > last.old_free[0] + 15 and last.new[0] > 92
    assert (last.room[:, 1] > 50).all() and last.change[2] > 0.1


def test_at_full_rank_next_to_nothing_is_learned():
    last = end("full")
    assert last.new[0] < 30 < 85 < last.new_free[0] and last.change[2] < 1e-10
    assert last.room[:, 1].max() < 12


def test_dropout_moves_the_new_task_to_other_units():
    last = end("apart")
    assert last.falls > 10 and (np.diff(last.overlap[:, 1]) < 0).all() and last.together > 0.7
    assert last.forgotten[0, 1] > 4 * last.forgotten[-1, 1]


def test_fewer_winners_less_overlap_more_forgotten():
    last = end("fewer")
    assert last.together < -0.7 and last.overlap[0, 1] < last.overlap[-1, 1] / 2
    assert last.forgotten[0, 1] > 1.5 * last.forgotten[-1, 1]


def test_the_strongest_dropout_costs_the_new_task():
    last = end("price")
    assert last.new[0, 1] - last.new[-1, 1] > 4 and last.forgotten[0, 1] > 3 * last.forgotten[-1, 1]
    assert last.new[0, 1] - last.new[2, 1] < 2


def test_every_scene_is_measured_here():
    text = Path(__file__).read_text("utf-8")
    assert not [scene.name for scene in SCENES if f'"{scene.name}"' not in text]


def test_every_statement_has_its_claim():
    assert {"CL-1", *(f"CL-{i}" for i in range(3, 11))} == CLAIMS
