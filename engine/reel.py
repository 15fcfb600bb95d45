"""What a view shows of its runs: the run it begins with, thinned or only waited for, and then its own."""

from collections.abc import Callable
from typing import Any

from engine.figures.view import View
from engine.tape import Tape, record


class Reel:
    """The frames of a view at some settings. Like a tape it is wound by whoever watches."""

    def __init__(self, view: View, cfg: Any) -> None:
        begins = view.before(cfg) if view.before else None
        self._view, self._cfg = view, cfg
        self._before: Tape | None = record(*begins) if begins else None
        self._tape: Tape = record(view.run, cfg)

    @property
    def opening(self) -> list[Any]:
        """The frames shown of the run it begins with: every n-th, and the last."""
        if self._before is None or not self._view.thin:
            return []
        frames, n = self._before.frames[:], self._view.thin
        return frames[::n] + (frames[-1:] if self._before.done and (len(frames) - 1) % n else [])

    @property
    def ready(self) -> bool:
        """Whether the run it begins with is over."""
        return self._before is None or self._before.done

    @property
    def frames(self) -> list[Any]:
        """Every frame so far."""
        return self.opening + (self._tape.frames[:] if self.ready else [])

    @property
    def done(self) -> bool:
        """Whether there will be no more frames."""
        return self.ready and self._tape.done

    @property
    def waiting(self) -> float | None:
        """How far the run is that one waits for, 0 to 1; None where one need not wait."""
        if self.ready or self._before is None or self._view.thin:
            return None
        frames = self._before.frames
        return self._view.progress(frames[-1], self._cfg) if frames and self._view.progress else 0.0

    def wind(self, seconds: float, between: Callable[[], Any] = bool) -> None:
        """Compute for about `seconds`, and call `between` after each frame. A run's failure is raised."""
        if self._before is not None and not self._before.done:
            self._before.wind(seconds, between)
        if self.ready and (seconds or not self._tape.frames):
            self._tape.wind(0 if not self._tape.frames else seconds, between)
