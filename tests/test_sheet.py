"""The sheet is whole: 123 statements, each with page, verdict, source and well-formed mathematics."""

import re
import tomllib
from pathlib import Path

import pytest

SHEET = Path(__file__).parent.parent / "assets" / "sheet.toml"
STATEMENTS = tomllib.loads(SHEET.read_text("utf-8"))["statement"]
KEYS = {"id", "page", "verdict", "printed", "correct", "source"}
VERDICTS = {"OK", "SLOPPY", "TYPO", "WRONG", "OPINION"}
PAGES = {
    "latent_spaces",
    "matching_distributions",
    "diffusion_denoising",
    "adversarial_examples",
    "forgetting_curves",
    "maml_adaptation",
    "optimizer_paths",
    "generalization",
}

each = pytest.mark.parametrize("row", STATEMENTS, ids=lambda row: row["id"])


def pieces(text: str) -> list[str]:
    """Split at unescaped dollar signs: prose at the even places, mathematics at the odd ones."""
    return re.split(r"(?<!\\)\$", text)


def depth(maths: str) -> int:
    """How many braces stay open at the end; -1 as soon as one closes that was never opened."""
    level = 0
    for brace in re.sub(r"\\[{}]", "", maths):
        level += {"{": 1, "}": -1}.get(brace, 0)
        if level < 0:
            return -1
    return level


def test_123_statements_with_unique_ids():
    ids = [row["id"] for row in STATEMENTS]
    assert len(ids) == 123
    assert len(set(ids)) == 123


def test_every_page_has_statements():
    assert {row["page"] for row in STATEMENTS} == PAGES


@each
def test_keys_and_verdict(row: dict[str, str]):
    assert KEYS <= set(row) <= KEYS | {"note"}
    assert row["verdict"] in VERDICTS
    assert all(text.strip() == text != "" for text in row.values())


@each
def test_dollars_pair_up(row: dict[str, str]):
    for text in row.values():
        parts = pieces(text)
        assert len(parts) % 2 == 1, f"a dollar sign without a partner in: {text}"
        assert all(maths.strip() == maths != "" for maths in parts[1::2]), f"empty maths in: {text}"


@each
def test_braces_balance_and_left_meets_right(row: dict[str, str]):
    for maths in (m for text in row.values() for m in pieces(text)[1::2]):
        assert depth(maths) == 0, f"unbalanced braces in: {maths}"
        left, right = (len(re.findall(rf"\\{side}(?![A-Za-z])", maths)) for side in ("left", "right"))
        assert left == right, f"{left} \\left but {right} \\right in: {maths}"


@each
def test_commands_only_inside_mathematics(row: dict[str, str]):
    prose = "".join(part for text in row.values() if text != row["page"] for part in pieces(text)[::2])
    assert not re.search(r"\\[A-Za-z]|[_^{}|]", prose), f"mathematics outside dollar signs in: {prose}"


@each
def test_no_bare_bar_that_would_split_a_table(row: dict[str, str]):
    assert all("|" not in text for text in row.values()), "write \\lvert, \\rvert or \\mid"


@pytest.mark.parametrize(
    ("maths", "left_open"), [("{a}", 0), (r"\{a", 0), ("{a", 1), ("}{", -1), (r"\frac{1}{2}}", -1)]
)
def test_depth_counts_what_stays_open(maths: str, left_open: int):
    assert depth(maths) == left_open
