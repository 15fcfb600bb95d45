"""Glyph tasks, the classifier's meta-gradients, drawings and CKA, against autograd, scikit-learn and closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from engine.data import drawing
from engine.device import generator
from engine.figures.maml_glyphs import pictured
from engine.maml_adaptation import alphabets, fewshot, reuse
from engine.maml_adaptation.alphabets import Episodes, glyph_tasks
from engine.maml_adaptation.classifier import adapt, fresh, learner
from engine.maml_adaptation.fewshot import Learning
from engine.maml_adaptation.meta import METHODS, Inner

NET = learner(3)


def exact(tasks: Episodes) -> Episodes:
    return Episodes(*(part.cpu().double() for part in tasks))


def weights(seed: int = 0) -> Tensor:
    return fresh(NET, generator(seed), 1.0).cpu().double()


def loss(at: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return (NET(NET.layers(at[None]), x[None])[0] - y).square().sum(1).mean()


def head(size: Tensor, layers: int) -> Tensor:
    """1 where a weight belongs to the last layers."""
    mask, n = torch.zeros_like(size), sum(i * o for i, o in NET.shapes[-layers:])
    mask[-n:] = 1
    return mask


# --- gradients --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", fewshot.LEARNED)
def test_meta_gradients_of_a_classifier_are_those_of_autograd(method):
    tasks, w = exact(glyph_tasks(4, 3, 2, generator(1))), weights()
    found = METHODS[method].gradient(NET, NET.layers(w), tasks, Inner(0.1, 3))  # type: ignore[arg-type]
    start, total = w[0].clone().requires_grad_(), torch.zeros_like(w[0])
    for x, y, query_x, query_y in zip(*tasks, strict=True):
        at = start
        for _ in range(3):
            (slope,) = torch.autograd.grad(loss(at, x, y), at, create_graph=method != "fomaml")
            at = at - 0.1 * (slope * head(slope, 1) if method == "anil" else slope)
        total += torch.autograd.grad(loss(at, query_x, query_y), at if method == "fomaml" else start)[0] / 4
    torch.testing.assert_close(torch.cat([one.flatten() for one in found]), total, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_inner_steps_of_the_last_layers_are_plain_gradient_descent(layers):
    tasks, w = exact(glyph_tasks(2, 3, 4, generator(2))), weights()
    *_, last = adapt(NET, w, tasks.x, tasks.y, fast_lr=0.05, steps=4, layers=layers)
    for i in range(2):
        at = w[0]
        for _ in range(4):
            at = at - 0.05 * head(at, layers) * torch.func.grad(loss)(at, tasks.x[i], tasks.y[i])
        mine = torch.cat([one[i if len(one) > 1 else 0].flatten() for one in last])
        torch.testing.assert_close(mine, at, rtol=1e-9, atol=1e-11)


def test_examples_of_a_wrong_shape_and_unknown_methods_are_refused():
    with pytest.raises(ValueError, match=r"saw examples of shapes .* expected \(t, n, 197\) and \(t, n, 3\)"):
        next(adapt(NET, weights(), torch.zeros(1, 5, 2), torch.zeros(1, 5, 3)))
    with pytest.raises(ValueError, match="expected one of maml"):
        fewshot.meta_train("mamal")


def test_the_ordinary_training_steps_along_the_cross_entropy():
    cfg = Learning(ways=2, shots=1)
    pupil, twin = fewshot.Pupil(cfg), fewshot.Pupil(cfg)
    start = twin.rule.weights.clone().requires_grad_()
    y = torch.randint(0, fewshot.CLASSES, (fewshot.BATCH * 2 * 6,), generator=twin.rng)
    x = alphabets.with_one(alphabets.written(twin.knots[y], 1, twin.rng)).transpose(0, 1)
    said = twin.net(twin.net.layers(start), x)[0]
    torch.nn.functional.cross_entropy(said, y.to(said.device)).backward()
    assert start.grad is not None
    twin.rule(start.grad)
    pupil.teach()
    torch.testing.assert_close(pupil.rule.weights, twin.rule.weights, rtol=1e-4, atol=1e-5)
    body, *_, last = cfg.net.layers(pupil.weights)
    assert torch.equal(body, pupil.net.layers(pupil.rule.weights)[0]) and not last.any()


def test_meta_training_is_repeatable_and_learns():
    one, two = (fewshot.meta_train("maml", ways=3, meta_iterations=40) for _ in range(2))
    assert torch.equal(one, two)
    cfg = Learning(ways=3)
    tasks = cfg.episodes(100, generator(7))
    first, *_, last = cfg.adapted("meta", one, cfg.fast_lr, tasks, 3)
    assert float(cfg.right(first, tasks).mean()) < 0.4 and float(cfg.right(last, tasks).mean()) > 0.75


# --- tasks ------------------------------------------------------------------------------------------------------


def test_tasks_have_their_shapes_and_are_never_repeated():
    rng = generator(3)
    tasks, more = (glyph_tasks(6, 4, 3, rng, query=2) for _ in range(2))
    assert tasks.x.shape == (6, 12, 197) and tasks.query_y.shape == (6, 8, 4)
    assert tasks.y.sum(2).eq(1).all() and tasks.y.argmax(2)[0].tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    pictures = alphabets.pictured(torch.cat([tasks.x.flatten(0, 1), more.x.flatten(0, 1)]))
    assert pictures.shape[1:] == (14, 14) and pictures.min() >= 0 and pictures.max() <= 1
    assert len(pictures.flatten(1).unique(dim=0)) == len(pictures)
    again = glyph_tasks(6, 4, 3, generator(3), query=2)
    assert torch.equal(tasks.x, again.x)


def test_a_dot_of_ink_lies_where_its_place_is():
    spot = torch.tensor([0.3, -0.4]).expand(1, 2, 3, 2) + torch.tensor([[0.0, 0.0], [0.01, 0.0], [0.02, 0.0]])
    ink = alphabets.inked(spot, torch.full((1, 1, 1), 0.12))[0]
    x, y = (torch.arange(14) + 0.5) * 2 / 14 - 1, (torch.arange(14) + 0.5) * 2 / 14 - 1
    assert float((ink.sum(0) * x).sum() / ink.sum()) == pytest.approx(0.31, abs=0.03)
    assert float((ink.sum(1) * y).sum() / ink.sum()) == pytest.approx(-0.4, abs=0.03)


def test_a_stroke_is_the_parabola_through_its_knots():
    knots = torch.tensor([[0.0, 0.0], [0.5, 1.0], [1.0, 0.0]])
    dots = alphabets.bends(knots)
    assert torch.allclose(dots[:, 1], 4 * dots[:, 0] * (1 - dots[:, 0]), atol=1e-6)
    drawn = alphabets.bends(alphabets.invented(200, generator(0))).flatten(1, 2)
    assert float(drawn.abs().max()) <= alphabets.REACH + 1e-5


def test_without_jitter_every_copy_is_the_same():
    still = alphabets.written(alphabets.invented(3, generator(0)), 4, generator(1), 0.0)
    assert torch.equal(still[:, :1].expand_as(still), still)


def test_the_nearest_picture_is_that_of_scikit_learn():
    tasks = exact(glyph_tasks(5, 4, 3, generator(4)))
    theirs = [
        KNeighborsClassifier(1).fit(x.numpy(), y.argmax(1).numpy()).score(qx.numpy(), qy.argmax(1).numpy())
        for x, y, qx, qy in zip(*tasks, strict=True)
    ]
    np.testing.assert_allclose(alphabets.nearest(tasks).numpy(), theirs)


def test_outputs_that_have_run_away_count_as_chance():
    said, y = torch.zeros(2, 4, 5), torch.eye(5)[:4].expand(2, -1, -1)
    said[0, 2, 1] = float("nan")
    said[1] = y[1]
    assert alphabets.right(said, y).tolist() == pytest.approx([0.2, 1.0])


def test_an_interval_covers_the_mean_as_often_as_it_says():
    draws = torch.rand(2000, 50, generator=generator(0))
    inside = [low < 0.5 < high for _, low, high in map(alphabets.interval, draws)]
    assert 0.93 < np.mean(inside) < 0.965


# --- drawings ---------------------------------------------------------------------------------------------------


def stroke(row: int, column: int, wide: int = 14, high: int = 3) -> str:
    picture = np.zeros((28, 28))
    picture[row : row + high, column : column + wide] = 1
    return drawing.encode_picture(picture)


FLAT, TALL = stroke(12, 6), stroke(5, 12, 3, 18)


def test_drawings_fill_the_slots_in_turn_and_then_the_query():
    code = ""
    for one, taken in zip([FLAT, TALL, FLAT, TALL], ["1", "12", "12q", "12q"], strict=True):
        code = alphabets.placed(code, one, alphabets.NEXT, 2)
        assert "".join(part[0] for part in code.split(".")) == taken
    assert code.endswith(TALL) and alphabets.check_yours(code) == code
    replaced = alphabets.placed(code, TALL, "1", 2)
    assert replaced.split(".")[0] == "1" + TALL and len(replaced.split(".")) == 3


@pytest.mark.parametrize(("code", "said"), [("x" + FLAT, "saw a drawing for 'x'"), ("1abc", "saw 3 letters")])
def test_a_broken_link_is_answered_with_a_sentence(code, said):
    with pytest.raises(ValueError, match=said):
        alphabets.check_yours(code)


def test_an_empty_drawing_is_answered_with_a_sentence():
    none = fewshot.Config(slot="2")
    with pytest.raises(ValueError, match="Nothing was drawn"):
        pictured({"pixels": [0] * 784, "size": 28}, none)
    settings = pictured({"pixels": [0] * 400 + [255] * 30 + [0] * 354, "size": 28}, none)
    assert settings["alphabet"] == "yours" and alphabets.check_yours(settings["yours"])[0] == "2"
    blank = {"pixels": [0] * 784, "size": 28, "before": [0] * 784}
    with pytest.raises(ValueError, match="Nothing was drawn"):
        pictured(blank, none)
    cfg, note = fewshot.mended(fewshot.Config(alphabet="yours"))
    assert cfg.alphabet == "unseen" and "There is no drawing yet" in note


def test_a_glyph_grows_stroke_by_stroke_in_its_slot():
    first, more, other = ([0] * 400 + [255] * n + [0] * (384 - n) for n in (30, 90, 200))
    event = lambda now, before=None: {"pixels": now, "size": 28, "before": before}  # noqa: E731
    cfg = fewshot.Config()
    for now, before, slots in (
        (first, None, "1"), (more, first, "1"), (other, None, "12"), (more[::-1], other, "12"), (first, more, "12"),
        (first[::-1], None, "123"), ([0] * 784, first[::-1], "12"), (other, None, "123"),
    ):  # fmt: skip
        settings = dict(pictured(event(now, before), cfg))
        cfg = replace(cfg, **settings)
        assert "".join(part[0] for part in cfg.yours.split(".")) == slots
    kept = {part[0]: part[1:] for part in cfg.yours.split(".")}
    assert kept["1"] == drawing.taken(first, 28) and kept["3"] == drawing.taken(other, 28)


def test_one_class_drawn_twice_is_answered_with_a_sentence():
    cfg = fewshot.Config(alphabet="yours", yours=f"1{FLAT}.2{stroke(20, 3)}")  # the same, elsewhere
    kept, note = fewshot.mended(cfg)
    assert "nobody can tell them apart" in note and "1 = 2" in note and kept == cfg
    other = fewshot.Config(alphabet="yours", yours=f"1{FLAT}.2{TALL}")
    assert fewshot.mended(other) == (other, "")
    tasks, _ = alphabets.own_task(2, 3, 5, 0, cfg.yours)
    assert torch.isfinite(tasks.x).all()


def test_a_drawing_stands_for_its_class_and_the_query_is_asked():
    tasks, asked = alphabets.own_task(3, 4, 5, 0, f"2{FLAT}.q{TALL}")
    first = alphabets.pictured(tasks.x[0, 4])
    rows = first.sum(1) / first.sum()
    assert float(rows[5:9].sum()) > 0.95 and asked.shape == (1, 1, 197)
    none, nobody = alphabets.own_task(3, 4, 5, 0, "")
    assert len(nobody) == 0 and torch.equal(none.x[0, :4], tasks.x[0, :4]) and not torch.equal(none.x, tasks.x)


def test_drawn_classes_beyond_those_of_the_task_are_left_out():
    tasks, _ = alphabets.own_task(2, 1, 5, 0, f"1{FLAT}.5{TALL}")
    assert tasks.y.shape == (1, 2, 2) and alphabets.twins(f"1{FLAT}.5{FLAT}", 2) == []


def test_the_network_reads_a_drawing_without_training_again():
    cfg = fewshot.Config(meta_iterations=50, ways=2, alphabet="yours", yours=f"1{FLAT}.2{TALL}.q{stroke(3, 9, 4, 20)}")
    last = list(fewshot.run(cfg))[-1]
    assert last.says[0] == 2 and last.own[0] > 0.7 and last.yours.shape == (4, 14, 14)
    quiet = list(fewshot.run(fewshot.Config(meta_iterations=50, ways=2)))[-1]
    assert quiet.yours.shape[0] == 0 and not quiet.says.any()
    np.testing.assert_array_equal(quiet.unseen, last.unseen)


# --- likeness of features ---------------------------------------------------------------------------------------


def test_cka_is_one_for_a_turned_copy_and_none_for_noise():
    rng = generator(0)
    x = torch.randn(4, 60, 8, generator=rng, dtype=torch.float64)
    turn, _ = torch.linalg.qr(torch.randn(8, 8, generator=rng, dtype=torch.float64))
    torch.testing.assert_close(reuse.cka(x, 3 * x @ turn + 5), torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-9)
    noise = torch.randn(200, 60, 30, generator=rng, dtype=torch.float64)
    assert abs(float(reuse.cka(noise, noise.roll(1, 0)).mean())) < 0.01  # the plain form would say 0.3
    with pytest.raises(ValueError, match="4 or more"):
        reuse.cka(x[:, :3], x[:, :3])


def test_hsic_is_the_mean_over_quadruples():
    x, y = torch.randn(2, 1, 7, 3, generator=generator(1), dtype=torch.float64)
    k, m = (one @ one.mT for one in (x, y))
    every = [
        (a, b, c, d) for a in range(7) for b in range(7) for c in range(7) for d in range(7) if len({a, b, c, d}) == 4
    ]
    a, b, c, d = torch.tensor(every).T
    plain = (k[0, a, b] * (m[0, a, b] + m[0, c, d] - 2 * m[0, a, c])).mean()
    assert float(reuse.hsic(k, m)) == pytest.approx(float(plain), rel=1e-9)


def test_frozen_layers_do_not_move():
    cfg = reuse.Config(meta_iterations=50, ways=2, adapts="2")
    last = list(reuse.run(cfg))[-1]
    assert np.isnan(last.moved[:2]).all() and (last.moved[2:] > 0).all()
    np.testing.assert_allclose(last.cka[:2], 1, atol=1e-9)
