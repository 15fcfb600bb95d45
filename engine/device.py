"""Where tensors live, how many threads work on them, and whose turn it is."""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, get_ident

import torch


class DeviceFull(RuntimeError):
    """The device has no memory left for this run."""


class Turn:
    """A lock that is first come, first served, and that its holder may take again.

    A plain lock lets a thread that releases and retakes it in a loop starve everyone else.
    """

    def __init__(self) -> None:
        self._line: deque[int] = deque()
        self._depth = 0
        self._moved = Condition()

    def __enter__(self) -> None:
        me = get_ident()
        with self._moved:
            if not (self._line and self._line[0] == me):
                self._line.append(me)
                self._moved.wait_for(lambda: self._line[0] == me)
            self._depth += 1

    def __exit__(self, *_: object) -> None:
        with self._moved:
            self._depth -= 1
            if not self._depth:
                self._line.popleft()
                self._moved.notify_all()


def choose() -> torch.device:
    """CUDA where there is one, else the CPU; LIVESHEET_DEVICE overrides.

    Raises ValueError for Apple's MPS: it has no float64, in which many of the runs compute (exact scores, principal
    components, curvatures).
    """
    wanted = torch.device(os.environ.get("LIVESHEET_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu"))
    if wanted.type == "mps":
        raise ValueError("LIVESHEET_DEVICE is mps, but cpu or cuda is expected: Apple's GPU does not compute float64.")
    return wanted


DEVICE = choose()
TURN = Turn()  # one frame is computed at a time, whoever asked for it
torch.set_num_threads(1)  # small tensors are slower on more threads, and one thread keeps every sum in one order


def generator(seed: int) -> torch.Generator:
    """The one source of randomness of a run. It draws on the CPU, so every device sees the same numbers."""
    return torch.Generator().manual_seed(seed)


def describe() -> str:
    """The device in words, for the foot of a page."""
    if DEVICE.type == "cuda":
        return torch.cuda.get_device_name(DEVICE)
    return "CPU" if DEVICE.type == "cpu" else DEVICE.type


@contextmanager
def memory_guard() -> Iterator[None]:
    """Turn the device's out-of-memory error into a sentence, and give back what was held."""
    try:
        yield
    except torch.OutOfMemoryError as full:
        if DEVICE.type == "cuda":
            torch.cuda.empty_cache()
        raise DeviceFull(
            f"{describe()} has no memory left for this run; it needed more than is free. "
            "Choose fewer samples, a smaller network or a smaller batch."
        ) from full


def warm() -> None:
    """Take a few real training steps: the first of a process import much and choose their kernels."""
    weight = torch.zeros(8, 8, device=DEVICE, requires_grad=True)
    rule = torch.optim.Adam([weight], fused=True)
    for _ in range(3):
        with TURN:
            (weight @ weight).square().sum().backward()
            rule.step()
