"""Points that a visitor uploads as a CSV, however long, messy or wrong the file is."""

import csv
import io
import math
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

MOST = 512  # points that are kept
LARGEST = 200 * 2**20  # bytes of a file
BLOCK = 2**20  # bytes of it that are taken apart at a time


def read_csv(data: bytes) -> tuple[np.ndarray, list[str]]:
    """Two columns of numbers as points: bytes -> (n, 2) float64 with n ≤ 512, and notes for the reader.

    A header is optional; cells are separated by commas, semicolons, tabs or blanks. Of a longer file every row is
    checked, and a uniform sample of 512 rows, always the same, is kept in its order. Memory is bounded.
    Raises ValueError with a sentence that says what was seen, on which line, and what was expected.
    """
    data = _text(data)
    layout = _layout(data)
    draw, kept, rows = np.random.default_rng(0), np.empty((0, 4)), 0
    for line, block in _blocks(data, layout):
        values = _numbers(_cells(block, line, layout), layout)
        keyed = np.column_stack([draw.random(len(values)), rows + np.arange(len(values)), values])
        kept, rows = _smallest(np.concatenate([kept, keyed])), rows + len(values)
    if rows == 0:
        raise ValueError("Saw a line of names and nothing below it, expected two numbers on each line.")
    return kept[kept[:, 1].argsort(), 2:], _notes(layout, rows)


def standardise(points: np.ndarray) -> np.ndarray:
    """(n, 2) points moved to mean 0 and scaled to a pooled standard deviation of 1; points all alike go to 0."""
    points = points / (np.abs(points).max(initial=0) or 1.0)  # so that no square overflows
    points = points - points.mean(0) if len(points) else points
    size = math.sqrt(np.mean(points**2)) if len(points) else 0.0
    return points / size if size > 1e-12 else np.zeros_like(points)


def _smallest(keyed: np.ndarray) -> np.ndarray:
    """The MOST rows with the smallest keys: over a whole file, a uniform sample without replacement."""
    return keyed if len(keyed) <= MOST else keyed[np.argpartition(keyed[:, 0], MOST)[:MOST]]


def _text(data: bytes) -> bytes:
    """The file with plain line ends and no quotes. Raises ValueError when it is no text, too large or empty."""
    if len(data) > LARGEST:
        raise ValueError(f"Saw a file of {len(data) / 2**20:.0f} MiB, expected at most {LARGEST / 2**20:.0f} MiB.")
    if b"\0" in data or data.startswith((b"\xff\xfe", b"\xfe\xff", b"%PDF")):
        raise ValueError("Saw a file that is not plain text, expected a CSV: two numbers on each line.")
    data = data.removeprefix(b"\xef\xbb\xbf")
    data = data.replace(b'"', b"") if b'"' in data else data
    data = data.replace(b"\r", b"\n") if b"\r" in data and b"\n" not in data else data
    if not re.search(rb"\S", data):
        raise ValueError("Saw an empty file, expected two numbers on each line.")
    return data


class Layout(NamedTuple):
    """How a file is written."""

    start: int  # the byte where the rows of numbers begin
    line: int  # the number of their first line, counted from 1
    names: list[str]  # of the two columns
    separator: str  # as pandas takes it
    decimal: str


def _layout(data: bytes) -> Layout:
    """Read off its first lines how the file is written. Raises ValueError unless it has two columns."""
    ink = re.search(rb"\S", data)
    start = data.rfind(b"\n", 0, ink.start() if ink else 0) + 1
    head = data[start : start + BLOCK].decode(errors="replace").split("\n", 5)[:5]
    separator = next((s for s in ";\t," if s in head[0]), r"\s+")
    cells = [c.strip() or "(no name)" for c in (head[0].split() if separator == r"\s+" else head[0].split(separator))]
    if len(cells) != 2:
        raise ValueError(f"Saw {_columns(cells)}, expected exactly two: the two coordinates of a point.")
    decimal = "," if separator != "," and "," in "".join(head) else "."
    line = data.count(b"\n", 0, start) + 1
    if any(_is_number(cell.replace(decimal, ".")) for cell in cells):
        return Layout(start, line, ["1", "2"], separator, decimal)
    start = data.find(b"\n", start) + 1 or len(data)
    return Layout(start, line + 1, cells, separator, decimal)


def _columns(cells: list[str]) -> str:
    shown = ", ".join(cell[:20] for cell in cells[:6]) + (", …" if len(cells) > 6 else "")
    return f"{len(cells)} column{'s' if len(cells) > 1 else ''} ({shown})"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _blocks(data: bytes, layout: Layout) -> Iterator[tuple[int, bytes]]:
    """The rows in blocks of whole lines, each with the number of its first line."""
    start, line = layout.start, layout.line
    while start < len(data):
        end = len(data) if len(data) - start <= BLOCK else data.rfind(b"\n", start, start + BLOCK) + 1
        if end == 0:
            raise ValueError(f"Saw more than {BLOCK:,} characters on line {line}, expected two numbers on each line.")
        yield line, data[start:end]
        start, line = end, line + data.count(b"\n", start, end)


def _cells(block: bytes, line: int, layout: Layout) -> pd.DataFrame:
    """The block's cells, a row's index being its line. A row of zeros put in front says how many to expect."""
    zeros = b"0" + (b" " if layout.separator == r"\s+" else layout.separator.encode()) + b"0\n"
    try:
        cells = pd.read_csv(
            io.BytesIO(zeros + block), sep=layout.separator, decimal=layout.decimal, header=None, names=[0, 1],
            index_col=False, quoting=csv.QUOTE_NONE, low_memory=False, keep_default_na=False,
            skip_blank_lines=False, encoding_errors="replace",
        )  # fmt: skip
    except pd.errors.ParserError as broken:
        found = re.search(r"in line (\d+), saw (\d+)", str(broken))
        seen = f"{found[2]} cells on line {line + int(found[1]) - 2}" if found else f"no rows from line {line} on"
        raise ValueError(f"Saw {seen}, expected two numbers on each line.") from broken
    cells.index += line - 1
    return cells.iloc[1:]


def _numbers(cells: pd.DataFrame, layout: Layout) -> np.ndarray:
    """(n, 2) float64, blank lines left out. Raises ValueError at the first cell that is not a finite number."""
    if all(kind.kind in "iuf" for kind in cells.dtypes):
        values = cells.to_numpy(np.float64)
        if np.isfinite(values).all():
            return values
    text = pd.DataFrame({column: cells[column].astype(str).str.strip() for column in cells})
    text = text.loc[(text != "").any(axis=1)]
    numbers = text.apply(lambda c: pd.to_numeric(c.str.replace(layout.decimal, "."), errors="coerce"))
    values = numbers.to_numpy(np.float64)
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        row, column = wrong[0]
        seen = text.iat[row, column][:40] or "an empty cell"
        raise ValueError(
            f"Saw {seen} on line {text.index[row]}, column {layout.names[column]}, expected a finite number."
        )
    return values


def _notes(layout: Layout, rows: int) -> list[str]:
    header = f"The first line was read as names: {' and '.join(layout.names)}."
    notes = [header] if layout.names != ["1", "2"] else []
    if rows > MOST:
        notes.append(f"Of the file's {rows:,} rows, {MOST} are used: a random choice, always the same.")
    return notes
