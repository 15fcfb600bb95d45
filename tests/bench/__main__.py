"""`python -m tests.bench [NAME…] [--json] [--device cpu|cuda]`: measure and report; never fail on time."""

import argparse
import json
import os
import sys
import time

GROUPS = {
    name: f"tests.bench.{name}"
    for name in (
        "attacks",
        "browser",
        "defence",
        "engine",
        "fewshot",
        "fisher",
        "forgetting",
        "landscape",
        "latent",
        "maml",
        "rivals",
        "rules",
    )
}


def main() -> int:
    """Run the named benches, or all of them; the exit status is 1 when one could not be run."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"benches, or a group of them: {', '.join(GROUPS)}")
    parser.add_argument("--json", action="store_true", help="a list of measurements for a program")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="where tensors live")
    args = parser.parse_args()
    if args.device:
        os.environ["LIVESHEET_DEVICE"] = args.device  # read once, when the engine is imported
    return report(args.names, args.json)


def report(names: list[str], as_json: bool) -> int:
    """Measure, telling on stderr what is under way, and print the rows."""
    from importlib import import_module

    from engine.device import describe
    from tests.bench.row import table

    groups = {group: import_module(module).BENCHES for group, module in GROUPS.items()}
    every = {name: bench for group in groups.values() for name, bench in group.items()}
    wanted = [bench for name in names or every for bench in groups.get(name, {name: None})]
    if strange := [name for name in wanted if name not in every]:
        print(f"There is no bench {strange[0]}; there are {', '.join([*every, *groups])}.", file=sys.stderr)
        return 2
    rows, wrong = [], 0
    for name in wanted:
        start = time.perf_counter()
        try:
            rows += every[name]()
        except Exception as problem:  # the others may still be measured
            wrong += 1
            print(f"{name} could not be measured: {problem}", file=sys.stderr)
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    cores = os.cpu_count()
    head = f"{describe()}, {cores} cores, load {os.getloadavg()[0]:.1f}"
    print(json.dumps([one._asdict() for one in rows]) if as_json else f"{head}\n{table(rows)}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
