"""Every panel and chart, on the first, middle and last frame, on emptiness and on NaN."""

from functools import cache
from numbers import Real

import numpy as np
import plotly.graph_objects as go
import pytest

from engine.figures.palette import CATEGORIES, ROLES
from engine.figures.still import montage, to_plotly
from engine.figures.wire import News, Track, encode
from engine.knob import knobs, tidy
from engine.tape import record
from tests.topics import SCENES, VIEWS, named, view_of

CASES = [(topic, view.name, view.config()) for topic, view in VIEWS]
CASES += [(t, one.view, tidy(view_of(t, one.view).config, one.settings)) for t, one in SCENES]
RICH = {"attack", "dial", "digits", "langevin", "methods", "race", "rehearsal", "reverse"}  # more than three scenes
LOOK = {"view": "test", "fps": 10, "hold": False, "present": False, "cursor": None}


@cache
def recorded(topic, name, cfg):
    """The first frames of a run, enough to have a first, a middle and a last."""
    view = view_of(topic, name)
    return view, record(view.run, cfg).wind(0.2).frames


@pytest.mark.parametrize(("topic", "name", "cfg"), CASES, ids=named)
def test_every_panel_can_be_drawn(topic, name, cfg):
    view, frames = recorded(topic, name, cfg)
    ends = {1, len(frames) // 2 + 1, len(frames)} if cfg == view.config() else {len(frames)}
    for upto in ends:
        for panel in view.panels(cfg):
            figure = to_plotly(panel, frames[:upto], dark=upto == 1)
            assert isinstance(figure, go.Figure) and len(str(figure.to_json())) > 100


@pytest.mark.parametrize(("topic", "name", "cfg"), CASES, ids=named)
def test_every_panel_travels_to_the_stage(topic, name, cfg):
    view, frames = recorded(topic, name, cfg)
    track = Track("run", view.panels(cfg), view.readouts)
    assert len(encode([track, track], [News(0, frames, True)] * 2, LOOK, with_spec=True)) > 1000


def _spoil(frame, change):
    return frame._replace(**{k: change(v) for k, v in frame._asdict().items() if isinstance(v, np.ndarray)})


@pytest.mark.parametrize(("topic", "view"), VIEWS, ids=named)
@pytest.mark.parametrize("change", [lambda a: a[:0], lambda a: np.full_like(a, np.nan, dtype=np.float32)],
                         ids=["empty", "nan"])  # fmt: skip
def test_spoilt_frames_can_be_drawn(topic, view, change):
    cfg = view.config()
    spoilt = _spoil(recorded(topic, view.name, cfg)[1][0], change)
    for panel in view.panels(cfg):
        to_plotly(panel, [spoilt])
    encode([Track("run", view.panels(cfg), view.readouts)], [News(0, [spoilt], True)], LOOK, with_spec=True)
    assert all(isinstance(readout.of(spoilt), Real) for readout in view.readouts)
    if view.equation:
        assert all(isinstance(text, str) for text in view.equation(spoilt, cfg).values())


@pytest.mark.parametrize(("topic", "view"), VIEWS, ids=named)
def test_a_view_is_small_and_its_titles_are_short(topic, view):
    scenes = [scene for where, scene in SCENES if where == topic and scene.view == view.name]
    assert sum(not k.folded and not k.text for _, k in knobs(view.config)) <= 6
    assert len(view.title) <= 45 and all(len(scene.title) <= 45 for scene in scenes)
    assert 1 <= len(scenes) <= (5 if view.name in RICH else 3)


@pytest.mark.parametrize(("topic", "view"), VIEWS, ids=named)
def test_charts_and_equations_of_a_view(topic, view):
    cfg = view.config()
    frames = recorded(topic, view.name, cfg)[1]
    if view.charts:
        for dark in (False, True):
            assert all(isinstance(figure, go.Figure) for figure in view.charts(frames, cfg, dark).values())
        assert view.charts(frames, cfg, False)
    if view.equation:
        assert all(isinstance(text, str) for text in view.equation(frames[-1], cfg).values())


def _contrast(a: str, b: str) -> float:
    def light(hex: str) -> float:
        parts = [int(hex[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(a), light(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", ROLES)
def test_every_role_can_be_seen_on_both_themes(name):
    assert _contrast(ROLES[name].light, "#FFFFFF") >= 4.5 and _contrast(ROLES[name].dark, "#12161C") >= 4.5


def test_categories_are_ten_different_colours():
    assert len(set(CATEGORIES)) == 10


def test_a_montage_keeps_every_pixel():
    pictures = np.arange(3 * 2 * 2).reshape(3, 2, 2).astype(np.float32)
    sheet = montage(pictures, columns=2)
    assert sheet.shape == (7, 7)
    np.testing.assert_array_equal(sheet[1:3, 4:6], pictures[1])
    np.testing.assert_array_equal(sheet[4:6, 1:3], pictures[2])
