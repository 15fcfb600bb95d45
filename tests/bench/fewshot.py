"""Few-shot glyphs: how well unseen alphabets are read after so many seconds of meta-training."""

import time
from collections.abc import Callable, Sequence

from engine.device import generator
from engine.maml_adaptation.alphabets import Episodes, nearest
from engine.maml_adaptation.fewshot import Learning, Student, share
from tests.bench.row import Row, row

SECONDS, OTHERS, SEEDS, TASKS, STEPS = (2, 5, 15, 30, 60), (5, 15), 3, 400, 5


def judged(cfg: Learning, student: Student, tasks: Episodes) -> float:
    """Share of query pictures read right after five inner steps, in percent."""
    *_, last = cfg.adapted("meta", student.rule.weights, cfg.fast_lr, tasks, STEPS)
    return 100 * float(cfg.right(last, tasks).mean())


def taught(cfg: Learning, seconds: float) -> Student:
    """Meta-trained for so many CPU seconds of one thread; the outer step falls over that time."""
    student, start = Student(cfg), time.process_time()
    while (part := (time.process_time() - start) / seconds) < 1:
        student.teach(share(1000 * part, 1000))
    return student


def fewshot() -> Sequence[Row]:
    """5 classes, 5 and 1 examples of each, MAML and ANIL, three seeds, on 400 alphabets that no training saw."""
    rows = []
    for shots, method in ((5, "maml"), (5, "anil"), (1, "maml")):
        tasks = Learning(shots=shots).episodes(TASKS, generator(999_983))
        if method == "maml":
            floor = [100 * float(nearest(tasks).mean())]
            rows.append(row("fewshot", f"{shots}-shot, nearest picture: read right", "%", floor))
        for seconds in SECONDS if (shots, method) == (5, "maml") else OTHERS:
            runs = [Learning(method, shots=shots, seed=seed) for seed in range(SEEDS)]
            found = [judged(cfg, taught(cfg, seconds), tasks) for cfg in runs]
            rows.append(row("fewshot", f"{shots}-shot, {method}, {seconds} s of meta-training: read right", "%", found))
    return rows


BENCHES: dict[str, Callable[[], Sequence[Row]]] = {"fewshot": fewshot}
