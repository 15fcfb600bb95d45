"""Messages to the stage: what is packed is what was there."""

from typing import NamedTuple

import numpy as np
import pytest

from engine.figures.panel import SHAPES, Axis, Layer, Panel, arrows, cloud, curve, field, images
from engine.figures.view import Readout
from engine.figures.wire import News, Track, decode, encode, identity


class Frame(NamedTuple):
    step: int
    cloud: np.ndarray
    picture: np.ndarray


def frame(i):
    rng = np.random.default_rng(i)
    return Frame(i, rng.normal(size=(5, 2)).astype(np.float32), rng.random((3, 4, 4)).astype(np.float32))


PANELS = (
    Panel(
        "space",
        (field("still", "data", np.ones((2, 3))), cloud("points", "model", lambda f: f.cloud)),
        Axis("x", -1, 1),
        Axis("y", -1, 1),
        equal=True,
        name="space",
    ),
    Panel("pictures", (images("pictures", "data", lambda f: f.picture, columns=3),), name="pictures", axes=False),
    Panel("loss", (curve("loss", "model", lambda f: (f.step, 1 / (1 + f.step))),), Axis("step", 0, 9), name="loss"),
)
READOUTS = (Readout("step", lambda f: f.step), Readout("guess", lambda f: 2.0, "estimate", error=lambda f: 0.5))
LOOK = {"view": "test", "fps": 10, "hold": False, "present": False, "cursor": None}


def track(tape="run"):
    return Track(tape, PANELS, READOUTS)


def test_a_message_is_read_back_number_by_number():
    frames = [frame(i) for i in range(3)]
    header, arrays = decode(encode([track()], [News(0, frames, True)], LOOK, with_spec=True))
    spec, (sent,) = header["spec"], header["tracks"]
    assert sent["start"] == 0 and sent["done"] and len(sent["frames"]) == 3
    for i, slots in enumerate(sent["frames"]):
        points, pictures, loss, numbers = (arrays[s] for s in slots)
        np.testing.assert_array_equal(points, frames[i].cloud)
        np.testing.assert_allclose(pictures / 255, frames[i].picture, atol=0.5 / 255 + 1e-6)
        np.testing.assert_allclose(loss, [i, 1 / (1 + i)], rtol=1e-6)
        np.testing.assert_array_equal(numbers, [[i, np.nan], [2, 0.5]])
    assert spec["slots"] == 3 and [p["title"] for p in spec["panels"]] == ["space", "pictures", "loss"]
    np.testing.assert_array_equal(arrays[spec["statics"][0]], np.ones((2, 3)))


def test_without_the_picture_only_frames_travel():
    header, arrays = decode(encode([track()], [News(7, [frame(7)])], LOOK, with_spec=False))
    assert "spec" not in header and len(arrays) == 4 and header["tracks"][0]["start"] == 7


def test_a_long_run_travels_in_several_messages():
    class Big(NamedTuple):
        step: int
        cloud: np.ndarray
        picture: np.ndarray

    frames = [Big(i, np.zeros((200_000, 2), np.float32), np.zeros((1, 1, 1))) for i in range(10)]
    message = encode([track()], [News(0, frames, True)], LOOK, with_spec=False)
    header, _ = decode(message)
    assert 1 <= len(header["tracks"][0]["frames"]) < 10 and not header["tracks"][0]["done"]
    assert len(message) < 6 << 20


def test_two_runs_share_the_chart_and_stand_side_by_side():
    both = [track("now"), track("pinned")]
    header, _ = decode(encode(both, [News(0, [frame(0)]), News(0, [frame(1)], True)], LOOK, with_spec=True))
    panels = header["spec"]["panels"]
    assert [p["title"] for p in panels] == ["A · space", "B · space", "loss"]
    assert [layer["track"] for layer in panels[0]["layers"]] == [1, 1]
    assert sorted(layer["name"] for layer in panels[2]["layers"]) == ["loss (A)", "loss (B)"]


def test_the_name_of_a_picture_depends_on_what_it_shows_but_not_on_the_cursor():
    assert identity([track()], LOOK) == identity([track()], LOOK | {"cursor": 5})
    assert identity([track()], LOOK) != identity([track("other")], LOOK)
    assert identity([track()], LOOK) != identity([track()], LOOK | {"present": True})


@pytest.mark.parametrize("kind", SHAPES)
def test_a_layer_of_the_wrong_shape_says_what_was_expected(kind):
    with pytest.raises(ValueError, match=r"has shape \(1, 1, 1, 1, 1\); a"):
        Layer(kind, "wrong", "data", np.zeros((1, 1, 1, 1, 1))).values()


def test_nan_and_emptiness_travel():
    still = Track("run", (Panel("p", (arrows("a", "data", np.full((2, 4), np.nan)),
                                      cloud("none", "data", np.zeros((0, 2))))),), ())  # fmt: skip
    _, arrays = decode(encode([still], [News(0, [frame(0)], True)], LOOK, with_spec=True))
    assert np.isnan(arrays[0]).all() and arrays[1].shape == (0, 2)
