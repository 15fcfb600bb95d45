"""Pictures that a visitor brings as a zip, a CSV or one file, however large, mixed or wrong they are."""

import io
import math
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import PurePosixPath
from threading import Lock
from typing import NamedTuple

import numpy as np

from engine.data.grey import fitted, read_picture

SIDE = 28  # pixels of a picture, unless asked otherwise
MOST = 6000  # pictures that are kept
LARGEST = 200 * 2**20  # bytes of a file
UNPACKED, ONE = 512 * 2**20, 20 * 2**20  # bytes that are unpacked of an archive, and of one file in it
FILES = 250_000  # in an archive
LONGEST = 2**17  # characters of a row
PATIENCE = 2000  # files of an archive that may turn out to be no pictures
SHELF = 64 * 2**20  # bytes of all visitors' pictures that are kept in this process
ENDINGS = {"png", "jpg", "jpeg", "gif", "webp", "bmp", "pgm", "ppm", "tif", "tiff"}
HIDDEN = re.compile(r"(^|/)(\.[^./]|__MACOSX)")
CLIMBING = re.compile(r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)")
CLASS_NAMES = {"label", "labels", "class", "target", "digit", "y"}
SCALES = (1, 15, 16, 255, 65535)  # what full ink is written as


class Pictures(NamedTuple):
    """What was read: grey pictures, 0 for paper and 1 for ink."""

    images: np.ndarray  # (n, side, side) float32 in 0..1
    labels: np.ndarray  # (n,) int64, 0.. in the order of `names`; all 0 where nothing is said of classes
    names: tuple[str, ...]  # of the classes: folders of the archive, or values of the CSV's class column


def read_pictures(data: bytes, side: int = SIDE, least: int = 1) -> tuple[Pictures, list[str]]:
    """A zip of pictures, a CSV with one picture a row, or one picture: its pictures, and notes for the reader.

    Each is fitted into side×side pixels with its proportions kept. Of more than 6 000 pictures a uniform sample,
    always the same, is kept. Nothing is written to disk, and memory is bounded. Raises ValueError with a sentence
    that says what was seen and what was expected; also for fewer than `least` pictures, or many that are all alike.
    """
    if not data:
        raise ValueError("Saw an empty file, expected a zip of pictures, a CSV or a picture.")
    if len(data) > LARGEST:
        raise ValueError(f"Saw a file of {len(data) / 2**20:.0f} MiB, expected at most {LARGEST / 2**20:.0f} MiB.")
    notes: list[str] = []
    found = _reader(data)(data, side, notes)
    if len(found.images) < least:
        seen = "one picture" if len(found.images) == 1 else f"{len(found.images)} pictures"
        raise ValueError(f"Saw {seen}, expected at least {least}: put them into one zip, or one on each row of a CSV.")
    if least > 1 and np.ptp(found.images, 0).max() < 1e-3:
        raise ValueError(f"Saw {len(found.images)} pictures that are all alike, expected different ones.")
    return _inked(found, notes), notes


def _reader(data: bytes) -> Callable[[bytes, int, list[str]], Pictures]:
    """Which of the three readers the file's first bytes ask for."""
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _read_zip
    picture = re.match(rb"\x89PNG|\xff\xd8|GIF8|RIFF|BM|P[1-6]\s|II\*|MM\0\*", data)
    return _read_one if picture or b"\0" in data[:4096] else _read_csv


def _read_one(data: bytes, side: int, notes: list[str]) -> Pictures:
    image, frames = read_picture(data, side)
    notes += ["The file is animated; its first picture was taken."] if frames > 1 else []
    return Pictures(image[None], np.zeros(1, np.int64), ("",))


def _inked(found: Pictures, notes: list[str]) -> Pictures:
    """Paper becomes 0: pictures that are mostly light at their edges are turned over, all or none."""
    if np.median([found.images[:, [0, -1]], found.images[:, :, [0, -1]].mT]) <= 0.5:
        return found
    notes.append("The pictures are light at their edges, so dark counts as ink.")
    return found._replace(images=1 - found.images)


def _read_zip(data: bytes, side: int, notes: list[str]) -> Pictures:
    if (count := data.count(b"PK\x01\x02")) > FILES:  # each file's entry begins so
        raise ValueError(f"Saw an archive of about {count:,} files, expected at most {FILES:,}.")
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except Exception as broken:
        raise ValueError("Saw a damaged zip, expected a whole one.") from broken
    files = [entry for entry in archive.infolist() if not entry.is_dir() and not HIDDEN.search(entry.filename)]
    wanted = [entry for entry in files if _usable(entry.filename)]
    order = np.random.default_rng(0).permutation(len(wanted))
    kept, lost, frames = _unpacked(archive, [wanted[i] for i in order], side)
    if not kept:
        first = f", the first “{files[0].filename[:40]}”" if files else ""
        raise ValueError(f"Saw a zip of {len(files):,} files{first}, and no picture that can be read; expected PNG, "
                         "JPEG, GIF, WebP, BMP or TIFF files.")  # fmt: skip
    notes += _left_out(len(files), len(wanted), lost)
    notes += [f"{frames} files are animated; the first picture of each was taken."] if frames else []
    if len(wanted) > len(kept) + lost:
        notes.append(f"Of {len(wanted):,} pictures, {len(kept):,} chosen at random are used, always the same.")
    places = {entry.filename: i for i, entry in enumerate(wanted)}
    kept.sort(key=lambda pair: places[pair[0]])
    folders = [PurePosixPath(name).parent.name for name, _ in kept]
    return _named(np.stack([image for _, image in kept]), folders)


def _usable(name: str) -> bool:
    """Whether a file is called as pictures are, in a place inside the archive. Nothing is ever unpacked to disk."""
    return name.rpartition(".")[2].lower() in ENDINGS and not CLIMBING.search(name)


def _left_out(files: int, wanted: int, lost: int) -> list[str]:
    out = files - wanted + lost
    return [f"{out:,} of {files:,} files are no pictures that can be read, and were left out."] if out else []


def _unpacked(
    archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], side: int
) -> tuple[list[tuple[str, np.ndarray]], int, int]:
    """Up to MOST (name, picture) in the order of the entries; how many failed, how many are animated."""
    kept: list[tuple[str, np.ndarray]] = []
    lost = moving = spent = 0
    for entry in entries:
        if len(kept) == MOST or lost == PATIENCE:
            break
        if entry.file_size > ONE:
            lost += 1
            continue
        spent += entry.file_size
        if spent > UNPACKED:
            raise ValueError(f"Saw a zip that unpacks to more than {UNPACKED >> 20} MiB, expected at most that.")
        try:
            image, frames = read_picture(archive.read(entry), side)
        except Exception:  # damaged, encrypted, packed by an unknown method, or no picture at all
            lost += 1
            continue
        kept.append((entry.filename, image))
        moving += frames > 1
    return kept, lost, moving


def _named(images: np.ndarray, words: list[str]) -> Pictures:
    """Pictures with their classes numbered in the order of their names, numbers by their size."""
    names = sorted(set(words), key=lambda word: (not word.isdigit(), int(word) if word.isdigit() else 0, word))
    place = {name: i for i, name in enumerate(names)}
    return Pictures(images, np.array([place[word] for word in words], np.int64), tuple(names))


def _read_csv(data: bytes, side: int, notes: list[str]) -> Pictures:
    data = data.removeprefix(b"\xef\xbb\xbf")
    data = data.replace(b"\r", b"\n") if b"\n" not in data else data
    first = next((line for line in _lines(data)), None)
    if first is None:
        raise ValueError("Saw an empty file, expected one picture on each row.")
    separator = next((s for s in ",;\t" if s in first[1]), None)
    head = [cell.strip().strip('"').lower() for cell in first[1].split(separator)]
    header = not all(map(_is_number, head))
    size, column = _layout(head, header)
    if (count := sum(1 for _ in _lines(data)) - header) == 0:
        raise ValueError("Saw a line of names and nothing below it, expected one picture on each row.")
    chosen = set(np.random.default_rng(0).permutation(count)[:MOST].tolist())
    if count > MOST:
        notes.append(f"Of {count:,} rows, {MOST:,} chosen at random are used, always the same.")
    if column is not None:
        notes.append(f"The {'first' if column == 0 else 'last'} column was taken for the class.")
    rows = (line for i, line in enumerate(_lines(data), -int(header)) if i in chosen)
    return _squares(np.stack(list(_numbers(rows, separator, len(head)))), size, column, side)


def _lines(data: bytes) -> Iterator[tuple[int, str]]:
    """The lines with something on them, each with its number. Raises ValueError for one that is endless."""
    for i, line in enumerate(io.BytesIO(data)):
        if len(line) > LONGEST:
            raise ValueError(f"Saw more than {LONGEST:,} characters on line {i + 1}, expected one picture on each row.")
        if text := line.decode("utf-8", "replace").strip():
            yield i + 1, text


def _squares(table: np.ndarray, size: int, column: int | None, side: int) -> Pictures:
    """Rows (n, size² and perhaps a class) as pictures: full ink is the least usual scale that holds every shade."""
    words = [""] * len(table) if column is None else [f"{value:g}" for value in table[:, column]]
    pixels = table if column is None else np.delete(table, column, 1)
    most = float(pixels.max())
    full = next((scale for scale in SCALES if most <= scale), most)
    return _named(np.stack([fitted(row.reshape(size, size) / full, side) for row in pixels]), words)


def _layout(head: list[str], header: bool) -> tuple[int, int | None]:
    """Side of the rows' pictures, and which column is the class. Raises ValueError for no square number of pixels."""
    for extra in (0, 1):
        size = math.isqrt(len(head) - extra)
        if 4 <= size <= 64 and size**2 == len(head) - extra:
            last = header and head[-1] in CLASS_NAMES
            return size, (len(head) - 1 if last else 0) if extra else None
    raise ValueError(f"Saw {len(head)} cells on the first row, expected a square number of pixels from 16 to 4096, "
                     "such as 64 or 784, and at most one cell more, for the class.")  # fmt: skip


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(rows: Iterator[tuple[int, str]], separator: str | None, width: int) -> Iterator[np.ndarray]:
    for line, row in rows:
        cells = row.replace('"', "").split(separator)
        if len(cells) != width:
            raise ValueError(f"Saw {len(cells)} cells on line {line}, expected {width} as on the first row.")
        try:
            values = np.array(cells, np.float32)
        except ValueError:
            odd = next(cell for cell in cells if not _is_number(cell))
            raise ValueError(f"Saw “{odd.strip()[:20]}” on line {line}, expected numbers.") from None
        if not np.isfinite(values).all() or values.min() < 0:
            raise ValueError(f"Saw a number below 0, or none at all, on line {line}, expected shades from 0 up.")
        yield values


class Kept:
    """Pictures of the visitors of this process, by a short code that a link can hold; the oldest unused go first."""

    def __init__(self, budget: int = SHELF) -> None:
        self.budget = budget
        self._held: OrderedDict[str, Pictures] = OrderedDict()
        self._lock = Lock()

    def keep(self, found: Pictures) -> str:
        """The code of these pictures: the same pictures have the same."""
        code = blake2b(found.images.tobytes() + found.labels.tobytes(), digest_size=8).hexdigest()
        with self._lock:
            self._held[code] = found
            self._held.move_to_end(code)
            while len(self._held) > 1 and sum(one.images.nbytes for one in self._held.values()) > self.budget:
                self._held.popitem(last=False)
        return code

    def __getitem__(self, code: str) -> Pictures:
        """The pictures of a code. Raises ValueError for one that is not, or no longer, known here."""
        with self._lock:
            if code not in self._held:
                raise ValueError("these pictures are not kept here any more; expected you to bring them again")
            self._held.move_to_end(code)
            return self._held[code]

    def check(self, code: str) -> str:
        """The code itself; "" stays. Raises ValueError like the look-up."""
        return code and (self[code] and code)


KEPT = Kept()
