"""Digits: the real ones, whole and split."""

import pytest
import torch

from engine.data.digits import load, split
from engine.device import DEVICE


def test_all_digits_are_there():
    images, labels = load()
    assert images.shape == (1797, 8, 8) and images.dtype == torch.float32 and images.device.type == DEVICE.type
    assert labels.shape == (1797,) and labels.dtype == torch.int64 and labels.unique().tolist() == list(range(10))
    assert float(images.min()) == 0 and float(images.max()) == 1 and load() is load()


@pytest.mark.parametrize("seed", range(3))
def test_the_split_is_stratified_whole_and_without_overlap(seed: int):
    train, test = split(seed)
    for label, total in enumerate(load().labels.bincount().tolist()):
        assert abs(int((test.labels == label).sum()) - 0.2 * total) <= 0.5
    both = torch.cat([train.images, test.images]).flatten(1)
    assert len(both) == 1797
    assert sorted(both.tolist()) == sorted(load().images.flatten(1).tolist())


def test_the_split_is_decided_by_its_seed():
    again = split.__wrapped__(0)
    assert all(a.equal(b) for x, y in zip(split(0), again, strict=True) for a, b in zip(x, y, strict=True))
    assert not split(0)[1].images.equal(split(1)[1].images)


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan")])
def test_a_share_that_leaves_nothing_is_refused(share: float):
    with pytest.raises(ValueError, match="between 0 and 1"):
        split(0, share)
