"""Tests of one topic go to one worker, one after another, so that what a run has learned is learned once."""

import os

import pytest

from tests import standin

if os.environ.get("LIVESHEET_DEVICE") == standin.NAME:
    STANDIN = standin.install()  # before the engine chooses its device

from tests.topics import TOPICS  # noqa: E402

HEAVY = "diffusion_denoising"  # begins first, since it takes longest
DIFFUSION = ("denoiser", "digits", "langevin", "latent_diffusion", "luck", "samplers", "scenes", "schedules", "score")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name each test's group for `--dist loadgroup`, and put the longest group first."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: _group(item) != HEAVY)


def _group(item: pytest.Item) -> str:
    """The topic that a test is about, or else its file."""
    named = getattr(item, "callspec", None)
    said = {named.params.get("topic"), named.params.get("page")} & set(TOPICS) if named else ()
    name = item.path.stem.removeprefix("test_")
    if name in DIFFUSION:
        return HEAVY
    by_name = (topic for topic in TOPICS if name.split("_")[0] == topic.split("_")[0])
    return next(iter(said), "") or next(by_name, name)
