"""Pictures that visitors bring: what is read is what was written, and what cannot be read gets a sentence."""

import io
import struct
import tracemalloc
import zipfile
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

from engine.data import grey, pictures
from engine.data.pictures import Kept, Pictures, read_pictures

RAMP = np.add.outer(np.arange(28), np.arange(28)).astype(np.uint8) * 4
NOISE = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)


def saved(array, kind="PNG", mode=None, **more):
    image = Image.fromarray(np.asarray(array))
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, kind, **more)
    return buffer.getvalue()


def zipped(files, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def blob(i):
    """A bright square on black, elsewhere for each i."""
    picture = np.zeros((28, 28), np.uint8)
    picture[4 + i % 12 : 12 + i % 12, 6:20] = 255
    return picture


def png(width, height):
    """The head of a PNG that says it is so large, and nothing after it."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 1000) + b"IDAT" + b"\0" * 50


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "L"), ("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "LA"), ("BMP", "L"),
                                            ("WEBP", "RGB"), ("TIFF", "CMYK"), ("JPEG", "CMYK"), ("GIF", "P"),
                                            ("PPM", "L"), ("TIFF", "F"), ("PNG", "I;16")])  # fmt: skip
def test_a_picture_of_any_kind_keeps_its_shades(kind, mode):
    data = saved(RAMP.astype(np.uint16) * 257) if mode == "I;16" else saved(RAMP, kind, mode)
    found, _ = read_pictures(data)
    assert found.images.shape == (1, 28, 28) and found.images.dtype == np.float32
    off = np.abs(found.images[0] - RAMP / 255).max() if mode != "F" else np.ptp(found.images[0] - RAMP / RAMP.max())
    assert off < (0.06 if kind in ("JPEG", "WEBP") else 0.01)


@pytest.mark.parametrize("shape", [(56, 28), (28, 56), (7, 14), (900, 300), (1, 40)])
def test_any_shape_is_fitted_with_its_proportions(shape):
    rim = 1 + min(shape) // 12
    bright = np.pad(np.full([max(1, n - 2 * rim) for n in shape], 200, np.uint8), rim)
    (image,) = read_pictures(saved(bright))[0].images
    if min(shape) > 8:
        rows, columns = ((image > 0.4).any(axis).sum() for axis in (1, 0))
        assert rows / columns == pytest.approx(shape[0] / shape[1], rel=0.35)
    assert image.shape == (28, 28)


def test_animated_transparent_turned_and_inverted_ones():
    frames = [Image.fromarray(blob(i)) for i in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    found, notes = read_pictures(buffer.getvalue())
    assert np.abs(found.images[0] - blob(0) / 255).max() < 0.02 and "animated" in notes[0]
    ink = np.zeros((28, 28, 4), np.uint8)
    ink[8:20, 8:20, 3] = 255  # black ink on nothing
    found, notes = read_pictures(saved(ink))
    assert found.images[0, 14, 14] > 0.99 and found.images[0, 0, 0] < 0.01 and "dark counts as ink" in notes[0]


def test_a_zip_of_folders_has_classes():
    files = {f"set/{k}/{i}.png": saved(blob(i + k)) for k in (10, 2) for i in range(3)}
    found, notes = read_pictures(zipped(files))
    assert found.names == ("2", "10") and found.labels.tolist() == [1, 1, 1, 0, 0, 0] and not notes
    np.testing.assert_allclose(found.images[0], blob(10) / 255, atol=1e-6)


def test_what_is_no_picture_is_left_out_and_told():
    files = {"a.png": saved(blob(1)), "b.jpg": b"not one", "notes.txt": b"hello", "../up.png": saved(blob(2)),
             "/root.png": saved(blob(3)), "C:\\x.png": saved(blob(3)), "__MACOSX/._a.png": b"x",
             "in.zip": zipped({"a.png": saved(blob(4))}), "cut.png": saved(NOISE)[:-100]}  # fmt: skip
    found, notes = read_pictures(zipped(files))
    assert len(found.images) == 1 and notes == ["7 of 8 files are no pictures that can be read, and were left out."]


@pytest.mark.parametrize(("data", "seen"), [
    (b"", "an empty file"),
    (b"\x89PNG broken", "expected a PNG"),
    (b"\x00\x01\x02" * 50, "150 bytes of something else"),
    (png(30000, 30000), "megapixels"),
    (png(5000, 5000), "5000×5000"),
    (saved(NOISE)[:-100], "damaged PNG"),
    (b"PK\x03\x04 and then nothing", "damaged zip"),
    (zipped({}), "a zip of 0 files"),
    (zipped({"a.txt": b"x", "b.doc": b"y"}), "a zip of 2 files, the first “a.txt”"),
    (b"1,2,3\n", "3 cells on the first row"),
    (b",".join([b"p"] * 64), "a line of names and nothing"),
    (b"\n\n", "an empty file"),
    (b",".join([b"1"] * 16) + b"\n1,2", "2 cells on line 2"),
    (b",".join([b"1"] * 16) + b"\n" + b",".join([b"1"] * 15 + [b"x"]), "“x” on line 2"),
    (b",".join([b"1"] * 15 + [b"-1"]), "below 0"),
    (b",".join([b"1"] * 15 + [b"nan"]), "none at all"),
    (b"1," * 100_000, "characters on line 1"),
])  # fmt: skip
def test_what_cannot_be_read_gets_a_sentence(data, seen):
    with pytest.raises(ValueError, match="Saw") as refused:
        read_pictures(data)
    assert seen in str(refused.value) and "expected" in str(refused.value)


def test_one_or_equal_pictures_are_too_few_to_learn_from():
    assert len(read_pictures(saved(RAMP))[0].images) == 1
    with pytest.raises(ValueError, match="Saw one picture, expected at least 20"):
        read_pictures(saved(RAMP), least=20)
    with pytest.raises(ValueError, match="all alike"):
        read_pictures(zipped({f"{i}.png": saved(blob(0)) for i in range(25)}), least=20)


def test_bombs_stay_small(monkeypatch):
    monkeypatch.setattr(pictures, "UNPACKED", 100 << 20)
    nothing = b"\0" * (25 << 20)  # 25 MiB of nothing in 25 KiB
    data = zipped({"0.png": nothing, "1.png": nothing, "good.png": saved(blob(1))})
    many = zipped({f"{i}.png": nothing[: 19 << 20] for i in range(8)})
    tracemalloc.start()
    found, notes = read_pictures(data)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20 and len(found.images) == 1 and "2 of 3" in notes[0]
    with pytest.raises(ValueError, match="unpacks to more than 100 MiB"):
        read_pictures(many)
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


def test_too_many_and_too_large(monkeypatch):
    monkeypatch.setattr(pictures, "FILES", 50)
    with pytest.raises(ValueError, match="about 60 files, expected at most 50"):
        read_pictures(zipped({f"{i}.png": b"" for i in range(60)}))
    monkeypatch.setattr(pictures, "LARGEST", 1 << 20)
    with pytest.raises(ValueError, match="a file of 2 MiB, expected at most 1 MiB"):
        read_pictures(b"1" * (2 << 20))


def test_a_hundred_thousand_pictures_become_a_sample():
    one = [saved(blob(i)) for i in range(12)]
    data = zipped({f"{i}.png": one[i % 12] for i in range(100_000)}, zipfile.ZIP_STORED)
    found, notes = read_pictures(data, side=8)
    assert len(found.images) == pictures.MOST and "Of 100,000 pictures, 6,000" in notes[0]
    share = np.bincount((found.images.mean(2) > 0.2).argmax(1), minlength=4) / pictures.MOST
    assert share.max() < 0.5  # from everywhere in the archive


def test_a_csv_is_what_scikit_learn_reads():
    digits: Any = load_digits()
    table = np.column_stack([digits.data, digits.target]).astype(int)
    names = [f"pixel_{i}" for i in range(64)] + ["class"]
    text = "\n".join([",".join(names), *(",".join(map(str, row)) for row in table)])
    found, notes = read_pictures(text.encode(), side=8)
    np.testing.assert_allclose(found.images, digits.images / 16, atol=1e-6)
    assert (found.labels == digits.target).all() and found.names == tuple("0123456789") and "last column" in notes[0]
    swapped = "\n".join("; ".join(map(str, [row[-1], *row[:-1]])) for row in table[:50])
    first, notes = read_pictures(swapped.encode(), side=8)
    np.testing.assert_allclose(first.images, found.images[:50])
    assert "first column" in notes[0]


def test_a_long_csv_becomes_a_sample(monkeypatch):
    monkeypatch.setattr(pictures, "MOST", 500)
    rows = "\n".join(",".join([str(i % 256)] * 16) for i in range(20_000))
    found, notes = read_pictures(rows.encode(), side=4)
    assert len(found.images) == pictures.MOST and "Of 20,000 rows" in notes[0]
    assert float(found.images.mean()) == pytest.approx(0.5, abs=0.04)


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=300), st.sampled_from([b"", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8", b"1,2"])
)
def test_nothing_but_a_sentence_comes_of_noise(noise, start):
    try:
        found, _ = read_pictures(start + noise)
    except ValueError as refused:
        assert "aw" in str(refused) and "expected" in str(refused)
    else:
        assert found.images.shape[1:] == (28, 28) and np.isfinite(found.images).all()


def test_pictures_are_kept_by_a_code_and_the_oldest_go():
    shelf = Kept(budget=3 * 28 * 28 * 4)
    sets = [Pictures(np.full((1, 28, 28), i / 9, np.float32), np.zeros(1, np.int64), ("",)) for i in range(5)]
    codes = [shelf.keep(one) for one in sets]
    assert shelf.keep(sets[4]) == codes[4] == shelf.check(codes[4]) and shelf.check("") == ""
    assert shelf[codes[4]].images[0, 0, 0] == sets[4].images[0, 0, 0]
    with pytest.raises(ValueError, match="bring them again"):
        shelf.check(codes[0])


def test_the_edge_decides_what_is_paper():
    assert grey.edge(np.pad(np.ones((2, 2)), 1)) == 0 and grey.edge(np.pad(np.zeros((2, 2)), 1, constant_values=1)) == 1
