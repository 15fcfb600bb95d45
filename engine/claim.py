"""A statement of the sheet, and the code that puts it to the test."""

import argparse
import json
import sys
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from inspect import getdoc
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

SHEET = Path(__file__).parent.parent / "assets" / "sheet.toml"


class Evidence(NamedTuple):
    """What a check measured, and whether the statement stood."""

    holds: bool
    numbers: dict[str, float]


@dataclass(frozen=True)
class Statement:
    """One row of the sheet: as printed, the verdict, and the correct form (Markdown and LaTeX)."""

    id: str
    page: str
    verdict: str  # OK, SLOPPY, TYPO, WRONG or OPINION
    printed: str
    correct: str
    source: str
    note: str = ""


@dataclass(frozen=True)
class Claim:
    """A statement with its check; the page shows the very object that the tests run."""

    id: str
    says: str
    check: Callable[[], Evidence]


@dataclass(frozen=True)
class Result:
    """One check, run."""

    id: str
    page: str
    holds: bool
    numbers: dict[str, float]
    seconds: float


def claim(id: str) -> Callable[[Callable[[], Evidence]], Claim]:
    """Turn a check into a claim; its docstring is the statement in correct form."""
    return lambda check: Claim(id, getdoc(check) or "", check)


@cache
def statements() -> tuple[Statement, ...]:
    """Every statement of the sheet, in its order."""
    return tuple(Statement(**row) for row in tomllib.loads(SHEET.read_text("utf-8"))["statement"])


def pages() -> list[str]:
    """The pages that the sheet speaks of, in order."""
    return list(dict.fromkeys(s.page for s in statements()))


def claims(page: str) -> list[Claim]:
    """Every claim that `engine.<page>.claims` makes, in the order of the sheet; none where there is no engine yet."""
    if find_spec(f"engine.{page}") is None:
        return []
    found = {c.id: c for c in vars(import_module(f"engine.{page}.claims")).values() if isinstance(c, Claim)}
    return [found[s.id] for s in statements() if s.id in found]


def run(page: str, one: Claim) -> Result:
    """Check one claim and time it."""
    start = perf_counter()
    holds, numbers = one.check()
    plain = {name: float(value) for name, value in numbers.items()}
    return Result(one.id, page, bool(holds), plain, round(perf_counter() - start, 3))


def main(arguments: Iterable[str]) -> int:
    """`python -m engine.claim [--page NAME] [--json]`: run the checks; 1 when one fails."""
    parser = argparse.ArgumentParser(prog="python -m engine.claim", description="Check the statements of the sheet.")
    parser.add_argument("--page", choices=pages())
    parser.add_argument("--json", action="store_true", help="a list of {id, page, holds, numbers, seconds}")
    options = parser.parse_args(list(arguments))
    chosen = [options.page] if options.page else pages()
    results = []
    for page in chosen:
        for one in claims(page):
            results.append(run(page, one))
            if not options.json:
                print(_line(results[-1]), flush=True)
    if options.json:
        print(json.dumps([asdict(result) for result in results]))
    return 0 if all(result.holds for result in results) else 1


def _line(result: Result) -> str:
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in result.numbers.items())
    return f"{'holds' if result.holds else 'FAILS'}  {result.id:7} {result.seconds:6.2f} s  {numbers}"


if __name__ == "__main__":
    from engine.claim import main as entry  # the module imported by its name, so that Claim is one class

    sys.exit(entry(sys.argv[1:]))
