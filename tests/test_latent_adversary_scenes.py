"""The titles of the scenes with adversaries and linear networks are claims: each is measured on the run shown."""

import pytest

from tests.test_latent_dial_scenes import end, frames


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_plane_but_not_the_same_axes(seed):
    last = end("span", seed=seed)
    assert last.angle < 0.01 and last.excess < 1e-6 and last.aligned < 0.9
    assert last.vae_aligned > 0.99 and last.likelihood - last.elbo < 1e-3


def test_the_adversary_matches_and_keeps_the_most():
    last = end("race")
    assert last.sliced[0] < 1.5 * last.floor and (last.sliced < 2.5 * last.floor).all()
    assert last.error[0] < 0.97 * last.error[1:].min()
    assert (frames("race")[0].sliced > 5 * last.floor).all()
    assert last.off < 0.15


def test_what_it_says_never_exceeds_the_truth():
    for name in ("race", "bound"):
        assert all(f.bound <= f.divergence + 1e-9 for f in frames(name))
    assert end("bound").divergence > end("race").divergence
