"""Training points that the visitor flips, drops and drags by hand, as text that a link can hold."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

REACH = 2.6  # half of the width of the map
NEXT = {"k": "f", "f": "d", "d": "k"}  # what a click makes of a point: kept, flipped, dropped
EDIT = re.compile(r"(\d\d)([kfd])(?:(\d{3})(\d{3}))?")  # its number, what it is, and where it was dragged to


class Touched(NamedTuple):
    """What a hand made of one point."""

    state: str = "k"
    place: tuple[float, float] | None = None  # where it was dragged to


def check(text: str) -> str:
    """The text itself (the empty one too). Raises ValueError with a sentence when it spells nothing done by hand."""
    if text and not re.fullmatch(rf"[\w-]{{4}}(?:{EDIT.pattern})*", text, re.ASCII):
        raise ValueError(
            f"Saw {text[:20]!r} for the points changed by hand, expected four letters and then a number of two digits, "
            "k, f or d, and perhaps six digits for each point."
        )
    return text


def tag(*made: Any) -> str:
    """Four letters that stand for the points that were drawn, so that what was done to others is forgotten."""
    return urlsafe_b64encode(blake2b(repr(made).encode(), digest_size=3).digest()).decode()


def read(text: str, mine: str) -> dict[int, Touched]:
    """The points that were changed, by their number; none if the text was written about other points."""
    if not text.startswith(mine):
        return {}
    return {
        int(i): Touched(state, (int(x) / 100 - REACH, int(y) / 100 - REACH) if x else None)
        for i, state, x, y in EDIT.findall(text[4:])
    }


def written(points: Mapping[int, Touched], mine: str) -> str:
    """The text for some changed points; places are kept to a hundredth."""
    parts = []
    for i, (state, place) in sorted(points.items()):
        where = "".join(f"{round(100 * (min(max(v, -REACH), REACH) + REACH)):03d}" for v in place or ())
        if state != "k" or where:
            parts.append(f"{i:02d}{state}{where}")
    return mine + "".join(parts) if parts else ""


def clicked(text: str, mine: str, event: Mapping[str, Any]) -> str:
    """The text after a click on a point: its label flipped, then the point dropped, then as it was."""
    points, i = read(text, mine), int(event["index"])
    one = points.get(i, Touched())
    return written(points | {i: one._replace(state=NEXT[one.state])}, mine)


def dragged(text: str, mine: str, event: Mapping[str, Any]) -> str:
    """The text after a point was dragged."""
    points, i = read(text, mine), int(event["index"])
    x, y = map(float, event["points"][i])
    return written(points | {i: points.get(i, Touched())._replace(place=(x, y))}, mine)
