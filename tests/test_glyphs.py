"""Glyphs: the factors do what they say, the seed decides, and a small network can read them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data.glyphs import FACTORS, SIDE, invented, numerals, plain, render, sample
from engine.device import DEVICE, generator

NAMES = list(FACTORS)
PIXEL = (torch.arange(SIDE) + 0.5) - SIDE / 2  # of each column from the middle


def traverse(name: str, digit: int, steps: int = 9) -> tuple[Tensor, Tensor]:
    """(values, images) of one numeral with one factor going through its range."""
    values = torch.linspace(FACTORS[name].low, FACTORS[name].high, steps)
    factors = plain(steps).cpu()
    factors[:, NAMES.index(name)] = values
    return values, render(torch.full((steps,), digit), factors).cpu()


def centre(images: Tensor) -> Tensor:
    """(n, 2): x and y of the ink's middle, in pixels from the image's."""
    ink = images.sum((1, 2))
    return torch.stack([(images.sum(1) @ PIXEL) / ink, (images.sum(2) @ PIXEL) / ink], 1)


def spread(images: Tensor) -> Tensor:
    """(n, 2, 2): the covariance of the ink."""
    place = torch.stack(torch.meshgrid(PIXEL, PIXEL, indexing="xy"), -1).view(-1, 2)
    shares = images.flatten(1) / images.sum((1, 2))[:, None]
    offset = place - (shares @ place)[:, None]
    return torch.einsum("np,npi,npj->nij", shares, offset, offset)


def test_shapes_types_and_range():
    images, labels, factors = sample(1000, generator(0))
    assert images.shape == (1000, 28, 28) and images.dtype == torch.float32 and images.device.type == DEVICE.type
    assert labels.dtype == torch.int64 and labels.unique().tolist() == list(range(10))
    assert factors.shape == (1000, 8) and len(FACTORS) == 8
    assert float(images.min()) == 0 and float(images.max()) == 1 and (images.amax((1, 2)) > 0.9).all()
    for column, factor in zip(factors.T.cpu(), FACTORS.values(), strict=True):
        assert factor.low <= column.min() < column.max() <= factor.high
    assert sample(0, generator(0)).images.shape == (0, 28, 28)


def test_the_seed_decides_and_an_image_depends_on_its_own_row_alone():
    a, b = sample(700, generator(3)), sample(700, generator(3))
    assert all(x.equal(y) for x, y in zip(a, b, strict=True))
    assert not a.images.equal(sample(700, generator(4)).images)
    alone = torch.cat([render(a.labels[i : i + 1], a.factors[i : i + 1]) for i in (0, 5, 699)])
    assert alone.allclose(a.images[[0, 5, 699]], atol=1e-5)


@pytest.mark.parametrize("digit", range(10))
def test_thickness_is_the_width_of_the_pen(digit: int):
    values, images = traverse("thickness", digit)
    ink = images.sum((1, 2))
    assert (ink.diff() > 0).all()
    if digit == 1:  # a row through the straight stem shows the pen itself
        assert (images[:, 14].sum(1) - values).abs().max() < 0.1


@pytest.mark.parametrize("digit", range(10))
def test_shifts_move_the_ink_by_that_many_pixels(digit: int):
    for axis, name in enumerate(("shift_x", "shift_y")):
        values, images = traverse(name, digit)
        moved = centre(images) - centre(images)[4]
        assert (moved[:, axis] - values).abs().max() < 0.1 and moved[:, 1 - axis].abs().max() < 0.1


@pytest.mark.parametrize("digit", range(10))
def test_slant_leans_the_top_to_the_right(digit: int):
    values, images = traverse("slant", digit)
    top, bottom = images.clone(), images.clone()
    top[:, 14:], bottom[:, :14] = 0, 0
    assert ((centre(top) - centre(bottom))[:, 0].diff() > 0).all()
    shear = -spread(images)[:, 0, 1] / spread(images)[:, 1, 1]  # the slope of x on height
    assert (shear - shear[4] - values).abs().max() < 0.05


@pytest.mark.parametrize("digit", [0, 1, 4, 7])
def test_rotation_turns_the_long_axis_clockwise_by_that_many_degrees(digit: int):
    values, images = traverse("rotation", digit)
    (xx, xy), (_, yy) = spread(images).permute(1, 2, 0)
    angle = torch.rad2deg(0.5 * torch.atan2(-2 * xy, yy - xx))  # of the long axis, clockwise from upright
    assert (angle - angle[4] - values).abs().max() < 1.0


@pytest.mark.parametrize("digit", range(10))
def test_size_and_aspect_stretch_the_ink(digit: int):
    values, images = traverse("size", digit)
    down = spread(images)[:, 1, 1].sqrt()
    assert (down / down[4] * values[4] - values).abs().max() < 0.03
    values, images = traverse("aspect", digit)
    across, down = spread(images).diagonal(dim1=1, dim2=2).sqrt().T
    assert ((across / down).diff() > 0).all() and (down.diff() < 0).all()
    assert ((down / down[4] * values.sqrt()).log().abs() < 0.05).all()


@pytest.mark.parametrize("digit", range(10))
def test_elastic_bends_the_glyph_and_leaves_its_place(digit: int):
    _, images = traverse("elastic", digit)
    change = (images - images[4]).square().sum((1, 2))
    assert (change[:4].diff() < 0).all() and (change[5:].diff() > 0).all() and change[0] > 3
    assert (centre(images) - centre(images)[4]).abs().max() < 1.6
    assert (images.sum((1, 2)) / images[4].sum() - 1).abs().max() < 0.25


def test_every_factor_is_smooth():
    """A hundredth of a range never changes a pixel by more than a tenth."""
    base = sample(200, generator(1))
    for i, factor in enumerate(FACTORS.values()):
        near = base.factors.clone()
        near[:, i] += 0.01 * (factor.high - factor.low)
        assert 0 < (render(base.labels, near) - base.images).abs().max() < 0.15


def test_edges_are_antialiased():
    images = render(torch.arange(10), plain(10))
    grey = ((images > 0.02) & (images < 0.98)).float().mean()
    assert 0.05 < grey < 0.3


def test_spread_zero_gives_plain_glyphs():
    images, labels, factors = sample(50, generator(0), spread=0.0)
    assert factors.equal(plain(50)) and images.equal(render(labels, plain(50)))


def test_invented_alphabets_are_decided_by_their_seed_and_unlimited():
    small, large = invented(7, 20), invented(7, 40)
    assert len(large) == 40 and large.atlas[:20].equal(small.atlas) and large.phases[:20].equal(small.phases)
    assert not small.atlas.equal(invented(8, 20).atlas)
    images, labels, _ = sample(500, generator(0), large)
    assert int(labels.max()) == 39 and (images.amax((1, 2)) > 0.9).all()


def test_the_characters_of_an_alphabet_differ():
    images = render(torch.arange(40), plain(40), invented(0, 40)).flatten(1)
    alike = F.cosine_similarity(images[:, None], images, dim=-1) - torch.eye(40, device=DEVICE)
    assert alike.max() < 0.95 and alike.mean() < 0.5


def test_what_cannot_be_rendered_is_a_sentence():
    with pytest.raises(ValueError, match=r"\(3,\) and \(3, 7\), expected \(n,\) and \(n, 8\)"):
        render(torch.zeros(3, dtype=torch.int64), torch.zeros(3, 7))
    for wrong in (-1, 10):
        with pytest.raises(ValueError, match="from 0 to 9"):
            render(torch.tensor([wrong]), plain(1))


def logits(weights: list[Tensor], images: Tensor) -> Tensor:
    first, second, last = weights
    x = F.conv2d(images[:, None], first, stride=2, padding=1).relu()
    x = F.conv2d(x, second, stride=2, padding=1).relu()
    return x.flatten(1) @ last


def test_a_small_cnn_reads_the_numerals():
    g = generator(0)
    shapes = [(12, 1, 3, 3), (24, 12, 3, 3), (24 * 49, 10)]
    fans = [9, 108, 24 * 49]
    weights = [
        (torch.randn(shape, generator=g) * (2 / fan) ** 0.5).to(DEVICE).requires_grad_()
        for shape, fan in zip(shapes, fans, strict=True)
    ]
    train, test = sample(20_000, g), sample(5_000, g)
    adam = torch.optim.Adam(weights, lr=4e-3)
    for step in range(400):
        part = slice(step * 128 % 19_968, step * 128 % 19_968 + 128)
        loss = F.cross_entropy(logits(weights, train.images[part]), train.labels[part])
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        accuracy = (logits(weights, test.images).argmax(1) == test.labels).double().mean()
    print(f"test accuracy {float(accuracy):.4f}")
    assert len(numerals()) == 10 and accuracy >= 0.98
