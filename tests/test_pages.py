"""Every page opens, survives every knob at both ends of its range, and says clearly what was wrong."""

from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from engine.knob import knobs
from engine.link import State
from pages.words import reading, stage
from pages.words.desk import Desk
from tests import topics
from tests.topics import named, view_of

ROOT = Path(__file__).parent.parent
TOPIC = "diffusion_denoising"
VIEWS = topics.TOPICS[TOPIC][0]


@pytest.fixture(autouse=True)
def nobody_paints(monkeypatch):
    """There is no browser here to wait for."""
    monkeypatch.setattr(stage, "LEAD", 0)


def opened(topic: str = TOPIC, **words: str) -> AppTest:
    """The topic's page, as its link opens it."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    app.switch_page(f"pages/{topic}.py")
    for name, value in words.items():
        app.query_params[name] = value
    return fine(app.run())


def fine(app: AppTest) -> AppTest:
    """The same app, after looking that nothing went wrong."""
    assert not app.exception, app.exception
    return app


def test_home_opens_and_filters_the_sheet():
    app = fine(AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run())
    assert app.title[0].value
    shown = lambda: next(c.value for c in app.caption if "of 123 statements" in c.value)  # noqa: E731
    assert shown().startswith("123")
    fine(app.selectbox(key="sheet.topic").set_value(TOPIC).run())
    assert shown().startswith("10 ")
    fine(app.text_input(key="sheet.words").input("no such words anywhere").run())
    assert shown().startswith("0 ") and app.info


@pytest.mark.parametrize(("topic", "view"), topics.VIEWS, ids=named)
def test_every_knob_at_both_ends(topic, view):
    app = opened(topic, view=view.name)
    for f, k in knobs(view.config):
        key = f"{topic}.{view.name}.{f.name}"
        if k.text:
            continue
        for end in _ends(f, k):
            widget = _widget(app, f, k, key)
            asked = replace(app.session_state[topic].state.cfg, **{f.name: end})
            fine(widget.set_value(end).run())
            kept, why = view.mend(asked)  # a setting that can't run becomes the nearest that can, and says why
            assert getattr(app.session_state[topic].state.cfg, f.name) == pytest.approx(getattr(kept, f.name))
            assert not why or any(why == note.value for note in app.info)
        fine(app.button(key="hotkey_d").click().run())
        assert app.session_state[topic].state.cfg == view.config()


def _ends(f, k) -> tuple:
    if isinstance(f.default, bool):
        return (not f.default, f.default)
    if k.choices is not None:
        return tuple(choice for choice in k.choices if choice != "yours")
    kind = type(f.default)
    return (kind(k.low), kind(k.high))


def _widget(app, f, k, key):
    if isinstance(f.default, bool):
        return app.toggle(key=key)
    if k.choices is not None:
        return app.selectbox(key=key)
    return app.select_slider(key=key) if k.log else app.slider(key=key)


@pytest.mark.parametrize(("topic", "scene"), topics.SCENES, ids=named)
def test_every_scene_opens_by_its_link(topic, scene):
    app = opened(topic, scene=scene.name)
    assert app.title[0].value == view_of(topic, scene.view).title and not app.warning
    assert dict(app.query_params) == {"scene": scene.name}


def test_numbers_can_be_typed():
    view = VIEWS[0]
    app = fine(opened(view=view.name).toggle(key="typed").set_value(True).run())
    boxes = [box.key for box in app.number_input]
    assert f"{TOPIC}.{view.name}.seed" in boxes
    fine(app.number_input(key=f"{TOPIC}.{view.name}.seed").set_value(17).run())
    assert app.session_state[TOPIC].state.cfg.seed == 17


def test_a_seed_undo_pin_and_presenter():
    app = opened()
    start = dict(app.query_params)
    fine(app.button(key="hotkey_s").click().run())
    assert app.query_params["seed"] == "1"
    fine(app.button(key="hotkey_a").click().run())
    fine(app.button(key="hotkey_s").click().run())
    assert app.query_params["seed"] == "2" and app.query_params["pin"] == "seed=1"
    fine(app.button(key="hotkey_p").click().run())
    assert app.query_params["present"] == "1"
    for _ in range(4):
        fine(app.button(key="hotkey_u").click().run())
    assert dict(app.query_params) == start
    assert app.button(key="hotkey_u").disabled


def test_a_view_is_found_as_it_was_left():
    app = opened()
    first = app.session_state[TOPIC].state.cfg
    fine(app.button(key="hotkey_s").click().run())
    control = app.segmented_control(key=f"{TOPIC}.view")
    fine(control.set_value(VIEWS[1].name).run())
    assert app.session_state[TOPIC].state.view == VIEWS[1].name
    fine(app.segmented_control(key=f"{TOPIC}.view").set_value(VIEWS[0].name).run())
    assert app.session_state[TOPIC].state.cfg.seed == first.seed + 1


@pytest.mark.parametrize(
    "words",
    [
        {"scene": "nowhere"},
        {"view": "nowhere"},
        {"seed": "-5"},
        {"seed": "many"},
        {"points": "***"},
        {"frame": "-1"},
        {"pin": "seed=x"},
    ],
    ids=str,
)
def test_a_link_that_is_wrong_gets_a_note_and_a_picture(words):
    app = opened(**words)
    assert app.warning and app.title


def test_a_frame_in_the_link_stays_there():
    app = opened(frame="3")
    assert app.query_params["frame"] == "3" and app.session_state[TOPIC].state.frame == 3


def test_an_event_that_is_told_again_is_taken_up_once():
    topic, view = next((topic, view) for topic, view in topics.VIEWS if view.name == "between")
    desk = Desk(topic, *topics.TOPICS[topic], State(view.name, view.config()))
    first, second = ({"type": "pick", "index": i, "turn": i} for i in (1, 2))
    stage._events(desk, {"by": "one", "events": [first]})
    after = desk.state
    stage._events(desk, {"by": "one", "events": [first]})
    assert desk.state == after and len(desk.past) == 1 and desk.heard == ("one", 1)
    stage._events(desk, {"by": "one", "events": [first, second]})
    assert len(desk.past) == 2 and desk.heard == ("one", 2)
    stage._events(desk, {"by": "another", "events": [first]})
    assert len(desk.past) == 3 and desk.heard == ("another", 1)
    stage._events(desk, {})
    assert len(desk.past) == 3


@pytest.mark.parametrize(("name", "kept"), [("poison", "hand"), ("rehearsal", "chosen")])
def test_fast_clicks_all_count_and_are_taken_back_one_by_one(name, kept):
    topic, view = next((topic, view) for topic, view in topics.VIEWS if view.name == name)
    desk = Desk(topic, *topics.TOPICS[topic], State(name, view.config()))
    tag = getattr(view.config(), "tag", "")
    clicks = [{"type": "pick", "index": i, "turn": i, "tag": tag} for i in (1, 2, 3)]
    stage._events(desk, {"by": "one", "events": clicks})
    lengths = [len(getattr(desk.state.cfg, kept))]
    while desk.past:
        desk.undo()
        lengths.append(len(getattr(desk.state.cfg, kept)))
    assert len(lengths) == 4 and sorted(lengths, reverse=True) == lengths and lengths[-1] == 0


def test_a_number_in_a_formula_is_written_as_it_is_in_print():
    said = reading.typeset("@a@ + @b@ + @c@", {"a": "1e+04", "b": "-2.5e-07", "c": "0.5"})
    assert said == r"1\cdot10^{4} + -2.5\cdot10^{-7} + 0.5"
