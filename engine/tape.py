"""A run, recorded while it is watched, and shared by everyone who watches it."""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from threading import Lock
from time import monotonic
from typing import Any, Generic, TypeVar

import numpy as np

from engine.device import TURN, memory_guard

Frame = TypeVar("Frame")
BUDGET = int(os.environ.get("LIVESHEET_TAPE_BYTES", 1 << 30))  # of all tapes together


class Tape(Generic[Frame]):
    """The frames of one run: those already seen are replayed, the next one is computed when asked for.

    Whoever watches pays for the next frame; everyone who watches the same run shares it. Nobody watching
    means nothing computing. `frames` only grows: readers may slice it at any time.
    """

    def __init__(self, source: Iterator[Frame], budget: int = BUDGET) -> None:
        self.frames: list[Frame] = []
        self.done = False
        self.failure: Exception | None = None
        self.nbytes = 0
        self._source, self._budget = source, budget

    def wind(self, seconds: float = float("inf"), between: Callable[[], Any] = bool) -> "Tape[Frame]":
        """Compute for about `seconds`, at least one frame, or until the run ends. A run's failure is raised again.

        `between` is called after each frame; it may raise to end the winding.
        """
        deadline = monotonic() + seconds
        while not self.done:
            with TURN:
                self._advance()
            between()
            if monotonic() >= deadline:
                break
        return self

    def _advance(self) -> None:
        if self.failure:
            raise self.failure
        if self.done:
            return
        try:
            with memory_guard():
                frame = next(self._source)
            self._keep(frame)
        except StopIteration:
            self.done = True
        except Exception as failure:
            self.failure = failure
            raise

    def _keep(self, frame: Frame) -> None:
        self.nbytes += size(frame)
        if self.nbytes > self._budget:
            seen, most = self.nbytes / 2**20, self._budget / 2**20
            raise MemoryError(f"this run recorded {seen:.0f} MiB; a tape may hold {most:.0f} MiB")
        self.frames.append(frame)


class Shelf:
    """Tapes by run and Config, bounded in total bytes: the one unused for longest goes first."""

    def __init__(self, budget: int = BUDGET) -> None:
        self.budget = budget
        self._tapes: OrderedDict[tuple[Callable, Any], Tape] = OrderedDict()
        self._lock = Lock()

    def record(self, run: Callable[[Any], Iterator[Frame]], cfg: Any) -> Tape[Frame]:
        """The one tape of `run(cfg)` in this process."""
        with self._lock:
            tape = self._tapes.get((run, cfg))
            if tape is None or isinstance(tape.failure, MemoryError):
                tape = self._tapes[run, cfg] = Tape(run(cfg), self.budget)
            self._tapes.move_to_end((run, cfg))
            self._evict()
            return tape

    def _evict(self) -> None:
        while len(self._tapes) > 1 and self.nbytes > self.budget:
            self._tapes.popitem(last=False)

    @property
    def nbytes(self) -> int:
        """Bytes held by all tapes."""
        return sum(tape.nbytes for tape in self._tapes.values())

    def __len__(self) -> int:
        return len(self._tapes)


SHELF = Shelf()


def record(run: Callable[[Any], Iterator[Frame]], cfg: Any) -> Tape[Frame]:
    """The tape of `run(cfg)`: the one seam behind which a run could live elsewhere."""
    return SHELF.record(run, cfg)


def size(frame: Any) -> int:
    """Bytes of a frame's arrays, with a little for the rest of it."""
    values = frame if isinstance(frame, tuple) else (frame,)
    return 64 + sum(value.nbytes if isinstance(value, np.ndarray) else 32 for value in values)
