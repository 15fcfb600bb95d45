"""What a bench reports: one line a measurement."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Row(NamedTuple):
    """A measurement: the median and the 95th percentile of n values, and the extreme that matters."""

    bench: str
    what: str
    unit: str
    p50: float
    p95: float
    least: float
    most: float
    n: int
    note: str = ""


def row(bench: str, what: str, unit: str, values: Sequence[float], note: str = "") -> Row:
    """The line of some values; those that are none (NaN) are counted in the note."""
    every = np.asarray(values, float)
    found = every[np.isfinite(every)]
    if len(found) < len(every):
        note = f"{note} {len(every) - len(found)} of {len(every)} without an answer".strip()
    if not len(found):
        nan = float("nan")
        return Row(bench, what, unit, nan, nan, nan, nan, 0, note)
    p50, p95 = np.percentile(found, [50, 95])
    return Row(bench, what, unit, float(p50), float(p95), float(found.min()), float(found.max()), len(found), note)


def said(bench: str, note: str) -> Row:
    """A line for what could not be measured, and why."""
    return row(bench, "", "", [], note)


def table(rows: Sequence[Row]) -> str:
    """The lines as text, in columns."""
    head = f"{'bench':10} {'what':58} {'p50':>9} {'p95':>9} {'least':>9} {'most':>9} {'n':>4}  unit"
    return "\n".join([head, *(_line(one) for one in rows)])


def _line(one: Row) -> str:
    if not one.n:
        return f"{one.bench:10} {one.note}"
    numbers = " ".join(f"{value:9.4g}" for value in (one.p50, one.p95, one.least, one.most))
    return f"{one.bench:10} {one.what:58} {numbers} {one.n:4}  {one.unit}{'  ' + one.note if one.note else ''}"
