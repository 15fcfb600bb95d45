"""Tapes: shared, thread-safe, bounded, and honest about failure."""

import threading
import time
from typing import NamedTuple

import numpy as np
import pytest

from engine.device import Turn
from engine.tape import Shelf, Tape, size


class Frame(NamedTuple):
    step: int
    cloud: np.ndarray


def counting(n, cost=0.0):
    for i in range(n):
        time.sleep(cost)
        yield Frame(i, np.full(100, i, np.float32))


def test_eight_threads_share_one_tape():
    tape = Tape(counting(400))
    threads = [threading.Thread(target=tape.wind) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert tape.done and [f.step for f in tape.frames] == list(range(400))


def test_winding_stops_after_its_time_and_gives_at_least_one_frame():
    tape = Tape(counting(100, cost=0.01))
    tape.wind(0)
    assert len(tape.frames) == 1 and not tape.done
    tape.wind(0.05)
    assert 2 <= len(tape.frames) <= 8


def test_winding_can_be_ended_between_two_frames_and_goes_on_from_there():
    tape, seen = Tape(counting(10)), []

    def enough():
        seen.append(len(tape.frames))
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tape.wind(between=enough)
    assert seen == [1, 2, 3] and not tape.done and tape.failure is None
    assert [f.step for f in tape.wind().frames] == list(range(10))


def test_seen_frames_replay_for_nothing():
    calls = []

    def run(cfg):
        calls.append(cfg)
        yield from counting(3)

    shelf = Shelf()
    first, second = shelf.record(run, 1).wind(), shelf.record(run, 1).wind()
    assert first is second and calls == [1]


def test_a_failure_is_kept_and_never_mistaken_for_the_end():
    def run():
        yield Frame(0, np.zeros(1))
        raise ValueError("the loss is not a number")

    tape = Tape(run())
    for _ in range(2):
        with pytest.raises(ValueError, match="not a number"):
            tape.wind()
    assert not tape.done and len(tape.frames) == 1


def test_the_oldest_unused_tape_goes_first():
    shelf = Shelf(budget=3 * 10 * size(Frame(0, np.zeros(100, np.float32))))
    for cfg in "abc":
        shelf.record(lambda cfg: counting(10), cfg)
    tapes = {}

    def run(cfg):
        yield from counting(10)

    shelf = Shelf(shelf.budget)
    for cfg in "abc":
        tapes[cfg] = shelf.record(run, cfg).wind()
    assert shelf.record(run, "a") is tapes["a"]  # used again, so b is now the oldest
    shelf.record(run, "d").wind()
    shelf.record(run, "d")
    assert shelf.nbytes <= shelf.budget
    assert shelf.record(run, "a") is tapes["a"] and shelf.record(run, "b") is not tapes["b"]


def test_a_run_too_long_for_its_tape_says_so():
    tape = Tape(counting(1000), budget=20_000)
    with pytest.raises(MemoryError, match="MiB"):
        tape.wind()
    assert tape.nbytes < 25_000


def test_a_slow_viewer_holds_nobody_up():
    tape = Tape(counting(50, cost=0.001))
    slow_saw = []

    def slow():
        while not tape.done:
            slow_saw.append(len(tape.frames[:]))
            time.sleep(0.05)

    watcher = threading.Thread(target=slow)
    watcher.start()
    start = time.monotonic()
    tape.wind()
    assert time.monotonic() - start < 1
    watcher.join(5)
    assert slow_saw == sorted(slow_saw)


def test_turns_are_first_come_first_served_and_can_be_nested():
    turn, order = Turn(), []

    def take(name):
        with turn, turn:
            order.append(name)

    with turn:
        threads = []
        for name in range(5):
            threads.append(threading.Thread(target=take, args=(name,)))
            threads[-1].start()
            time.sleep(0.02)
    for thread in threads:
        thread.join(5)
    assert order == list(range(5))


def test_a_looping_thread_does_not_starve_another():
    turn, stop, waits = Turn(), threading.Event(), []

    def greedy():
        while not stop.is_set():
            with turn:
                time.sleep(0.005)

    thread = threading.Thread(target=greedy)
    thread.start()
    for _ in range(10):
        start = time.monotonic()
        with turn:
            waits.append(time.monotonic() - start)
    stop.set()
    thread.join(5)
    assert sorted(waits)[5] < 0.1
