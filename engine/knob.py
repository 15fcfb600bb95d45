"""A setting a visitor can turn, declared once: it makes the widget, reads the link and bounds the tests."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from math import isfinite, log10
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
DIGITS = 6  # significant digits of a number in a link


@dataclass(frozen=True)
class Knob:
    """What a field of a Config may be: a range `low`..`high`, one of `choices`, or checked free `text`."""

    label: str
    low: float | None = None
    high: float | None = None
    choices: Mapping[str, str] | None = None  # value -> what the visitor reads
    symbol: str = ""  # LaTeX, without the dollars
    log: bool = False
    step: float | None = None
    help: str = ""
    folded: bool = False  # shown only under "more"
    text: Callable[[str], str] | None = None  # returns the legal text or raises ValueError; typed where there is help

    @property
    def caption(self) -> str:
        """The label with its symbol, as Markdown."""
        return f"{self.label} ${self.symbol}$" if self.symbol else self.label

    def stops(self, *extra: float) -> list[float]:
        """Where a log-scaled slider rests: about 20 a decade, both ends, and every value in `extra`."""
        assert self.low is not None and self.high is not None
        lo, hi = log10(self.low), log10(self.high)
        count = max(2, round(20 * (hi - lo)) + 1)
        between = (float(f"{10 ** (lo + (hi - lo) * i / (count - 1)):.2g}") for i in range(count))
        inside = {value for value in between if self.low <= value <= self.high}
        return sorted(inside | {self.low, self.high, *extra})


def knob(
    default: Any,
    label: str,
    low: float | None = None,
    high: float | None = None,
    *,
    choices: Mapping[str, str] | tuple[str, ...] = (),
    symbol: str = "",
    log: bool = False,
    step: float | None = None,
    help: str = "",
    folded: bool = False,
    text: Callable[[str], str] | None = None,
) -> Any:
    """A dataclass field with its knob: `step_size: float = knob(0.1, "step size", 0.01, 1, symbol=r"\\eta")`."""
    named = dict(choices) if isinstance(choices, Mapping) else {c: c.replace("_", " ") for c in choices}
    setting = Knob(label, low, high, named or None, symbol, log, step, help, folded, text)
    return field(default=default, metadata={"knob": setting})


def knobs(config: type | Any) -> list[tuple[Field, Knob]]:
    """Every field of `config` that a visitor may turn, in order."""
    return [(f, f.metadata["knob"]) for f in fields(config) if "knob" in f.metadata]


def spell(cfg: Any) -> dict[str, str]:
    """The settings of `cfg` that differ from their defaults, as a link spells them."""
    return {f.name: _word(value) for f, _ in knobs(cfg) if (value := getattr(cfg, f.name)) != f.default}


def parse(config: type, words: Mapping[str, str]) -> tuple[Any, list[str]]:
    """Read a Config from a link: the nearest legal setting, and a sentence for each word that was not legal.

    Names that are no knob of `config` are left to others; nothing is ever raised.
    """
    settings, notes = {}, []
    for f, k in knobs(config):
        if f.name not in words:
            continue
        value, note = _read(f, k, str(words[f.name]))
        settings[f.name] = value
        notes += [note] if note else []
    return config(**settings), notes


def part(kind: type[T], cfg: Any) -> T:
    """Those settings of a Config that a plainer kind of Config has: what its opening depends on."""
    return kind(**{f.name: getattr(cfg, f.name) for f in fields(kind)})


def tidy(config: type, settings: Mapping[str, Any]) -> Any:
    """A Config from values as widgets give them: right type, inside the range, as precise as a link."""
    return parse(config, {name: _word(value) for name, value in settings.items()})[0]


def extremes(config: type) -> Iterator[Any]:
    """Configs with one knob at a time at each end of its range or at each of its choices."""
    for f, k in knobs(config):
        ends = (k.low, k.high) if k.low is not None else tuple(k.choices or ())
        yield from (tidy(config, {f.name: end}) for end in ends)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


def _read(f: Field, k: Knob, word: str) -> tuple[Any, str | None]:
    assert f.default is not MISSING, f"{f.name} needs a default"
    shown = word if len(word) <= 40 else word[:37] + "…"
    if isinstance(f.default, bool):
        legal = word in ("0", "1")
        note = None if legal else f"{k.label} was “{shown}” in the link; expected 0 or 1, using {_word(f.default)}."
        return (word == "1") if legal else f.default, note
    if k.choices is not None:
        legal = word in k.choices
        note = f"{k.label} was “{shown}” in the link; expected one of {', '.join(k.choices)}, using {f.default}."
        return (word, None) if legal else (f.default, note)
    if k.text is not None:
        try:
            return k.text(word), None
        except ValueError as problem:
            return f.default, f"{k.label} in the link could not be read: {problem}"
    return _read_number(f, k, word, shown)


def _read_number(f: Field, k: Knob, word: str, shown: str) -> tuple[Any, str | None]:
    assert k.low is not None and k.high is not None
    span = f"a number from {_word(k.low)} to {_word(k.high)}"
    try:
        seen = float(word)
    except ValueError:
        seen = float("nan")
    if not isfinite(seen) and abs(seen) != float("inf"):
        return f.default, f"{k.label} was “{shown}” in the link; expected {span}, using {_word(f.default)}."
    value = min(max(seen, k.low), k.high)
    value = round(value) if isinstance(f.default, int) else float(f"{value:.{DIGITS}g}")
    if value == seen or abs(value - seen) <= 1e-5 * abs(seen):
        return value, None
    return value, f"{k.label} was {shown} in the link; expected {span}, using {_word(value)}."
