"""Every kind of picture becomes upright sRGB uint8; what is no whole picture is refused in one line."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from facecli.errors import InputError, OutputError
from facecli.io.images import image_size, read_image, write_image

SHARED = Path(__file__).parents[3] / "shared" / "data" / "media"


def noise(*shape: int, dtype=np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def smooth(height: int, width: int) -> np.ndarray:
    """RGB uint8 [H, W, 3] that JPEG keeps nearly."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x / width, 255 * y / height, 128 + 0 * x], -1).astype(np.uint8)


def float_tiff(bgr: np.ndarray) -> bytes:
    """Float32 [H, W, 3] as an uncompressed TIFF, a kind that pillow doesn't know."""
    return cv2.imencode(".tif", bgr, [cv2.IMWRITE_TIFF_COMPRESSION, 1])[1].tobytes()


def refusal(path: Path, **options) -> str:
    with pytest.raises(InputError) as caught:
        read_image(path, **options)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and "\n" not in text
    return text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([0, 3, 4]),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    suffix=st.sampled_from([".png", ".tif"]),
    seed=st.integers(0, 9),
)
def test_lossless_round_trip(tmp_path, height, width, channels, dtype, suffix, seed):
    pixels = noise(height, width, *([channels] if channels else []), dtype=dtype, seed=seed)
    path = tmp_path / f"picture{suffix}"
    write_image(path, pixels)
    eight = pixels if dtype is np.uint8 else (pixels >> 8).astype(np.uint8)
    if channels == 0:
        expected = np.repeat(eight[..., None], 3, -1)
    elif channels == 3:
        expected = eight
    else:
        alpha = eight[..., 3:] / 255.0
        expected = np.rint(eight[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    got = read_image(path)
    assert got.dtype == np.uint8 and got.flags.c_contiguous and got.flags.writeable
    np.testing.assert_array_equal(got, expected)
    assert image_size(path) == (width, height)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "I", "I;16", "F", "YCbCr", "LAB"])
def test_every_mode_of_pillow(tmp_path, mode):
    """A mid-grey picture is mid-grey in every mode that TIFF holds."""
    values = {"1": 255, "LA": (120, 255), "RGBA": (120, 120, 120, 255), "CMYK": (0, 0, 0, 135), "I;16": 120 << 8,
              "I": 120 << 8, "F": 120 / 255, "YCbCr": (120, 128, 128), "LAB": (128, 128, 128)}  # fmt: skip
    image = Image.new(mode, (6, 4), values.get(mode, 120 if mode in "LP" else (120, 120, 120)))
    if mode == "P":
        image.putpalette(bytes(v for i in range(256) for v in (i, i, i)))
    if mode == "I":  # 16-bit values need one that names their range
        image.putpixel((0, 0), 65535)
    path = tmp_path / "picture.tif"
    image.save(path)
    pixel = read_image(path)[-1, -1].astype(int)
    assert np.all(np.abs(pixel - (255 if mode == "1" else 120)) <= 2), pixel


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(3, 0)
    for name in ("grey.png", "grey.tif"):
        write_image(tmp_path / name, ramp)
        np.testing.assert_array_equal(read_image(tmp_path / name)[0, :, 0], np.arange(256))


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0, 1000.0 * 100])
def test_float_tiffs_of_any_range(tmp_path, top):
    values = (np.linspace(0, top, 20, dtype=np.float32)[None].repeat(4, 0)).copy()
    values[0, 0] = np.nan
    grey, colour = tmp_path / "grey.tif", tmp_path / "colour.tif"
    Image.fromarray(values).save(grey)
    colour.write_bytes(float_tiff(np.stack([values, values * 0, values], -1)))
    expected = np.rint(np.linspace(0, 255, 20))
    assert np.abs(read_image(grey)[1, :, 0] - expected).max() <= 1
    got = read_image(colour)
    assert np.abs(got[1, :, 0] - expected).max() <= 1 and got[..., 1].max() == 0


def test_float_colour_tiff_keeps_the_order_of_channels(tmp_path):
    bgr = np.zeros((4, 5, 3), np.float32)
    bgr[..., 2] = 1.0
    path = tmp_path / "red.tif"
    path.write_bytes(float_tiff(bgr))
    assert read_image(path)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_exif_orientation(tmp_path, orientation, suffix):
    """The picture as it should be seen, stored the way a camera held so would have stored it, comes back upright."""
    upright = np.zeros((48, 80, 3), np.uint8)
    upright[:24, :40], upright[:24, 40:], upright[24:, :40] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1), 7: upright.transpose(1, 0, 2)[::-1, ::-1], 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned{suffix}"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, **({"quality": 95} if suffix != ".png" else {}))
    got = read_image(path)
    assert got.shape == upright.shape
    assert image_size(path) == (80, 48)
    for y, x in ((12, 20), (12, 60), (36, 20), (36, 60)):
        assert np.abs(got[y, x].astype(int) - upright[y, x]).max() < 30


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_broken_exif_block_is_no_hindrance(tmp_path):
    path = tmp_path / "exif.jpg"
    Image.fromarray(smooth(32, 32)).save(path, exif=b"Exif\0\0II*\0\xff\xff\xff\xff\xff\xff\xff\xff")
    assert read_image(path).shape == (32, 32, 3)


def test_transparent_pixels_lie_on_white(tmp_path):
    rgba = np.zeros((3, 3, 4), np.uint8)
    rgba[1, 1] = (200, 10, 10, 255)
    rgba[2, 2] = (0, 0, 0, 128)
    write_image(tmp_path / "cut.png", rgba)
    got = read_image(tmp_path / "cut.png")
    assert got[0, 0].tolist() == [255] * 3
    assert got[1, 1].tolist() == [200, 10, 10]
    assert got[2, 2].tolist() == [127] * 3


def test_palette_and_rgb_transparency(tmp_path):
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([10, 20, 30, 200, 100, 50] + [0] * 762)
    palette.putpixel((1, 1), 1)
    palette.save(tmp_path / "palette.png", transparency=0)
    got = read_image(tmp_path / "palette.png")
    assert got[0, 0].tolist() == [255] * 3 and got[1, 1].tolist() == [200, 100, 50]
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "rgb.png", transparency=(1, 2, 3))
    assert read_image(tmp_path / "rgb.png")[0, 0].tolist() == [255] * 3


def test_cmyk_jpeg_of_photoshop_is_not_negative(tmp_path):
    """Adobe stores CMYK inverted and says so in a marker; pillow writes it that way too."""
    path = tmp_path / "cmyk.jpg"
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(path, quality=95)
    assert b"Adobe" in path.read_bytes()[:200]
    red, green, blue = read_image(path)[8, 8].astype(int)
    assert red > 200 and green < 60 and blue < 60


def test_embedded_profile_is_converted(tmp_path):
    """A profile whose gamma is 1 (linear light): 128 there is 188 in sRGB. An sRGB profile changes nothing."""
    linear = _matrix_profile(gamma=1.0)
    image = Image.new("RGB", (8, 8), (128, 128, 128))
    image.save(tmp_path / "linear.png", icc_profile=linear)
    assert np.abs(read_image(tmp_path / "linear.png").astype(int) - 188).max() <= 2
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(tmp_path / "srgb.png", icc_profile=srgb)
    assert (read_image(tmp_path / "srgb.png") == 128).all()
    image.save(tmp_path / "broken.png", icc_profile=b"no profile at all")
    assert (read_image(tmp_path / "broken.png") == 128).all()


def _matrix_profile(gamma: float) -> bytes:
    """A minimal ICC v2 display profile: sRGB's primaries, adapted to D50, and one gamma."""

    def xyz(*values):
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"linear light\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 79
    tags = {
        b"desc": description + b"\0" * (-len(description) % 4), b"wtpt": xyz(0.9642, 1, 0.8249),
        b"rXYZ": xyz(0.4361, 0.2225, 0.0139), b"gXYZ": xyz(0.3851, 0.7169, 0.0971),
        b"bXYZ": xyz(0.1431, 0.0606, 0.7141), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve,
    }  # fmt: skip
    table, body, offset = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    header = struct.pack(">I4sI4s4s4s", offset + len(body), b"\0" * 4, 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    header += b"\0" * 12 + b"acsp" + b"\0" * 28 + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + table + body


def test_names_outside_ascii(tmp_path):
    path = tmp_path / "Ünï çødé 顔 🙂.png"
    write_image(path, noise(5, 6, 3))
    np.testing.assert_array_equal(read_image(path), noise(5, 6, 3))


def test_first_page_and_first_view(tmp_path):
    """Multi-page TIFFs and the several views of a phone's MPO are pictures, not animations."""
    first, second = Image.fromarray(smooth(20, 30)), Image.fromarray(smooth(10, 10))
    first.save(tmp_path / "pages.tif", save_all=True, append_images=[second])
    first.save(tmp_path / "views.mpo", save_all=True, append_images=[second])
    assert read_image(tmp_path / "pages.tif").shape == (20, 30, 3)
    assert read_image(tmp_path / "views.mpo").shape == (20, 30, 3)


@pytest.mark.parametrize("name", ["moving.gif", "moving.webp", "moving.png"])
def test_animations_are_refused_with_the_mend(tmp_path, name):
    frames = [Image.fromarray(noise(12, 12, 3, seed=i)) for i in range(3)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=40)
    text = refusal(tmp_path / name)
    assert "animation of 3 frames" in text and f"ffmpeg -i {name} moving.mp4" in text


@pytest.mark.parametrize("name", ["still.gif", "still.webp"])
def test_still_gif_and_webp_are_pictures(tmp_path, name):
    Image.fromarray(smooth(12, 14)).save(tmp_path / name)
    assert read_image(tmp_path / name).shape == (12, 14, 3)


@pytest.mark.parametrize("content, words", [
    (b"<!DOCTYPE html><html><body>404</body></html>", "web page (HTML)"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"),
    (b"%PDF-1.7", "PDF"),
    (b"just some words", "text file"),
    ("Wörter mit Umlauten".encode(), "text file"),
    (b'{"a": 1}', "JSON"),
    (b"\0\0\0\x18ftypisom\0\0\0\0isomiso2", "MP4 video"),
    (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
    (b"PK\x03\x04rest", "ZIP"),
    (bytes(2000), "nothing but zeros"),
    (bytes(range(200, 250)), "no file of a kind"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
])  # fmt: skip
def test_what_is_no_picture_says_what_it_is(tmp_path, content, words):
    path = tmp_path / "face.jpg"
    path.write_bytes(content)
    assert words in refusal(path)


def test_missing_folder_empty_and_dangling(tmp_path):
    assert "no such file" in refusal(tmp_path / "none.jpg")
    assert "is a folder" in refusal(tmp_path)
    (tmp_path / "empty.jpg").touch()
    assert "is empty (0 bytes)" in refusal(tmp_path / "empty.jpg")
    (tmp_path / "link.jpg").symlink_to("nowhere.jpg")
    assert "link to a file that isn't there" in refusal(tmp_path / "link.jpg")
    assert "no such file" in refusal(tmp_path / "empty.jpg" / "below.jpg")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(tmp_path):
    path = tmp_path / "secret.png"
    write_image(path, noise(3, 3))
    path.chmod(0)
    assert "may not be read" in refusal(path)


@pytest.mark.parametrize("format_, options", [
    ("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("BMP", {}), ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}), ("TIFF", {"compression": "tiff_deflate"}), ("WEBP", {}), ("GIF", {}),
    ("JPEG2000", {}), ("PPM", {}),
])  # fmt: skip
@pytest.mark.parametrize("kept", [0.01, 0.3, 0.7, 0.95, 0.999])
def test_half_a_picture_is_never_accepted(tmp_path, format_, options, kept):
    whole = io.BytesIO()
    Image.fromarray(noise(120, 160, 3)).save(whole, format_, **options)
    path = tmp_path / f"cut.{format_.lower()}"
    path.write_bytes(whole.getvalue()[: int(len(whole.getvalue()) * kept)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = refusal(path)
    assert "copy or download it again" in text


def test_gigapixel_is_refused_by_its_header(tmp_path):
    """A PNG that says 100000×100000 and holds nothing: refused for its size before anything is decoded."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    path = tmp_path / "huge.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b""))
    text = refusal(path)
    assert "100000×100000 pixels: 10000 million, 200 at most" in text and "scale it down" in text


def test_max_pixels_is_the_callers_and_pillows_limit_is_left_alone(tmp_path, monkeypatch):
    write_image(tmp_path / "picture.png", noise(20, 30))
    assert "30×20 pixels" in refusal(tmp_path / "picture.png", max_pixels=599)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_image(tmp_path / "picture.png", max_pixels=600).shape == (20, 30, 3)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_a_pipe_can_be_read(tmp_path):
    """`facecli … <(curl …)`"""
    data = cv2.imencode(".png", noise(6, 5, 3)[..., ::-1])[1].tobytes()
    read_end, write_end = os.pipe()
    os.write(write_end, data)
    os.close(write_end)
    try:
        np.testing.assert_array_equal(read_image(f"/dev/fd/{read_end}"), noise(6, 5, 3))
    finally:
        os.close(read_end)


def test_written_jpeg_is_close(tmp_path):
    write_image(tmp_path / "deep" / "folder" / "a.jpg", smooth(64, 64))
    difference = read_image(tmp_path / "deep" / "folder" / "a.jpg").astype(int) - smooth(64, 64)
    assert np.abs(difference).max() < 12


def test_depth_keeps_its_sixteen_bits(tmp_path):
    depth = noise(9, 8, dtype=np.uint16)
    write_image(tmp_path / "depth.png", depth)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "depth.png")), depth)


def test_unwritable_place(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="choose another place") as caught:
        write_image(tmp_path / "file" / "a.png", noise(4, 4))
    assert "\n" not in str(caught.value)


def test_full_disk_leaves_nothing_behind(tmp_path):
    """RLIMIT_FSIZE stands for a full disk: writing past it fails the same way."""
    code = (
        "import resource, sys, numpy as np\n"
        "from facecli.errors import OutputError\n"
        "from facecli.io.images import write_image\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    write_image(sys.argv[1], np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8))\n"
        "except OutputError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "big.png")], capture_output=True, text=True)
    assert "can't be written: File too large" in done.stdout, done.stderr
    assert done.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not SHARED.exists(), reason="../shared/data/media is not here")
def test_shared_photographs():
    assert read_image(SHARED / "two_people.jpg").shape == (689, 1536, 3)
    expected = cv2.imread(str(SHARED / "test_image1.png"))[..., ::-1]
    np.testing.assert_array_equal(read_image(SHARED / "test_image1.png"), expected)
