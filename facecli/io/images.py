"""The one reader of pictures that all commands share, and the one writer.

Pillow decodes, so that a picture looks the same to every command: turned as its EXIF tag says, in sRGB, 8 bits.
"""

from __future__ import annotations

import contextlib
import functools
import io
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps, TiffImagePlugin, UnidentifiedImageError

from facecli.errors import InputError
from facecli.io.atomic import atomic_write
from facecli.io.filetypes import Content, check_file, input_error, sniff

try:
    import pillow_heif
except ImportError:
    pillow_heif = None
else:
    pillow_heif.register_heif_opener()

MAX_PIXELS = 200e6

# No EPS (pillow would start Ghostscript), nothing exotic: fewer decoders, fewer holes.
_FORMATS = ["JPEG", "PNG", "BMP", "DIB", "TIFF", "WEBP", "GIF", "PPM", "JPEG2000", "AVIF", "TGA"]
if pillow_heif is not None:
    _FORMATS.append("HEIF")
_ANIMATED = {"GIF", "WEBP", "PNG", "AVIF"}  # not MPO and TIFF: there, further pictures are thumbnails and pages
_CUT = ("truncated", "broken data stream", "could not create decoder", "unexpected end", "not enough")

# Pillow's complaints about odd tags are no news to users; what matters raises.
warnings.filterwarnings("ignore", module=r"PIL\..*")
_limit_lock = threading.Lock()


def read_image(path: str | Path, *, max_pixels: float = MAX_PIXELS) -> np.ndarray:
    """Read a picture as contiguous RGB uint8 [H, W, 3], upright and in sRGB.

    * 16 bits a channel become 8 by their high byte. Floats and 32-bit integers, which have no agreed range, are taken
      as 0..1, 0..255 or 0..65535, whichever is the first to hold them.
    * Transparent pixels are laid on white: what cut-out tools leave beneath them is arbitrary, and white is what
      viewers show.
    * CMYK and embedded colour profiles are converted to sRGB.
    * Of pictures with several pages (TIFF) or views (MPO) the first is taken; animations are refused.

    Raises:
        InputError: missing, a folder, empty, no picture, cut, animated, or larger than `max_pixels`.
    """
    check_file(path)
    try:
        with Path(path).open("rb") as file:
            stream = file if file.seekable() else io.BytesIO(file.read())  # `<(curl …)` is a pipe
            return _decode(path, stream, max_pixels)
    except OSError as error:
        raise input_error(path, error) from error


def image_size(path: str | Path) -> tuple[int, int]:
    """(width, height) of an upright picture, from its header alone.

    Raises:
        InputError: as :func:`read_image`, as far as the header tells.
    """
    check_file(path)
    try:
        with Path(path).open("rb") as file, _open(path, file) as image:
            if image.format == "TIFF":  # pillow has turned the size of these already
                width, height = image.tag_v2[TiffImagePlugin.IMAGEWIDTH], image.tag_v2[TiffImagePlugin.IMAGELENGTH]
            else:
                width, height = image.size
            turned = _orientation(image) in (5, 6, 7, 8)
            return (height, width) if turned else (width, height)
    except OSError as error:
        raise input_error(path, error) from error


def _decode(path: str | Path, stream: io.BufferedIOBase, max_pixels: float) -> np.ndarray:
    content = sniff(stream.read(512))
    stream.seek(0)
    try:
        image = _open(path, stream)
    except UnidentifiedImageError:
        return _decode_otherwise(path, stream, content, max_pixels)
    with image:
        _check_size(path, image.size, max_pixels)
        _check_still(path, image)
        try:
            image.load()
            return _to_rgb(path, image)
        except (OSError, SyntaxError, ValueError, EOFError, IndexError, Image.DecompressionBombError) as error:
            raise _damaged(path, content, error) from error


def _open(path: str | Path, stream: io.BufferedIOBase) -> Image.Image:
    """Read the header; UnidentifiedImageError when no decoder wants the file."""
    try:
        with _no_pillow_limit():
            return Image.open(stream, formats=_FORMATS)
    except UnidentifiedImageError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
        stream.seek(0)
        raise _damaged(path, sniff(stream.read(512)), error) from error


@contextlib.contextmanager
def _no_pillow_limit() -> Iterator[None]:
    """Pillow's own limit off while a header is read: ours comes right after it, with a clearer word."""
    with _limit_lock:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _check_size(path: str | Path, size: tuple[int, int], max_pixels: float) -> None:
    width, height = size
    if width * height > max_pixels:
        raise InputError(
            path,
            f"has {width}×{height} pixels: {width * height / 1e6:.0f} million, {max_pixels / 1e6:.0f} at most",
            "scale it down or cut it to pieces",
        )


def _check_still(path: str | Path, image: Image.Image) -> None:
    frames = getattr(image, "n_frames", 1) if image.format in _ANIMATED else 1
    if frames > 1:
        name = Path(path)
        raise InputError(
            path,
            f"is an animation of {frames} frames, not one picture",
            f"make it a video: ffmpeg -i {name.name} {name.stem}.mp4",
        )


def _damaged(path: str | Path, content: Content, error: Exception) -> InputError:
    if isinstance(error, InputError):
        return error
    if isinstance(error, PermissionError | IsADirectoryError):
        return input_error(path, error)
    reason = " ".join(str(error).split())
    if any(word in reason.lower() for word in _CUT):
        return InputError(path, "is cut: the end of the picture is missing", "copy or download it again")
    what = f"{content.words} that is damaged" if content.kind == "image" else "damaged"
    return InputError(path, f"is {what}: {reason}", "copy or download it again")


def _decode_otherwise(path: str | Path, stream: io.BufferedIOBase, content: Content, max_pixels: float) -> np.ndarray:
    """What pillow doesn't know: colour TIFFs of floats or 32-bit integers go through OpenCV."""
    if content.kind == "image" and "TIFF" in content.words:
        size = _tiff_size(stream)
        if size is not None:
            _check_size(path, size, max_pixels)
            stream.seek(0)
            pixels = cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_UNCHANGED)
            if pixels is not None and pixels.ndim == 3 and pixels.shape[2] in (3, 4):
                rgb = _eight_bits(pixels[..., [2, 1, 0, *range(3, pixels.shape[2])]])
                return on_white(rgb) if rgb.shape[2] == 4 else np.ascontiguousarray(rgb)
    if content.kind == "image":
        mend = content.mend or "copy or download it again, or convert it to PNG"
        raise InputError(path, f"looks like {content.words}, but can't be decoded", mend)
    if content.kind == "video":
        raise InputError(path, f"is {content.words}, not a picture", "give it the suffix of a video, such as .mp4")
    raise InputError(path, f"is not a picture but {content.words}", content.mend)


def _tiff_size(stream: io.BufferedIOBase) -> tuple[int, int] | None:
    """(width, height) in the first directory of a TIFF, None if that can't be read."""
    stream.seek(0)
    header = stream.read(8)
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(header)
        stream.seek(directory.next)
        directory.load(stream)
        return int(directory[TiffImagePlugin.IMAGEWIDTH]), int(directory[TiffImagePlugin.IMAGELENGTH])
    except Exception:  # pillow raises nearly anything on broken directories
        return None


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(0x0112, 1)
    except Exception:  # a broken EXIF block says nothing about the pixels
        return 1


def _to_rgb(path: str | Path, image: Image.Image) -> np.ndarray:
    profile = image.info.get("icc_profile")
    if _orientation(image) in range(2, 9):
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        grey = _eight_bits(np.asarray(image))
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("LA", "La", "PA", "RGBa", "RGBA") or image.has_transparency_data:
        image = Image.fromarray(on_white(np.asarray(image.convert("RGBA"))))
    converted = _through_profile(image, profile) if profile or image.mode == "LAB" else None
    if converted is None:
        try:
            converted = image if image.mode == "RGB" else image.convert("RGB")
        except ValueError as error:
            raise InputError(path, f"has colours of the kind {image.mode}", "convert it to RGB") from error
    return np.array(converted, dtype=np.uint8, order="C")


def _through_profile(image: Image.Image, profile: bytes | None) -> Image.Image | None:
    """`image` in sRGB, or None when its profile says nothing new or doesn't fit."""
    if image.mode not in ("RGB", "CMYK", "LAB"):
        return None
    transform = _profile_transform(profile or b"", image.mode)
    if transform is None:
        return None
    try:
        return ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, ValueError):
        return None


@functools.lru_cache(maxsize=16)
def _profile_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
        transform = ImageCms.buildTransform(source, _srgb(), mode, "RGB")
        return None if mode == "RGB" and _changes_little(transform) else transform
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _changes_little(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether it moves no colour by more than the rounding of lossy pictures: then 16 ns a pixel are better saved.
    There are dozens of profiles that mean sRGB, under many names."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    converted = np.asarray(ImageCms.applyTransform(Image.fromarray(colours), transform))
    return int(np.abs(converted.astype(int) - colours).max()) <= 2


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
    """Any numeric type to uint8; see :func:`read_image` for the ranges."""
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype in (np.uint16, np.dtype(">u2")):
        return (pixels >> 8).astype(np.uint8)
    values = np.nan_to_num(pixels.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    top = values.max(initial=0.0)
    ceilings = (1.0, 255.0, 65535.0) if pixels.dtype.kind == "f" else (255.0, 65535.0)
    ceiling = next((c for c in ceilings if top <= 1.5 * c), top)  # resampling overshoots: 1.02 is still of 0..1
    return np.clip(np.rint(values * (255.0 / ceiling)), 0, 255).astype(np.uint8)


def on_white(rgba: np.ndarray) -> np.ndarray:
    """RGBA uint8 [H, W, 4] over white -> RGB uint8 [H, W, 3], rounded to nearest."""
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def write_image(path: str | Path, pixels: np.ndarray, *, quality: int = 95) -> None:
    """Write a picture whole or not at all; its suffix says the format (``.png``, ``.jpg``, …).

    Args:
        pixels: as for :func:`encode_image`.
        quality: of a JPEG, 0..100.

    Raises:
        OutputError: the place can't be written to.
    """
    path = Path(path)
    # encoded in memory first: OpenCV's own file writing keeps silent about full disks
    encoded = encode_image(path.suffix, pixels, quality=quality)
    with atomic_write(path) as temporary:
        temporary.write_bytes(encoded)


def encode_image(suffix: str, pixels: np.ndarray, *, quality: int = 95) -> bytes:
    """The bytes of a picture file.

    Args:
        suffix: says the format (``.png``, ``.jpg``, …).
        pixels: uint8 or uint16, grey [H, W], RGB [H, W, 3] or RGBA [H, W, 4]; uint16 for PNG and TIFF only.
        quality: of a JPEG, 0..100.
    """
    if pixels.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"a picture has uint8 or uint16, not {pixels.dtype}")
    if pixels.ndim == 3:
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix.lower() in (".jpg", ".jpeg") else []
    done, encoded = cv2.imencode(suffix, np.ascontiguousarray(pixels), options)
    if not done:
        raise ValueError(f"no picture format {suffix} with {pixels.dtype} {pixels.shape}")
    return encoded.tobytes()
