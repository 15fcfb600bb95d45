"""A link is a whole state: the view, its settings, the frame, the pinned run, the presenter's mode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from engine.figures.view import Scene, View, find
from engine.knob import parse, spell, tidy

LAST = 100_000  # no run has more frames


@dataclass(frozen=True)
class State:
    """What a visitor sees: `frame` None plays from the start, `pinned` is the Config of run A."""

    view: str
    cfg: Any
    frame: int | None = None
    pinned: Any = None
    present: bool = False


def read(views: Sequence[View], scenes: Sequence[Scene], words: Mapping[str, str]) -> tuple[State, list[str]]:
    """The nearest legal state that a link means, and a sentence for every word that was not legal."""
    notes: list[str] = []
    scene = find(scenes, words["scene"]) if "scene" in words else None
    if "scene" in words and not scene:
        notes.append(_unknown("scene", words["scene"], scenes))
    view = find(views, words.get("view", scene.view if scene else "")) or (find(views, scene.view) if scene else None)
    if "view" in words and not find(views, words["view"]):
        notes.append(_unknown("view", words["view"], views))
    view = view or views[0]
    preset = spell(tidy(view.config, scene.settings)) if scene and scene.view == view.name else {}
    cfg, more = parse(view.config, preset | dict(words))
    frame = _frame(words.get("frame"), notes)
    pinned, pin_notes = parse(view.config, dict(parse_qsl(words["pin"]))) if "pin" in words else (None, [])
    return State(view.name, cfg, frame, pinned, words.get("present") == "1"), notes + more + pin_notes


def write(views: Sequence[View], scenes: Sequence[Scene], state: State) -> dict[str, str]:
    """The shortest link that means `state`."""
    scene = matching(scenes, views, state)
    view = find(views, state.view)
    words: dict[str, str] = {}
    if scene:
        words["scene"] = scene.name
    else:
        words |= {} if view is views[0] else {"view": state.view}
        words |= spell(state.cfg)
    words |= {"frame": str(state.frame)} if state.frame is not None else {}
    words |= {"pin": urlencode(spell(state.pinned))} if state.pinned is not None else {}
    return words | ({"present": "1"} if state.present else {})


def matching(scenes: Sequence[Scene], views: Sequence[View], state: State) -> Scene | None:
    """The scene whose settings are exactly those of `state`, if there is one."""
    for scene in scenes:
        view = find(views, scene.view)
        if view and scene.view == state.view and tidy(view.config, scene.settings) == state.cfg:
            return scene
    return None


def _frame(word: str | None, notes: list[str]) -> int | None:
    if word is None:
        return None
    if word.isascii() and word.isdigit() and len(word) < 12:
        return min(int(word), LAST)
    notes.append(f"frame was “{word[:40]}” in the link; expected a whole number from 0, playing from the start.")
    return None


def _unknown(kind: str, seen: str, known: Sequence[Any]) -> str:
    names = ", ".join(one.name for one in known)
    return f"There is no {kind} “{seen[:40]}” on this page; expected one of {names}."
