"""Knobs: whatever a link says, the Config is legal and what was wrong is told."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.knob import extremes, knob, knobs, parse, spell, tidy
from engine.link import State, read, write
from tests import topics
from tests.topics import TOPICS, named

VIEWS, SCENES = TOPICS["diffusion_denoising"]


def word(text: str) -> str:
    if not text.isalpha() and text:
        raise ValueError(f"saw “{text}”, expected letters")
    return text


@dataclass(frozen=True)
class Config:
    rule: str = knob("adam", "rule", choices=("sgd", "adam"))
    rate: float = knob(0.1, "rate", 1e-3, 1.0, log=True)
    steps: int = knob(10, "steps", 1, 100)
    on: bool = knob(False, "on")
    name: str = knob("", "name", text=word)


CONFIGS = [Config, *(view.config for _, view in topics.VIEWS)]
WORDS = st.one_of(st.text(max_size=30), st.floats().map(str), st.integers().map(str))


def legal(cfg):
    for f, k in knobs(cfg):
        value = getattr(cfg, f.name)
        assert type(value) is type(f.default)
        if k.low is not None:
            assert k.low <= value <= k.high
        if k.choices is not None:
            assert value in k.choices
    return True


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.__module__)
@settings(deadline=None, max_examples=40)  # of each view's Config
@given(data=st.data())
def test_no_link_raises_and_every_config_is_legal(config, data):
    names = st.one_of(st.sampled_from([f.name for f, _ in knobs(config)]), st.text(max_size=8))
    cfg, notes = parse(config, data.draw(st.dictionaries(names, WORDS, max_size=6)))
    assert legal(cfg) and all(isinstance(note, str) for note in notes)
    assert parse(config, spell(cfg)) == (cfg, [])


@pytest.mark.parametrize("topic", TOPICS)
@settings(deadline=None)
@given(words=st.dictionaries(st.sampled_from(["scene", "view", "frame", "pin", "present", "seed", "data"]), WORDS))
def test_a_whole_link_is_read_without_raising_and_survives_a_round_trip(topic, words):
    state, _ = read(*TOPICS[topic], words)
    assert legal(state.cfg)
    again, notes = read(*TOPICS[topic], write(*TOPICS[topic], state))
    assert again == state and not notes


def test_what_was_wrong_is_told_with_what_was_expected():
    cfg, notes = parse(Config, {"rate": "7", "steps": "many", "rule": "newton", "on": "yes", "name": "a1"})
    assert cfg == Config(rate=1.0)
    assert len(notes) == 5 and "0.001 to 1" in notes[1] and "sgd, adam" in notes[0]


def test_defaults_are_not_spelled():
    assert spell(Config()) == {} and spell(Config(rate=0.5, on=True)) == {"rate": "0.5", "on": "1"}


def test_widgets_values_become_as_precise_as_a_link():
    assert tidy(Config, {"rate": 0.123456789}).rate == 0.123457


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.__module__)
def test_defaults_and_extremes_are_legal(config):
    assert legal(config()) and all(legal(cfg) for cfg in extremes(config))


def test_log_stops_hold_both_ends_and_what_was_asked_for():
    _, rate = knobs(Config)[1]
    stops = rate.stops(0.123)
    assert stops[0] == 1e-3 and stops[-1] == 1.0 and 0.123 in stops and stops == sorted(stops)


@pytest.mark.parametrize(("topic", "scene"), topics.SCENES, ids=named)
def test_every_scene_is_a_link(topic, scene):
    state, notes = read(*TOPICS[topic], {"scene": scene.name})
    assert state.view == scene.view and not notes
    assert write(*TOPICS[topic], state) == {"scene": scene.name}


def test_present_frame_and_pin_are_in_the_link():
    view = VIEWS[0]
    state = State(view.name, view.config(seed=3), frame=7, pinned=view.config(seed=5), present=True)
    words = write(VIEWS, SCENES, state)
    assert words == {"seed": "3", "frame": "7", "pin": "seed=5", "present": "1"}
    assert read(VIEWS, SCENES, words) == (state, [])
