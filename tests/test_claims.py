"""Every claim of every page holds, and a false one does not pass."""

import json
import runpy
from functools import cache

import pytest

from engine import claim as machinery
from engine.claim import Claim, Evidence, Result, claim, claims, main, pages, run, statements

EVERY = [(page, one) for page in pages() for one in claims(page)]
WHOLE = [
    "adversarial_examples",
    "diffusion_denoising",
    "forgetting_curves",
    "latent_spaces",
    "maml_adaptation",
    "optimizer_paths",
]  # every statement checked


@cache
def checked(page: str, name: str) -> Result:
    """The outcome of one claim, worked out once for all tests."""
    return run(page, next(one for one in claims(page) if one.id == name))


@pytest.mark.parametrize(("page", "one"), EVERY, ids=[one.id for _, one in EVERY])
def test_the_claim_holds_and_shows_its_numbers(page: str, one: Claim):
    result = checked(page, one.id)
    assert result.holds, result.numbers
    assert 1 <= len(result.numbers) <= 10
    assert all(value == value for value in result.numbers.values())


@pytest.mark.parametrize(("page", "one"), EVERY, ids=[one.id for _, one in EVERY])
def test_the_claim_says_how_it_is_checked(page: str, one: Claim):
    assert len(one.says) > 40 and one.says.rstrip().endswith(".")


@pytest.mark.parametrize("page", WHOLE)
def test_every_statement_but_the_opinions_has_a_claim(page: str):
    asked = [s.id for s in statements() if s.page == page and s.verdict != "OPINION"]
    assert [one.id for one in claims(page)] == asked


@pytest.mark.parametrize("page", WHOLE)
def test_what_is_printed_wrong_is_refuted_in_numbers(page: str):
    wrong = {s.id for s in statements() if s.page == page and s.verdict == "WRONG"}
    for one in claims(page):
        if one.id in wrong:
            assert any("as printed" in name for name in checked(page, one.id).numbers), one.id


def test_a_check_gives_the_same_numbers_twice():
    for one in claims("diffusion_denoising"):
        if one.id in ("DIF-1", "DIF-3", "DAE-2"):
            assert one.check() == one.check()


@claim("DIF-1")
def false() -> Evidence:
    """A statement that does not stand."""
    return Evidence(1 + 1 == 3, {"1 + 1": 2})


def test_a_false_claim_fails(monkeypatch, capsys):
    monkeypatch.setattr(machinery, "claims", lambda page: [false])
    assert main(["--page", "diffusion_denoising"]) == 1
    assert capsys.readouterr().out.startswith("FAILS  DIF-1")


def test_json_gives_the_fields_of_a_result(monkeypatch, capsys):
    monkeypatch.setattr(machinery, "claims", lambda page: [false])
    assert main(["--page", "diffusion_denoising", "--json"]) == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert set(row) == {"id", "page", "holds", "numbers", "seconds"}
    assert (row["id"], row["page"], row["holds"]) == ("DIF-1", "diffusion_denoising", False)
    assert row["numbers"] == {"1 + 1": 2.0} and row["seconds"] >= 0


@pytest.mark.filterwarnings("ignore:'engine.claim' found in sys.modules")
def test_the_command_leaves_with_the_status_of_its_checks(monkeypatch, capsys):
    monkeypatch.setattr(machinery, "claims", lambda page: [false])
    monkeypatch.setattr("sys.argv", ["engine.claim", "--page", "diffusion_denoising"])
    with pytest.raises(SystemExit) as left:
        runpy.run_module("engine.claim", run_name="__main__")
    assert left.value.code == 1 and "FAILS" in capsys.readouterr().out


def test_a_page_that_is_not_on_the_sheet_is_refused(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--page", "alchemy"])
    assert left.value.code == 2 and "alchemy" in capsys.readouterr().err
