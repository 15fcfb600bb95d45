"""Panels and frames as bytes for the stage: a length, a JSON header, then the numbers."""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from engine.figures.palette import ROLES
from engine.figures.panel import Layer, Panel
from engine.figures.view import Readout

MESSAGE = 256 << 10  # bytes of frames in one message, about: more would hold up the next answer


class News(NamedTuple):
    """What a track has to tell: frames from number `start` on, whether that is all, and what went wrong."""

    start: int
    frames: Sequence[Any]
    done: bool = False
    failure: str = ""
    waiting: float | None = None  # how far the run is that one waits for
    opened: int = 0  # how many frames the run it begins with gives, once that is known


@dataclass(frozen=True)
class Track:
    """One run on the stage: its tape's name, its panels and how its numbers are read."""

    tape: str
    panels: Sequence[Panel]
    readouts: Sequence[Readout]
    opening: str = ""  # the name of the run it begins with

    @cached_property
    def moving(self) -> list[Layer]:
        """The layers that change from frame to frame, in the order of their slots."""
        return [layer for panel in self.panels for layer in panel.layers if not layer.static]

    def arrays(self, frame: Any) -> list[np.ndarray]:
        """Every moving layer's numbers in `frame`, then the read-outs: (r, 2) value and error."""
        return [_packed(layer, frame) for layer in self.moving] + [_numbers(self.readouts, frame)]


def encode(
    tracks: Sequence[Track],
    news: Sequence[News],
    look: dict[str, Any],
    with_spec: bool,
    room: int = MESSAGE,
    turn: int = 0,
    heard: tuple[str, int] = ("", 0),
    place: tuple[int, int | None] = (0, None),
) -> bytes:
    """One message of about `room` bytes, with the news of each track.

    At least one frame of each track is sent; arrays that several frames share travel once. `look` holds what else
    the stage should know (view, fps, cursor, hold, follow, present, bare); `turn` makes the message differ from the
    one before, since the browser does not hear a message that is the same; `heard`: the last event that was taken up;
    `place`: how often the page itself has moved the cursor, and where to (None: play from the start).
    """
    arrays: list[np.ndarray] = []
    header: dict[str, Any] = {"tracks": [], "id": identity(tracks, look), "turn": turn, "heard": heard, "place": place}
    if with_spec:
        header["spec"] = spec(tracks, look, arrays)
    for track, new in zip(tracks, news, strict=True):
        sent = _packed_frames(track, new.frames, arrays, room)
        rest = {"start": new.start, "frames": sent, "done": new.done and len(sent) == len(new.frames)}
        more = {"failure": new.failure, "waiting": new.waiting, "opening": track.opening, "opened": new.opened}
        header["tracks"].append({"tape": track.tape} | rest | more)
    header["arrays"] = [["b" if a.dtype == np.uint8 else "f", *a.shape] for a in arrays]
    return _joined(header, arrays)


def decode(message: bytes) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The header and arrays of a message: what the browser does, for tests and for the curious."""
    (size,) = struct.unpack_from("<I", message)
    header = json.loads(message[4 : 4 + size])
    at, arrays = 4 + size + (-size % 4), []
    for kind, *shape in header["arrays"]:
        dtype = np.dtype(np.uint8 if kind == "b" else "<f4")
        count = int(np.prod(shape, dtype=int))
        arrays.append(np.frombuffer(message, dtype, count, at).reshape(shape))
        at += count * dtype.itemsize + (-count * dtype.itemsize % 4)
    return header, arrays


def identity(tracks: Sequence[Track], look: dict[str, Any]) -> str:
    """A name for this picture: the same tapes, panels and look give the same name."""
    shape = [(t.tape, [(p.title, len(p.layers)) for p in t.panels]) for t in tracks]
    steady = sorted((name, value) for name, value in look.items() if name != "cursor")
    return blake2b(repr((shape, steady)).encode(), digest_size=8).hexdigest()


def spec(tracks: Sequence[Track], look: dict[str, Any], arrays: list[np.ndarray]) -> dict[str, Any]:
    """What the stage must know to draw: panels, palette, read-outs. Static numbers are appended to `arrays`."""
    statics: list[int] = []
    panels = [_panel(tracks, t, p, arrays, statics) for t, p in _stands(tracks, bool(look.get("present")))]
    readouts = [
        {"label": r.label, "trust": r.trust, "digits": r.digits, "percent": r.percent, "help": r.help}
        for r in tracks[0].readouts
    ]
    roles = {name: role._asdict() for name, role in ROLES.items()}
    shared = {"panels": panels, "readouts": readouts, "roles": roles, "statics": statics}
    return shared | {"slots": len(tracks[0].moving), "id": identity(tracks, look)} | look


def _stands(tracks: Sequence[Track], present: bool) -> list[tuple[int, Panel]]:
    """Which panels stand in the row, each with the number of its track: two runs share charts of curves."""
    now = [panel for panel in tracks[0].panels if panel.hall or not present]
    if len(tracks) == 1:
        return [(0, panel) for panel in now]
    place = next((i for i, panel in enumerate(tracks[0].panels) if not panel.curves), None)
    charts = [(0, panel) for panel in now if panel.curves][:1]
    if place is None:
        return charts
    before, after = tracks[1].panels[place], tracks[0].panels[place]
    pair = [(1, replace(before, title=f"A · {before.title}", draw="")), (0, replace(after, title=f"B · {after.title}"))]
    return pair + ([] if present else charts)


def _packed_frames(track: Track, frames: Sequence[Any], arrays: list[np.ndarray], room: int) -> list[list[int]]:
    """Append the frames' arrays to `arrays` while there is room, and say where each frame's are."""
    sent: list[list[int]] = []
    known: dict[int, int] = {}
    for frame in frames:
        if room <= 0 and sent:
            break
        found = track.arrays(frame)
        for array in found:
            if id(array) not in known:
                known[id(array)] = len(arrays)
                arrays.append(array)
                room -= array.nbytes
        sent.append([known[id(array)] for array in found])
    return sent


def _panel(
    tracks: Sequence[Track], track: int, panel: Panel, arrays: list[np.ndarray], statics: list[int]
) -> dict[str, Any]:
    both = range(len(tracks)) if panel.curves and len(tracks) > 1 else (track,)
    layers: list[dict[str, Any]] = []
    for t in both:
        twin = next((p for p in tracks[t].panels if p.name == panel.name and panel.title.endswith(p.title)), None)
        for layer in (twin or panel).layers:
            layers.append(_layer(tracks[t], t, layer, arrays, statics, shared=len(both) > 1))
    axes = {side: {"label": a.label, "low": a.low, "high": a.high, "log": a.log} for side, a in _axes(panel)}
    rest = {
        "title": panel.title,
        "equal": panel.equal,
        "weight": panel.weight,
        "draw": panel.draw,
        "hint": panel.hint,
        "live": panel.live,
    }
    rest |= {"stack": panel.stack, "share": panel.share, "legend": panel.legend}
    return rest | axes | {"axes": panel.axes, "alt": panel.alt, "curves": panel.curves, "layers": layers}


def _axes(panel: Panel):
    return ("x", panel.x), ("y", panel.y)


def _layer(
    track: Track, number: int, layer: Layer, arrays: list[np.ndarray], statics: list[int], shared: bool
) -> dict[str, Any]:
    name = f"{layer.name} ({'BA'[number]})" if shared and layer.name else layer.name
    entry = {"kind": layer.kind, "name": name, "role": layer.role, "style": layer.style, "track": number}
    if not layer.static:
        return entry | {"slot": next(i for i, one in enumerate(track.moving) if one is layer), "fixed": -1}
    statics.append(len(arrays))
    arrays.append(_packed(layer, None))
    return entry | {"slot": -1, "fixed": len(statics) - 1}


def _packed(layer: Layer, frame: Any) -> np.ndarray:
    values = layer.values(frame)
    if layer.kind not in ("images", "atlas"):
        return values
    return np.ascontiguousarray((np.clip(np.nan_to_num(values), 0, 1) * 255).round().astype(np.uint8))


def _numbers(readouts: Sequence[Readout], frame: Any) -> np.ndarray:
    rows = [(float(r.of(frame)), float(r.error(frame)) if r.error else np.nan) for r in readouts]
    return np.array(rows, np.float32).reshape(len(rows), 2)


def _joined(header: dict[str, Any], arrays: Sequence[np.ndarray]) -> bytes:
    text = json.dumps(header, separators=(",", ":")).encode()
    parts = [struct.pack("<I", len(text)), text, b"\0" * (-len(text) % 4)]
    for array in arrays:
        raw = array.tobytes()
        parts += [raw, b"\0" * (-len(raw) % 4)]
    return b"".join(parts)
