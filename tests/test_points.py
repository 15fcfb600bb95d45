"""Points: the exact density and score against independent oracles, drawings, and uploads of every kind."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from engine.data import points
from engine.data.points import SETS, Mixture, check_code, decode, drawn, encode, mixture, read_csv, standardise
from engine.device import DEVICE, generator

F64 = torch.float64
BIG = 300_000  # rows: several blocks


def random_mixture(seed: int, alike: bool) -> Mixture:
    g = generator(seed)
    k = int(torch.randint(1, 513, (), generator=g))
    weights = torch.softmax(2 * torch.randn(k, generator=g, dtype=F64), 0)
    std = 0.03 + torch.rand(k, generator=g, dtype=F64)
    return Mixture(torch.randn(k, 2, generator=g, dtype=F64), weights, std[:1].expand(k) if alike else std)


def places(seed: int, n: int = 200) -> torch.Tensor:
    """Near and far: the last ones up to about 100 from the middle."""
    x = 2 * torch.randn(n, 2, generator=generator(seed), dtype=F64)
    x[-20:] *= 40 / x[-20:].norm(dim=1, keepdim=True) * torch.linspace(0.1, 2.5, 20, dtype=F64)[:, None]
    return x


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_score_is_the_gradient_of_log_density(seed: int, alike: bool):
    p, x = random_mixture(seed, alike), places(seed).requires_grad_()
    (slope,) = torch.autograd.grad(p.log_density(x).sum(), x)
    assert (p.score(x).detach() - slope).abs().max() <= 1e-8


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_log_density_agrees_with_scipy(seed: int, alike: bool):
    p, x = random_mixture(seed, alike), places(seed)[:-20] / 4
    parts = zip(p.weights.numpy(), p.centres.numpy(), p.std.numpy(), strict=True)
    truth = sum(w * multivariate_normal(c, s**2 * np.eye(2)).pdf(x.numpy()) for w, c, s in parts)
    assert np.allclose(p.log_density(x).numpy(), np.log(truth), atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("name", SETS)
def test_far_away_everything_stays_finite(name: str, dtype: torch.dtype):
    p, x = mixture(name, ""), torch.tensor([[100.0, 0], [-100, 100], [0, 1e3], [0, 0]], dtype=dtype)
    for value in (p.log_density(x), p.score(x), p.denoise(x, 0.1), p.noised(0.1, 1.0).score(x)):
        assert value.dtype == dtype and value.isfinite().all()


@pytest.mark.parametrize("name", SETS)
def test_float32_is_close_to_float64(name: str):
    p, x = mixture(name, ""), places(0)[:-20]
    assert torch.allclose(p.score(x.float()).double(), p.score(x), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("sigma", [0.01, 0.5, 8.0])
def test_denoise_is_tweedies_formula(sigma: float):
    p, x = random_mixture(3, False), places(3)[:-20]
    tweedie = x + sigma**2 * p.noised(1.0, sigma).score(x)
    assert torch.allclose(p.denoise(x, sigma), tweedie, atol=1e-9)


def test_denoise_is_the_mean_of_the_clean_points_seen_with_that_noise():
    p, g = SETS["eight_gaussians"](), generator(0)
    clean = p.sample(400_000, g).double().cpu()
    noisy = clean + torch.randn(clean.shape, generator=g, dtype=F64)
    x = torch.tensor([[0.5, 0.2]], dtype=F64)
    near = (noisy - x).norm(dim=1) < 0.1
    error = clean[near].std(0) / near.sum().sqrt()
    assert ((clean[near].mean(0) - p.denoise(x, 1.0)[0]).abs() < 5 * error + 0.01).all()


def test_noised_is_the_law_of_the_noised_samples():
    p, g = SETS["moons"](), generator(1)
    x = 0.5 * p.sample(100_000, g).cpu() + 0.8 * torch.randn(100_000, 2, generator=g)
    y = p.noised(0.5, 0.8).sample(100_000, g).cpu()
    for q in (0.02, 0.25, 0.5, 0.75, 0.98):
        assert torch.allclose(x[:50_000].quantile(q, 0), y[:50_000].quantile(q, 0), atol=0.03)


@pytest.mark.parametrize("name", SETS)
def test_every_set_is_centred_scaled_and_in_the_picture(name: str):
    p, x = mixture(name, ""), mixture(name, "").sample(50_000, generator(0)).cpu()
    assert 1 <= len(p.std) <= 512
    pooled = (p.weights @ (p.centres.square().sum(1) / 2 + p.std**2)).sqrt()
    assert (p.weights @ p.centres).abs().max() < 1e-9 and abs(pooled - 1) < 1e-9
    assert x.dtype == torch.float32 and x.mean(0).abs().max() < 0.03 and abs(x.std() - 1) < 0.01
    assert (x.abs().amax(1) < 2.5).double().mean() > 0.999


@pytest.mark.parametrize("name", SETS)
def test_samples_come_from_the_density(name: str):
    """The mean log density of samples is the negative entropy, which a fine grid integrates."""
    p = mixture(name, "")
    axis = torch.linspace(-3.5, 3.5, 251, dtype=F64)
    level = torch.cat([p.log_density(row) for row in torch.cartesian_prod(axis, axis).split(2000)])
    mass = level.exp() * (axis[1] - axis[0]) ** 2
    seen = p.log_density(p.sample(50_000, generator(0)).cpu().double())
    assert abs(mass.sum() - 1) < 1e-3
    assert abs(seen.mean() - (mass * level).sum()) < 5 * seen.std() / math.sqrt(50_000) + 1e-3


def test_samples_are_decided_by_the_seed_alone():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    a, b = (SETS["spiral"]().sample(100, generator(5)) for _ in range(2))
    assert a.equal(b) and a.device.type == DEVICE.type and torch.random.get_rng_state().equal(before)
    assert not a.equal(SETS["spiral"]().sample(100, generator(6)))


def test_any_leading_shape_is_a_batch():
    p, x = SETS["circles"](), places(0, 60)
    assert p.score(x.view(3, 20, 2)).view(60, 2).allclose(p.score(x))
    assert p.log_density(x.view(3, 20, 2)).shape == (3, 20) and p.score(x[:0]).shape == (0, 2)


def test_a_mixture_that_is_none_is_refused():
    one = torch.ones(1, dtype=F64)
    for centres, weights, std, word in [
        (torch.zeros(0, 2), one[:0], one[:0], "shapes"),
        (torch.zeros(1, 3), one, one, "shapes"),
        (torch.zeros(1, 2), one / 2, one, "sum 0.5"),
        (torch.zeros(1, 2), one, 0 * one, "above 0"),
    ]:
        with pytest.raises(ValueError, match=word):
            Mixture(centres, weights, std)
    with pytest.raises(ValueError, match=r"'cat'.*moons"):
        mixture("cat", "")


# --- drawings ---------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(*[st.floats(-3, 3)] * 2), max_size=512))
@settings(max_examples=50, deadline=None)
def test_a_drawing_comes_back_from_its_code(drawing: list):
    shape = np.array(drawing).reshape(-1, 2)
    code = encode(shape)
    assert check_code(code) == code and len(code) == 4 * len(shape)
    assert np.abs(decode(code) - shape).max(initial=0) <= 3 / 4095 + 1e-12
    assert encode(decode(code)) == code


def test_a_drawing_stays_where_it_was_drawn():
    shape = np.stack([np.linspace(0.5, 2.5, 80), np.full(80, 1.0)], 1)
    x = drawn(encode(shape)).sample(2000, generator(0)).cpu()
    assert (x.mean(0) - torch.tensor([1.5, 1.0])).abs().max() < 0.05 and x[:, 1].std() < 0.1


@pytest.mark.parametrize("shape", [[[1.0, -2.0]], [[0.5, 0.5]] * 9, [[-3, -3], [3, 3]], [[1, 1]] * 511 + [[0, 0]]])
def test_few_and_identical_points_make_a_small_blob_each(shape: list):
    p = mixture("yours", encode(np.array(shape, float)))
    assert len(p.std) == len(np.unique(shape, axis=0)) and 0.04 <= float(p.std[0]) <= 0.15
    assert p.score(torch.zeros(3, 2)).isfinite().all()


def test_what_does_not_fit_into_a_code_is_thinned_or_moved_to_the_edge():
    assert np.abs(decode(encode(np.array([[9.0, -9.0]])))).tolist() == [[3.0, 3.0]]
    line = np.stack([np.linspace(-3, 3, 5000)] * 2, 1)
    kept = decode(encode(line))
    assert len(kept) == 512 and kept[0, 0] == -3 and kept[-1, 0] == 3


@pytest.mark.parametrize(
    "code, words", [("abc", "3 characters"), ("ab/d", "'/'"), ("é" * 4, "letters"), ("A" * 2052, "512")]
)
def test_a_broken_code_is_a_sentence(code: str, words: str):
    for read in (check_code, decode, drawn):
        with pytest.raises(ValueError, match=f"{words}.*expected|expected.*{words}"):
            read(code)


@given(st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_code_or_a_sentence(text: str):
    try:
        assert drawn(check_code(text)).std.isfinite().all()
    except ValueError as refused:
        assert "expected" in str(refused)


def test_an_empty_drawing_and_points_that_are_none_are_sentences():
    assert check_code("") == "" and encode(np.empty((0, 2))) == "" and encode(np.array([])) == ""
    with pytest.raises(ValueError, match="empty drawing"):
        mixture("yours", "")
    for broken in (np.zeros((3, 3)), np.array([[np.nan, 0]]), np.array([[np.inf, 0]])):
        with pytest.raises(ValueError, match="finite"):
            encode(broken)


# --- uploads ----------------------------------------------------------------------------------------------------


def test_standardise():
    x = standardise(np.random.default_rng(0).normal(5, 1e-3, (100, 2)))
    assert np.allclose(x.mean(0), 0) and np.isclose(x.std(), 1)
    for alike in (np.full((5, 2), 0.1), np.zeros((1, 2)), np.empty((0, 2))):
        assert (standardise(alike) == 0).all() and standardise(alike).shape == alike.shape
    huge = standardise(np.array([[1e308, -1e308], [-1e308, 1e308]]))
    assert np.allclose(huge, [[1, -1], [-1, 1]])


@pytest.mark.parametrize(
    "text",
    ["1.5,2\n3,-4\n", "x,y\n1.5,2\n3,-4", "1.5;2\n3;-4", "1,5;2\n3;-4", "1.5\t2\r\n3\t-4\r\n", "1.5 2\n 3  -4 \n",
     "\ufeffx , y\n1.5 , 2\n3, -4", '"x","y"\n"1.5","2"\n"3","-4"', "\n\n1.5,2\n\n3,-4\n\n", "1.5,2\r3,-4\r",
     "1.5e0,+2\n3.,-.4e1"],
)  # fmt: skip
def test_ways_to_write_two_columns(text: str):
    values, notes = read_csv(text.encode())
    assert values.tolist() == [[1.5, 2], [3, -4]]
    assert [n for n in notes if "names: x and y" in n] == notes


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "empty file"), (b" \n\n ", "empty file"), (b"x,y\n", "nothing below"), (b"x,y\n\n\n", "nothing below"),
        (b"\x89PNG\r\n\0\0", "not plain text"), ("x,y\n1,2".encode("utf-16"), "not plain text"),
        (b"time,x,y\n1,2,3\n", r"3 columns \(time, x, y\)"), (b"1\n2\n", r"1 column \(1\)"),
        (b"a,b,c,d,e,f,g,h\n", "8 columns .*…"), (b"1,2,\n3,4,\n", "no name"),
        (b"x,y\n1,2\n3,cat\n", "cat on line 3, column y"), (b"1,2\n\n\n3,nan\n", "nan on line 4, column 2"),
        (b"1,inf\n", "inf on line 1"), (b"1e999,1\n", "inf on line 1, column 1"),
        (b"x;y\n1;\n", "empty cell on line 2"),
        (b"1,2\n3\n", "empty cell on line 2"), (b"x,y\n\n1,2\n1,2,3\n", "3 cells on line 4"), (b"1,True\n", "True"),
        (b"1,2\n1," + b"9" * 2**21, "1,048,576 characters on line 2"), (b"x,y\n1,2,3\n", "3 cells on line 2"),
        (b"1,2\n\n1,2,3,4\n", "4 cells on line 3"), (b"1,2\n" + b"," * 9999, "10000 cells on line 2"),
        (b"\t1\t2\n", "3 columns"), (b"caf\xe9,y\n1,\xe9\n", "line 2, column y"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_a_sentence_that_says_where(data: bytes, words: str):
    with pytest.raises(ValueError, match=f"(?s)^Saw .*{words}.*, expected .*[.]$"):
        read_csv(data)


@given(st.text(alphabet="0123456789.,;-\te \n\r\"'#naif", max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_file_is_points_or_a_sentence(text: str):
    try:
        values, _ = read_csv(text.encode())
        assert values.ndim == 2 and values.shape[1] == 2 and np.isfinite(values).all()
    except ValueError as refused:
        assert str(refused).startswith("Saw ") and "expected" in str(refused)


def test_a_long_file_is_sampled_evenly_and_checked_to_its_end():
    rows = "".join(f"{i},{-i}\n" for i in range(BIG)).encode()
    values, notes = read_csv(rows)
    assert values.shape == (512, 2) and (np.diff(values[:, 0]) > 0).all() and "300,000 rows" in notes[0]
    assert abs(values[:, 0].mean() / BIG - 0.5) < 0.06 and values[-1, 0] > 0.98 * BIG
    assert (read_csv(rows)[0] == values).all()
    with pytest.raises(ValueError, match=f"end on line {BIG + 1}"):
        read_csv(rows + b"end,1\n")
    for line in range(1, BIG, 29_989):
        with pytest.raises(ValueError, match=f"3 cells on line {line}|3 columns"):
            read_csv(b"1,2\n" * (line - 1) + b"1,2,3\n" + b"1,2\n" * 9)


def test_a_file_too_large_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("engine.data.upload.LARGEST", 2**20)
    with pytest.raises(ValueError, match="2 MiB, expected at most 1 MiB"):
        read_csv(b"1,2\n" * 2**19)


def test_everything_public_is_named():
    assert all(hasattr(points, name) for name in points.__all__)
