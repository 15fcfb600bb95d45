"""Diffusion on the code of an autoencoder: digits made to order, and one picture drowned and brought back."""

import io
import struct
import zlib
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw
from sklearn.svm import SVC
from torch.nn.functional import pdist

from engine.data import digits as real
from engine.data import drawing, glyphs
from engine.device import DEVICE, generator
from engine.diffusion_denoising import digits, image
from engine.diffusion_denoising.autoencoder import CODE, Autoencoder, Descent, pictures, standardised
from engine.diffusion_denoising.samplers import heun, last
from engine.diffusion_denoising.schedules import add_noise
from engine.knob import extremes, knobs, parse, spell
from engine.tape import record

SHORT = digits.Learning("digits", 60, 60)
DATA = ("glyphs", "digits")


def same(one, other) -> bool:
    """Whether two frames agree: bit for bit on the CPU, to 1e-3 elsewhere."""
    if DEVICE.type == "cpu":
        return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))
    return all(np.allclose(a, b, 1e-3, 1e-3, equal_nan=True) for a, b in zip(one, other, strict=True))


@cache
def judge(data: str) -> SVC:
    """A classifier that the engine does not know, trained on real pictures of that kind; it must be a good one."""
    known = glyphs.sample(4000, generator(91))[:2] if data == "glyphs" else real.load()
    images, labels = known[0].flatten(1).cpu().numpy(), known[1].cpu().numpy()
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[: len(order) * 4 // 5], order[len(order) * 4 // 5 :]
    classifier = SVC(C=10).fit(images[train], labels[train])
    assert classifier.score(images[test], labels[test]) > 0.98
    return classifier


@cache
def made(data: str, guidance_scale: float, each: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Samples at the default settings: (10 each, pixels) and the numerals asked for."""
    known = digits.trained(digits.Learning(data))
    labels = torch.arange(10, device=DEVICE).repeat_interleave(each)
    start = torch.randn(len(labels), CODE, generator=generator(3)).to(DEVICE)
    codes = last(heun(known.denoiser(labels, guidance_scale), digits.NOISY, 12, start)).x
    return known.codec.decode(codes).flatten(1).cpu().numpy(), labels.cpu().numpy()


def variety(images: np.ndarray, labels: np.ndarray) -> float:
    """Mean distance between two pictures of the same numeral."""
    flat = torch.as_tensor(images).flatten(1)
    return float(np.mean([pdist(flat[torch.as_tensor(labels == k)][:50]).mean() for k in range(10)]))


@pytest.mark.parametrize("data", DATA)
def test_samples_are_recognised_and_as_varied_as_the_real(data):
    images, labels = made(data, 2.0)
    assert judge(data).score(images, labels) >= 0.97
    ours, theirs = variety(images, labels), variety(*(part.cpu().numpy() for part in pictures(data)[:2]))
    assert 0.8 < ours / theirs < 1.1


@pytest.mark.parametrize("data", DATA)
def test_samples_are_near_the_real_but_none_of_them(data):
    train = pictures(data).train.flatten(1).cpu()
    apart = torch.cdist(torch.from_numpy(made(data, 1.0)[0]), train).amin(1)
    held = torch.cdist(pictures(data).test.flatten(1).cpu(), train).amin(1)
    assert 0.75 < float(apart.mean() / held.mean()) < 1.15
    assert float(apart.min()) > 0.2 * float(held.min())


@pytest.mark.parametrize("data", DATA)
def test_guidance_makes_the_numeral_clearer(data):
    margins = []
    for scale in (0.0, 1.0, 3.0):
        images, labels = made(data, scale)
        votes = judge(data).decision_function(images)
        own = votes[np.arange(len(labels)), labels]
        votes[np.arange(len(labels)), labels] = -np.inf
        margins.append(float((own - votes.max(1)).mean()))
    assert margins[0] < margins[1] < margins[2]
    assert judge(data).score(*made(data, 0.0)) < 0.2  # without guidance nobody asked for anything


@pytest.mark.parametrize("data", DATA)
def test_the_run_shows_learning_and_then_sampling(data):
    frames = record(digits.run, digits.Config(data)).wind().frames
    side = pictures(data).test.shape[-1]
    assert [frame.phase for frame in frames] == sorted(frame.phase for frame in frames)
    assert all(frame.images.shape == (60, side, side) and frame.images.dtype == np.float32 for frame in frames)
    assert all(frame.images.min() >= 0 and frame.images.max() <= 1 for frame in frames)
    progress = [frame.progress for frame in frames]
    assert progress == sorted(progress) and progress[0] == 0 and progress[-1] == 1
    assert frames[0].legibility <= 0.25 and frames[-1].legibility >= 0.9
    assert frames[-1].sigma == 0 and frames[-1].calls == 23 and len(frames) < 400
    assert [len(frame.weights) > 0 for frame in frames].count(True) == 1
    assert sum(frame.images.nbytes for frame in frames) < 80 * 2**20


def test_another_guidance_does_not_train_again():
    one = record(digits.run, digits.Config("digits", guidance_scale=1.0)).wind().frames
    other = record(digits.run, digits.Config("digits", guidance_scale=5.0)).wind().frames
    learned = record(digits.learn, digits.Learning("digits")).frames
    assert all(a is b is c for a, b, c in zip(one, other, learned, strict=False))
    assert len(one) == len(learned) + 13
    assert not np.array_equal(one[-1].images, other[-1].images)
    assert same(other[-1], list(digits.sample(digits.Config("digits", guidance_scale=5.0)))[-1])


def test_the_settings_of_the_training_are_one_part_of_the_settings():
    cfg = image.Config("digits", 70, 80, 9, guidance_scale=4.0, timestep=3)
    assert cfg.learning == digits.Learning("digits", 70, 80, 9)
    assert type(cfg.learning) is digits.Learning


def test_short_training_lowers_both_losses():
    frames = list(digits.learn(SHORT))
    for phase in (0, 1):
        losses = [frame.loss_ema for frame in frames if frame.phase == phase]
        assert np.isnan(losses[0]) and np.isfinite(losses[1:]).all()
        assert losses[-1] < 0.95 * losses[1]
    assert [frame.step for frame in frames][-1] == 60


def test_the_same_seed_gives_the_same_frames_however_runs_interleave():
    before = torch.get_rng_state()
    alone = list(digits.learn(SHORT))
    pair = zip(digits.learn(SHORT), digits.learn(digits.Learning("digits", 60, 60, 1)), strict=True)
    mixed = [one for one, _ in pair]
    assert all(same(a, b) for a, b in zip(alone, mixed, strict=True))
    assert torch.equal(before, torch.get_rng_state())
    other = list(digits.learn(digits.Learning("digits", 60, 60, 1)))
    assert not np.array_equal(alone[-1].images, other[-1].images)


@pytest.mark.parametrize("sampler", ["heun", "ddim", "ddpm"])
def test_every_sampler_repeats_itself_and_is_legible(sampler):
    cfg = digits.Config("digits", sampler=sampler, num_inference_steps=30, noise=4)
    one, two = list(digits.sample(cfg)), list(digits.sample(cfg))
    assert len(one) == 31 and all(same(a, b) for a, b in zip(one, two, strict=True))
    assert one[-1].legibility > 0.9
    sigmas = [frame.sigma for frame in one]
    assert sigmas == sorted(sigmas, reverse=True)


def test_weights_survive_packing_and_a_wrong_length_is_refused():
    vector = record(digits.learn, SHORT).wind().frames[-1].weights
    assert np.array_equal(digits.unpack("digits", vector).pack(), vector)
    with pytest.raises(ValueError, match=r"had shape \(3,\); expected"):
        digits.unpack("digits", vector[:3])


def test_guidance_is_the_line_through_told_and_untold():
    known = digits.trained(SHORT)
    x, labels = torch.randn(4, CODE, generator=generator(0)).to(DEVICE), torch.tensor([1, 2, 3, 4], device=DEVICE)
    told, none, much = (known.denoiser(labels, scale)(x, 0.7) for scale in (1.0, 0.0, 3.0))
    torch.testing.assert_close(much, none + 3 * (told - none))
    unknown = known.denoiser(torch.full_like(labels, digits.UNKNOWN), 1.0)(x, 0.7)
    torch.testing.assert_close(none, unknown)


def test_codes_are_standardised_and_decode_to_the_picture():
    net, train = Autoencoder(8), pictures("digits").train
    codec, codes = standardised(net, net.init(generator(0)).to(DEVICE), train)
    torch.testing.assert_close(codes, codec.encode(train))
    torch.testing.assert_close(codes.mean(0), torch.zeros(CODE, device=DEVICE), atol=1e-4, rtol=0)
    torch.testing.assert_close(codes.std(0), torch.ones(CODE, device=DEVICE), atol=1e-4, rtol=0)
    learned = digits.trained(digits.Learning("digits")).codec
    test = pictures("digits").test
    assert float((learned.decode(learned.encode(test)) - test).square().mean()) < 0.25 * float(test.var(0).mean())


def test_descent_averages_its_weights():
    descent = Descent(torch.tensor([4.0]), 900, 0.1)
    for _ in range(900):
        descent(lambda w: (w - 1).square().sum())
    assert abs(float(descent.average) - 1) < 1e-2 and descent.loss_ema < 0.1


@pytest.mark.parametrize("data", DATA)
def test_held_out_pictures_come_in_order(data):
    test, train = pictures(data).test, pictures(data).train
    assert test.shape[0] == 100 and digits.examples(data).shape[0] == 10 and digits.held_out(data).shape[0] == 60
    assert (judge(data).predict(test.flatten(1).cpu().numpy()) == np.arange(100) % 10).mean() > 0.97
    assert float(torch.cdist(test.flatten(1), train.flatten(1)).min()) > 0
    read = digits.nearest_label(data, torch.from_numpy(digits.held_out(data)).to(DEVICE))
    assert float((read == digits.asked()).double().mean()) > 0.9


# One picture


@pytest.mark.parametrize("data", DATA)
def test_one_picture_goes_into_the_noise_and_back(data):
    cfg = image.Config(data, index=27, timestep=550)
    frames = list(image.walk(cfg))
    side, into, back = pictures(data).test.shape[-1], *([f for f in frames if f.phase == p] for p in (1, 2))
    assert len(into) == image.FORWARD + 1 and len(back) == cfg.num_inference_steps + 1
    for frame in frames:
        assert frame.image.shape == frame.denoised.shape == frame.pixels.shape == frame.truth.shape == (side, side)
        assert all(np.isfinite(part).all() for part in frame)
        assert min(frame.image.min(), frame.pixels.min()) >= 0 and max(frame.image.max(), frame.pixels.max()) <= 1
    assert [f.sigma for f in into] == sorted(f.sigma for f in into)
    assert [f.sigma for f in back] == sorted((f.sigma for f in back), reverse=True)
    assert into[0].t == back[-1].t == -1 and into[-1].t == back[0].t == 550
    assert np.allclose(into[-1].code, back[0].code) and back[-1].reads == 7
    assert np.allclose(into[0].pixels, into[0].truth, atol=1e-6)
    assert all(same(a, b) for a, b in zip(frames, image.walk(cfg), strict=True))


def test_pixels_are_noised_as_the_formula_says():
    x0, noise = torch.full((2, 2), 0.75), torch.tensor([[0.0, 1.0], [-1.0, 9.0]])
    seen = image.noisy_pixels(x0, noise, 0.64)
    assert torch.allclose(seen, torch.tensor([[0.7, 1.0], [0.4, 1.0]]))
    assert torch.allclose(add_noise(x0, noise, 0.64)[0], torch.tensor([0.6, 1.2]))


@pytest.mark.parametrize("t", [0, 1, 500, 999])
def test_the_schedule_is_cut_not_changed(t):
    assert torch.equal(image.up_to(t).alpha_bar, digits.NOISY.alpha_bar[: t + 1])


@pytest.mark.parametrize("label", range(10))
def test_from_deep_noise_any_numeral_can_be_brought_back(label):
    *_, end = image.walk(image.Config("digits", timestep=999, label=str(label), index=3))
    assert end.reads == label


def test_little_noise_leaves_the_picture_alone():
    for index in range(10):
        *_, end = image.walk(image.Config("digits", timestep=200, index=index))
        assert end.reads == index
        codec = digits.trained(digits.Learning("digits")).codec
        plain = codec.decode(codec.encode(torch.from_numpy(end.truth)[None].to(DEVICE)))[0].cpu().numpy()
        assert np.abs(end.image - plain).mean() < 0.05


@pytest.mark.parametrize("cfg", [*extremes(image.Config)], ids=lambda cfg: "-".join(spell(cfg).values()) or "default")
def test_every_end_of_every_knob_is_legal(cfg):
    assert parse(image.Config, spell(cfg)) == (cfg, [])
    if cfg.learning == digits.Learning():
        assert len(list(image.walk(cfg))) >= 3


def test_while_it_learns_the_picture_rests():
    code = drawing.encode_picture(pictures("glyphs").test[5].cpu().numpy())
    cfg = image.Config("digits", 60, 60, picture=code)
    frames = list(image.run(cfg))
    learning = [frame for frame in frames if frame.phase == 0]
    assert len(learning) == len(list(digits.progress(cfg.learning))) and learning[-1].progress == 1
    assert len({frame.truth.tobytes() for frame in frames}) == 1
    truth = torch.from_numpy(frames[0].truth).to(DEVICE)
    assert truth.shape == (8, 8) and digits.nearest_label("digits", truth[None]) == 5


@pytest.mark.parametrize("config", [digits.Config, image.Config, digits.Learning])
def test_no_more_than_six_knobs_are_in_view(config):
    shown = [k for _, k in knobs(config) if not k.folded and k.text is None]
    assert len(shown) <= 6


# Drawings and uploads


@settings(max_examples=25, deadline=None)
@given(arrays(np.float64, (28, 28), elements=st.floats(0, 1)))
def test_a_drawing_survives_its_link(picture):
    code = drawing.encode_picture(picture)
    if not code:
        assert picture.max() <= 0.5 / 15
        return
    assert len(code) == 523 and drawing.check_picture(code) == code
    assert np.abs(drawing.decode_picture(code) - picture).max() <= 0.5 / 15 + 1e-6


def test_a_blank_drawing_is_no_drawing():
    assert (
        drawing.encode_picture(np.zeros((28, 28)))
        == drawing.check_picture("")
        == drawing.check_picture("A" * 523)
        == ""
    )


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("abc", "saw 3 letters; expected the 523"),
        ("!" * 523, "saw the letter '!'; expected only"),
        ("é" * 523, "saw the letter 'é'"),
        ("A" * 100_000, "saw 100000 letters"),
    ],
)
def test_a_broken_link_gets_a_sentence(code, sentence):
    with pytest.raises(ValueError, match=sentence):
        drawing.check_picture(code)
    cfg, notes = parse(image.Config, {"picture": code})
    assert cfg == image.Config() and len(notes) == 1


@pytest.mark.parametrize("wrong", [np.zeros((8, 8)), np.full((28, 28), np.nan)])
def test_what_is_no_drawing_is_not_encoded(wrong):
    with pytest.raises(ValueError, match="expected"):
        drawing.encode_picture(wrong)


def seven(mode: str = "L", ink: int = 0, paper: int = 255, size: int = 200) -> Image.Image:
    """A seven drawn with a broad pen, off the middle."""
    picture = Image.new("L", (size * 3 // 2, size), paper)
    points = [(size // 2, size // 5), (size * 9 // 10, size // 5), (size * 6 // 10, size * 4 // 5)]
    ImageDraw.Draw(picture).line(points, fill=ink, width=size // 12)
    return picture.convert(mode)


def file_of(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    """The bytes of a file that shows the picture."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def uploads() -> dict[str, bytes]:
    """The same seven in many kinds of file."""
    clear = Image.new("RGBA", seven().size, (0, 0, 0, 0))
    clear.putalpha(seven(ink=255, paper=0))
    light = Image.new("RGBA", seven().size, (255, 255, 255, 0))
    light.putalpha(seven(ink=255, paper=0))
    deep = Image.fromarray(np.asarray(seven(), np.uint16) * 200 + 1000)
    other = Image.new("L", seven().size, 255)
    return {
        "grey": file_of(seven()),
        "white on black": file_of(seven(ink=255, paper=0)),
        "faint": file_of(seven(ink=150, paper=180)),
        "black on clear": file_of(clear),
        "white on clear": file_of(light),
        "grey and alpha": file_of(clear.convert("LA")),
        "palette": file_of(seven("P")),
        "one bit": file_of(seven("1")),
        "sixteen bits": file_of(deep),
        "CMYK": file_of(seven("CMYK"), "JPEG", quality=95),
        "animated": file_of(seven("P"), "GIF", save_all=True, append_images=[other.convert("P")] * 3),
        "webp": file_of(seven("RGB"), "WEBP", lossless=True),
        "large": file_of(seven(size=2000)),
        "on its side": file_of(seven().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=sideways()),
    }


def sideways() -> Image.Exif:
    """The note of a camera that was held on its side."""
    note = Image.Exif()
    note[0x0112] = 6
    return note


@pytest.mark.parametrize("kind", uploads())
def test_the_same_picture_is_read_from_every_kind_of_file(kind):
    plain, read = image.read_picture(uploads()["grey"]), image.read_picture(uploads()[kind])
    assert read.shape == (28, 28) and read.dtype == np.float32 and read.min() >= 0 and read.max() <= 1
    assert np.abs(read - plain).mean() < 0.02
    assert digits.nearest_label("glyphs", torch.from_numpy(read)[None].to(DEVICE)) == 7
    rows, columns = np.flatnonzero((read > 0.3).any(1)), np.flatnonzero((read > 0.3).any(0))
    assert abs(rows.mean() - 13.5) <= 1 and abs(columns.mean() - 13.5) <= 1
    assert max(len(rows), len(columns)) in (19, 20)


def vast(width: int, height: int) -> bytes:
    """A short PNG file that claims to be vast."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(99)))]
    packed = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "expected a PNG or JPEG picture, saw an empty file"),
        (b"x,y\n1,2\n" * 9, "expected a PNG or JPEG picture, saw"),
        (b"hello there, this is only some text", "saw a file that begins with “hello there"),
        (b"%PDF-1.7 and so on and so forth", "begins with “%PDF"),
        (bytes(range(256)), "saw 256 bytes of something else"),
        (b"\x89PNG\r\n\x1a\n", "expected a PNG or JPEG picture"),
        (file_of(seven())[:300], "saw a damaged PNG"),
        (file_of(seven(), "JPEG")[:500], "saw a damaged JPEG"),
        (vast(5000, 4001), "at most 20 megapixels, saw 5000 by 4001 pixels"),
        (vast(30_000, 30_000), "at most 20 megapixels, saw far more"),
        (vast(10_000, 9_999), "at most 20 megapixels, saw"),
        (file_of(Image.new("RGB", (50, 50), (9, 9, 9))), "a single shade"),
        (file_of(Image.new("RGBA", (50, 50), (0, 0, 0, 0))), "a single shade"),
        (file_of(Image.new("L", (1, 1))), "a single shade"),
    ],
)
def test_what_is_no_picture_gets_a_sentence(data, sentence):
    with pytest.raises(ValueError, match=sentence):
        image.read_picture(data)


@pytest.mark.parametrize("side", [8, 28])
def test_a_dot_and_a_long_line_fit(side):
    dot, line = np.zeros((28, 28)), np.zeros((400, 3))
    dot[4, 20], line[:, 1] = 1, 1
    for ink in (dot, line):
        picture = drawing.centred(ink, side)
        assert picture.shape == (side, side) and picture.max() == pytest.approx(1)
        assert 0 < (picture > 0.5).sum() <= (9 if side == 28 else 16) + 20
    assert not drawing.centred(np.zeros((28, 28)), side).any()
