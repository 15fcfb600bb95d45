"""What a page remembers for one visitor."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st

from engine import link
from engine.figures.view import Scene, View, find
from engine.knob import knobs, tidy
from pages.words.frame import enter, hall

UNDO = 100  # how many changes can be undone


@dataclass
class Desk:
    """The state of each of a topic's views, where the visitor has been, and what their browser holds."""

    topic: str
    views: Sequence[View]
    scenes: Sequence[Scene]
    state: link.State
    notes: list[str] = field(default_factory=list)  # what was wrong with the link, or with what was brought
    hint: str = ""  # what the view asks the visitor for before it can show these settings
    others: dict[str, Any] = field(default_factory=dict)  # view -> the Config it was left with
    past: list[link.State] = field(default_factory=list)
    words: dict[str, str] | None = None  # the link as last written
    seen: dict[str, Any] = field(default_factory=dict)  # the widgets' values as last seen
    late: dict[str, set[Any]] = field(default_factory=dict)  # widget -> what it said before it was set
    fresh: bool = False  # whether widgets were set since the page last ran
    acted: bool = False  # whether something was changed that the link does not yet say
    have: dict[str, int] = field(default_factory=dict)  # tape -> how many of its frames the browser holds
    held: str = ""  # the picture that the browser holds
    heard: tuple[str, int] = "", 0  # the stage that told of the last event, and which of its events that was
    turns: int = 0  # messages sent to the browser
    pulled: bool = False  # whether this run answers a request for frames
    at: int = 0  # the frame under the cursor
    placed: int = 0  # how often the page itself has moved the cursor
    shown: Any = None  # what the whole page last showed

    @property
    def view(self) -> View:
        """The view that is shown."""
        found = find(self.views, self.state.view)
        assert found, self.state.view
        return found

    def key(self, name: str) -> str:
        """The widget key of a knob of the current view."""
        return f"{self.topic}.{self.state.view}.{name}"

    @property
    def page(self) -> Any:
        """What the whole page depends on: when it changes within the stage alone, everything must be drawn anew."""
        state = self.state
        return state.view, state.cfg, state.pinned, state.present, tuple(self.notes)

    def go(self, **changes: Any) -> None:
        """Change the state by a visitor's act, so that it can be undone; the widgets follow."""
        after = replace(self.state, **changes)
        if replace(after, frame=self.state.frame) != self.state:
            self.remember()
        elif "frame" in changes:
            self.placed += 1  # the same once more, from its start
        self.notes = []
        self.acted = True
        self.become(after)

    def turn(self, **settings: Any) -> None:
        """Turn some knobs of the current view."""
        named = {f.name: getattr(self.state.cfg, f.name) for f, _ in knobs(self.view.config)}
        self.go(cfg=tidy(self.view.config, named | settings), frame=None)

    @property
    def lucky(self) -> bool:
        """Whether the current view has a seed to change."""
        return hasattr(self.state.cfg, self.view.seed)

    def switch(self, name: str) -> None:
        """Show another view: as it was left, or at first its first scene."""
        view = find(self.views, name)
        if view and name != self.state.view:
            scene = next((scene for scene in self.scenes if scene.view == name), None)
            opening = tidy(view.config, scene.settings if scene else {})
            self.go(view=name, cfg=self.others.get(name, opening), frame=None, pinned=None)

    def undo(self) -> None:
        """Back to the state before the last change."""
        if self.past:
            self.acted = True
            self.become(self.past.pop())

    def remember(self) -> None:
        """Note where the visitor is before they move on."""
        self.past = [*self.past[-UNDO + 1 :], self.state]
        self.others[self.state.view] = self.state.cfg

    def become(self, state: link.State) -> None:
        """Take a state on and set the widgets to it."""
        self.at = state.frame or 0
        self.placed += state.frame != self.state.frame
        self.state = state
        self.restore()

    def restore(self) -> None:
        """Set the widgets to the state. Until the browser has heard of it, it goes on sending what they said before."""
        for f, _ in knobs(self.state.cfg):
            key, value = self.key(f.name), getattr(self.state.cfg, f.name)
            before = {st.session_state.get(key, value), self.seen.get(key, value)} - {value}
            self.late[key] = self.late.get(key, set()) - {value} | before
            st.session_state[key] = self.seen[key] = value
        self.fresh = True

    def catch_up(self) -> None:
        """Set right what the browser sent before it had heard of a change; forget it once it has."""
        old = [key for key, before in self.late.items() if st.session_state.get(key) in before]
        for key in old:
            st.session_state[key] = self.seen[key]
        if not (old or self.fresh):
            self.late.clear()
        self.fresh = bool(old)

    @property
    def turned(self) -> bool:
        """Whether a widget says something that the page has not yet taken up."""
        said = ((key, st.session_state.get(key, value), value) for key, value in self.seen.items())
        return any(now != value and now not in self.late.get(key, ()) for key, now, value in said)

    @property
    def touched(self) -> bool:
        """Whether a visitor's act led to this run. Then its link may be older than the last written."""
        return self.acted or self.turned

    def write_link(self) -> None:
        """Put the state into the address bar."""
        words = link.write(self.views, self.scenes, self.state)
        if words != dict(st.query_params):
            st.query_params.from_dict(words)
        self.words, self.acted = words, False


def opening(topic: str, views: Sequence[View], scenes: Sequence[Scene]) -> Desk:
    """Begin a page: find the visitor's desk, and read the link where it says something new."""
    enter()
    words = dict(st.query_params)
    desk: Desk | None = st.session_state.get(topic)
    if desk:
        desk.catch_up()
    if desk is None or (not desk.touched and words and words != desk.words):
        state, notes = link.read(views, scenes, words)
        desk = desk or Desk(topic, views, scenes, state)
        desk.notes = notes
        desk.become(state)
        st.session_state[topic] = desk
    desk.views, desk.scenes = views, scenes
    if desk.state.present:
        hall()
    with st.container(key="notes"):  # always there, so that what follows is not put up anew when a note goes
        for note in desk.notes:
            st.warning(note, icon=":material/info:")
    return desk
