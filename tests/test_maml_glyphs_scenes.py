"""The titles of the scenes on glyphs and on the reuse of features are claims: each is measured on the run it shows."""

from pathlib import Path

import numpy as np
import pytest

from engine.claim import Claim
from engine.device import generator
from engine.figures.maml_glyphs import SCENES, VIEWS
from engine.knob import tidy
from engine.maml_adaptation import classifier, fewshot, fewshot_claims, reuse
from tests.topics import drawn, filming

frames = filming(SCENES, VIEWS)
BY_NAME = {view.name: view for view in VIEWS}
META, ORDINARY, RANDOM = range(len(fewshot.STARTS))


def steps(name, **changes):
    """The frames of the inner steps."""
    return [f for f in frames(name, **changes) if f.unseen.size]


@pytest.mark.parametrize("name", [scene.name for scene in SCENES])
def test_every_scene_can_be_drawn(name):
    drawn(name, SCENES, VIEWS, frames(name))


def test_one_step_of_maml_beats_ten_of_ordinary():
    run = steps("unseen")
    assert [f.step for f in run] == list(range(classifier.STEPS + 1))
    assert run[1].unseen[META, 1] > run[10].unseen[ORDINARY, 2]  # the intervals do not meet
    assert run[0].unseen[META, 0] < 0.25 and run[10].unseen[RANDOM, 2] < run[10].unseen[ORDINARY, 1]
    assert run[3].unseen[META, 1] > run[3].nearest[2]


def test_at_its_step_size_first_order_maml_overshoots():
    last = steps("overshoot")[-1]
    assert last.unseen[META, 0] == pytest.approx(0.2, abs=0.03) and last.diverged == 1
    assert not steps("unseen")[-1].diverged
    assert last.rates[META] == steps("unseen")[-1].rates[META]


def test_what_overshoots_has_the_larger_features():
    sizes, tasks = [], fewshot.Learning().episodes(20, generator(5))
    for method in ("maml", "fomaml"):
        weights = fewshot.meta_train(method, meta_iterations=40)
        net = fewshot.Learning().net
        inputs, _ = net.forward(net.layers(weights), tasks.x)
        sizes.append(float(inputs[-1].square().sum(2).mean()))
    assert sizes[1] > 1.5 * sizes[0]


def test_with_a_shorter_step_first_order_maml_learns():
    assert steps("overshoot", fast_lr=0.03, meta_iterations=80)[-1].unseen[META, 1] > 0.35


def test_from_one_picture_each_maml_reads_seven_of_ten():
    one, five = steps("oneshot")[3], steps("unseen")[3]
    assert one.unseen[META, 1] >= 0.7 and one.unseen[META, 2] < 0.8
    assert one.nearest[2] < one.unseen[META, 1]
    assert five.nearest[0] - one.nearest[0] > 0.2 and five.unseen[META, 0] - one.unseen[META, 0] < 0.15


def test_the_opening_is_the_meta_training():
    opening = [f for f in frames("unseen") if not f.unseen.size]
    assert opening[0].iteration == 0 and opening[-1].iteration == 200
    assert opening[-1].learnt[META, 1] > opening[0].learnt[META, 2] and len(opening[-1].weights) == 3
    assert all(not len(f.weights) for f in frames("unseen") if f is not opening[-1])


def test_pictures_of_wrong_answers_are_pale():
    for f in frames("unseen")[::20]:
        new, *answers = f.query.reshape(4, 5, 14, 14)
        for row in answers:
            faces = f.support[:5]
            for k, answer in enumerate(row):
                right = np.abs(answer - faces[k]).max() < 1e-5
                assert right or min(np.abs(answer - 0.3 * face).max() for face in faces) < 1e-5
        assert new.shape == (5, 14, 14)


def test_frozen_but_for_its_head_it_reads_as_well():
    last = frames("reused")[5]
    assert last.right[0, 0] > last.right[-1, 0] - 0.02
    assert last.cka[:-1, 0].min() > 0.95 and last.cka[-1, 2] < 0.6
    assert last.moved[-1] > 20 * last.moved[:-1].max()


def test_trained_by_anil_it_reads_less_well():
    maml, anil = frames("reused")[5], frames("anil")[5]
    assert anil.right[0, 2] < maml.right[-1, 1]
    assert anil.cka[:-1, 0].min() > 0.999  # nothing but the head adapts
    assert frames("anil", adapts="4")[5].cka[:-1, 0].min() > 0.95


def test_every_scene_is_measured_here():
    text = Path(__file__).read_text("utf-8")
    assert not [scene.name for scene in SCENES if f'"{scene.name}"' not in text]


def test_the_statement_has_its_claim():
    assert [one.id for one in vars(fewshot_claims).values() if isinstance(one, Claim)] == ["ML-7"]


def test_a_drawing_goes_to_its_slot():
    view = BY_NAME["glyphs"]
    event = {"pixels": [0] * 300 + [255] * 60 + [0] * 424, "size": 28}
    cfg = tidy(view.config, view.events["picture"](event, view.config()))
    assert cfg.yours.startswith("1") and view.mend(cfg) == (cfg, "")
    asked = view.config(slot="q")
    asked = tidy(view.config, {"slot": "q"} | dict(view.events["picture"](event, asked)))
    assert asked.opening != asked.learning == cfg.opening
    panels = view.panels(asked)
    assert [panel.name for panel in panels] == ["support", "answers", "yours", "steps", "learnt"]
    assert len(reuse.LAYERS) == reuse.DEPTH
