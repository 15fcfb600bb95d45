"""What the scenes of the attacks say is measured on the very run that the scene shows."""

from pathlib import Path

import numpy as np
import pytest

from engine.adversarial_examples import attack_claims, search_claims
from engine.claim import Claim
from engine.data.drawing import encode_picture
from engine.figures.adversarial_attack import SCENES, VIEWS
from engine.figures.brought import pictured, uploaded
from engine.knob import tidy
from tests.topics import filming

BY_NAME = {view.name: view for view in VIEWS}
frames = filming(SCENES, VIEWS)
CLAIMS = [one for part in (attack_claims, search_claims) for one in vars(part).values() if isinstance(one, Claim)]


def end(name, **changes):
    return frames(name, **changes)[-1]


def first(name, **changes):
    """The first frame that is fooled; the last where none is."""
    seen = frames(name, **changes)
    return next((f for f in seen if f.fooled), seen[-1])


def l2(frame):
    return float(np.linalg.norm(frame.shown[2] - frame.shown[0]))


def test_a_change_one_hardly_sees():
    seen = first("shades")
    assert seen.eps <= 0.1 and seen.reads != seen.label and np.abs(seen.shown[2] - seen.shown[0]).max() <= 0.1 + 1e-6
    assert frames("shades")[0].own > 0.99


def test_adversarial_training_asks_for_more():
    assert first("hardened").eps > 2 * first("shades").eps and frames("hardened")[0].own > 0.9


def test_noise_of_the_same_size_does_little():
    assert first("noise").eps > 3 * first("shades").eps


def test_made_on_another_network():
    seen = first("black")
    assert seen.fooled and seen.eps < 0.5 * first("black", attack="noise").eps
    assert seen.eps >= first("black", box="white").eps


def test_the_shortest_change():
    assert l2(end("shortest")) < 0.75 * l2(first("shortest", attack="fgsm")) and end("shortest").fooled
    assert abs(end("shortest").own - end("shortest").other) < 0.1  # it stops at the boundary


def test_every_step_is_brought_back():
    seen = frames("walk")
    assert all(f.used <= 0.12 + 1e-6 for f in seen if f.back) and any(f.used > 0.13 for f in seen)
    assert seen[-1].loss > 0.8 * seen[-1].worst and seen[0].loss < 0.01


def test_as_printed_it_leaves_the_ball():
    assert end("printed").used == pytest.approx(10 * 0.12, abs=1e-5)


def test_the_bare_gradient_is_no_step():
    assert frames("bare")[1].loss < 0.1 < 5 < end("walk").loss and max(f.used for f in frames("bare")) > 5


def test_more_steps_fewer_survivors():
    lines = end("curves").lines[:, :, 1]
    noise, fgsm, pgd, shortest, robust = lines
    assert (pgd <= fgsm).all() and (np.abs(pgd - shortest) <= 0.06).all() and (np.diff(lines, axis=1) <= 0).all()
    assert robust[10] > pgd[10] + 0.3 and noise[10] > 0.8


def test_one_change_fools_most_pictures():
    last = end("one")
    assert last.fooled > 0.65 and last.fooled > 5 * last.noise and abs(last.fooled - last.learned) < 0.1


def test_one_pixel():
    last = end("pixel")
    assert last.label == 9 and last.reads != 9 and last.pixels == 11
    assert (last.shown[0] != last.shown[1]).sum() == 1


def test_no_pixel():
    last = end("proof")
    assert last.tried == 64 * 17 and last.ways == 0 and last.best < 0 and last.reads == last.label


def test_what_a_visitor_draws_is_attacked():
    drawn = np.zeros((28, 28), np.float32)
    drawn[4:24, 12:16] = 1
    last = end("shades", picture=encode_picture(drawn))
    assert last.fooled and last.shown[0].max() == 1
    assert pictured({"pixels": (255 * drawn).astype(int).ravel().tolist(), "size": 28}, None)["picture"]
    with pytest.raises(ValueError, match="Nothing was drawn"):
        pictured({"pixels": [0] * 784, "size": 28}, None)
    with pytest.raises(ValueError):
        uploaded(b"no picture")


def test_a_target_that_is_the_label_is_any_other():
    label = str(int(end("shades").label))
    assert end("shades", target=label).fooled
    mended, said = BY_NAME["attack"].mend(tidy(BY_NAME["attack"].config, {"target": label}))
    assert mended.target == "any" and f"a {label} already" in said and BY_NAME["attack"].mend(mended) == (mended, "")
    aimed = end("shades", target="2")
    assert aimed.reads == 2 and aimed.fooled


@pytest.mark.parametrize(
    "attack", ["fgsm", "least_likely", "pgd_l2", "apgd", "cw", "deepfool", "fmn", "square", "rotate"]
)
def test_every_attack_can_be_seen(attack):
    seen = frames("shades", attack=attack, data="digits")
    assert len(seen) == 41 and seen[-1].fooled and not seen[0].fooled
    assert all(np.isfinite(part).all() for f in seen for part in f if isinstance(part, np.ndarray))


def test_every_scene_is_measured_here_and_every_statement_claimed():
    text = Path(__file__).read_text("utf-8")
    assert not [scene.name for scene in SCENES if f'"{scene.name}"' not in text]
    assert [one.id for one in CLAIMS] == [
        "ADV-1", "ADV-2", "ADV-3", "ADV-5", "ADV-6", "ADV-7", "ADV-8", "ADV-9", "CW-1", "CW-2", "CW-3", "CW-4",
        "UAP-1", "PIX-1",
    ]  # fmt: skip
