"""What a file is: by its suffix, and by the first bytes where suffixes don't help."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from facecli.errors import InputError

_PICTURES = """
.jpg .jpeg .jpe .jfif .mpo .png .apng .bmp .dib .tif .tiff .webp .gif .heic .heif .hif .avif .jp2 .ppm .pgm .pbm .pnm
.tga
"""
_VIDEOS = """
.mp4 .m4v .mov .qt .mkv .webm .avi .wmv .asf .flv .f4v .mpg .mpeg .m2v .vob .ts .mts .m2ts .3gp .3g2 .ogv .mxf .nut .y4m
.dv .h264 .264 .h265 .hevc
"""
PICTURE_SUFFIXES = frozenset(_PICTURES.split())
VIDEO_SUFFIXES = frozenset(_VIDEOS.split())
CODES_SUFFIXES = frozenset({".npz"})

_HEAD = 512
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


@dataclass(frozen=True)
class Content:
    """What the first bytes look like: `kind` is ``"image"``, ``"video"`` or ``"other"``; `words` name it for people."""

    kind: str
    words: str
    mend: str = ""


_MAGIC = (
    (b"\xff\xd8\xff", Content("image", "a JPEG picture")),
    (b"\x89PNG\r\n\x1a\n", Content("image", "a PNG picture")),
    (b"GIF8", Content("image", "a GIF picture")),
    (b"BM", Content("image", "a BMP picture")),
    (b"II*\x00", Content("image", "a TIFF picture")),
    (b"MM\x00*", Content("image", "a TIFF picture")),
    (b"II+\x00", Content("image", "a BigTIFF picture")),
    (b"MM\x00+", Content("image", "a BigTIFF picture")),
    (b"\x00\x00\x00\x0cjP  ", Content("image", "a JPEG 2000 picture")),
    (b"\xff\x0a", Content("image", "a JPEG XL picture", "convert it to PNG or JPEG")),
    (b"\x00\x00\x00\x0cJXL ", Content("image", "a JPEG XL picture", "convert it to PNG or JPEG")),
    (b"8BPS", Content("image", "a Photoshop file", "export it as PNG or JPEG")),
    (b"\x1aE\xdf\xa3", Content("video", "a Matroska or WebM video")),
    (b"FLV\x01", Content("video", "a Flash video")),
    (b"OggS", Content("video", "an Ogg file")),
    (b"0&\xb2u\x8ef\xcf\x11", Content("video", "a Windows Media file")),
    (b"\x00\x00\x01\xba", Content("video", "an MPEG video")),
    (b"\x00\x00\x01\xb3", Content("video", "an MPEG video")),
    (b"YUV4MPEG2", Content("video", "a YUV4MPEG video")),
    (b"nut/multimedia", Content("video", "a NUT video")),
    (b"version https://git-lfs", Content("other", "a Git LFS pointer", "fetch the file itself with `git lfs pull`")),
    (b"%PDF", Content("other", "a PDF document", "export its page as PNG")),
    (b"%!PS", Content("other", "a PostScript document", "export it as PNG")),
    (b"PK\x03\x04", Content("other", "a ZIP archive", "unpack it")),
    (b"\x1f\x8b", Content("other", "a gzip archive", "unpack it")),
    (b"7z\xbc\xaf", Content("other", "a 7-Zip archive", "unpack it")),
    (b"Rar!", Content("other", "a RAR archive", "unpack it")),
    (b"\x93NUMPY", Content("other", "a NumPy array", "save it as PNG")),
    (b"\x89HDF", Content("other", "an HDF5 file")),
    (b"ID3", Content("other", "an MP3 sound file")),
    (b"fLaC", Content("other", "a FLAC sound file")),
    (b"glTF", Content("other", "a 3D model (GLB)", "`facecli transfer` takes one for a source")),
    (b"\x7fELF", Content("other", "a program")),
)


def suffix_kind(path: Path) -> str | None:
    """``"image"``, ``"video"`` or ``"codes"`` by the suffix, None for suffixes that say nothing."""
    suffix = path.suffix.lower()
    if suffix in PICTURE_SUFFIXES:
        return "image"
    if suffix in VIDEO_SUFFIXES:
        return "video"
    return "codes" if suffix in CODES_SUFFIXES else None


def sniff(head: bytes) -> Content:
    """What a file looks like from its first bytes (some 500 are enough)."""
    for magic, content in _MAGIC:
        if head.startswith(magic):
            return content
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        return _iso_media(head)
    if head[:4] == b"RIFF":
        return _riff(head[8:12])
    if head[:1] == b"G" and head[188:189] == b"G":
        return Content("video", "an MPEG transport stream")
    return _text(head)


def _iso_media(head: bytes) -> Content:
    """MP4's family: the brand in the first box tells pictures, sound and video apart."""
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    if brand in _HEIC_BRANDS:
        return Content("image", "a HEIC picture", "pip install pillow-heif, or convert it to JPEG")
    if brand in (b"avif", b"avis"):
        return Content("image", "an AVIF picture", "convert it to PNG or JPEG")
    if brand == b"M4A ":
        return Content("other", "an M4A sound file")
    return Content("video", "an MP4 video")


def _riff(form: bytes) -> Content:
    known = {
        b"WEBP": Content("image", "a WebP picture"),
        b"AVI ": Content("video", "an AVI video"),
        b"WAVE": Content("other", "a WAV sound file"),
    }
    return known.get(form, Content("other", "no file of a kind that facecli knows"))


def _text(head: bytes) -> Content:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        return Content("other", "a web page (HTML)", "the download gave a page, not the file: download it again")
    if b"<svg" in text[:300]:
        return Content("other", "an SVG drawing", "export it as PNG")
    if text.startswith(b"<?xml"):
        return Content("other", "an XML document")
    if text.startswith((b"{", b"[")):
        return Content("other", "a JSON document")
    if head and not head.strip(b"\x00"):
        return Content("other", "nothing but zeros", "copy or download it again")
    try:
        decoded = head.decode("utf-8") if len(head) < _HEAD else head[:-4].decode("utf-8")
    except UnicodeDecodeError:
        decoded = ""
    if decoded and all(c.isprintable() or c in "\t\r\n\f" for c in decoded):
        return Content("other", "a text file")
    return Content("other", "no file of a kind that facecli knows")


def read_head(path: Path) -> bytes:
    """The first bytes of a regular file; b"" where it can't be read (whoever reads it all will say why)."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading from a pipe would eat its beginning
            return b""
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""


def content_kind(path: Path) -> str:
    """``"image"`` or ``"video"`` (or ``"other"``) by what `path` holds."""
    return sniff(read_head(path)).kind


def check_file(path: str | Path, name: str | None = None) -> Path:
    """Make sure that `path` is a file with something in it.

    Raises:
        InputError: it is missing, a folder, empty, or may not be looked at. `name` is what the message calls it.
    """
    path, name = Path(path), name or str(path)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        problem = "is a link to a file that isn't there" if path.is_symlink() else "no such file"
        raise InputError(name, problem) from None
    except (OSError, ValueError) as error:
        raise input_error(name, error) from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(name, "is a folder, not a file")
    if stat.S_ISREG(status.st_mode) and status.st_size == 0:
        raise InputError(name, "is empty (0 bytes)", "copy or download it again")
    return path


def input_error(name: str | Path, error: Exception) -> InputError:
    """The one line for a file that can't be read."""
    if isinstance(error, PermissionError):
        return InputError(name, "may not be read", "check its permissions")
    reason = getattr(error, "strerror", None) or str(error)
    return InputError(name, f"can't be read: {' '.join(reason.split())}")
