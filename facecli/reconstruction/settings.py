"""What the user chose for a reconstruction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from facecli.errors import UsageError

SAVE_CHOICES = {
    "obj": "mesh.obj with mesh.mtl and mesh.png (texture)",
    "glb": "mesh.glb with its texture; of a video, with its animation",
    "ply": "mesh.ply",
    "codes": "codes.npz: the model's numbers",
    "json": "face.json: box, pose, landmarks, camera",
    "overlay": "overlay.png or overlay.mp4: the mesh on the picture",
    "depth": "depth.png: 16-bit, hundredths of a millimetre behind the nearest point",
    "normals": "normals.png",
    "crop": "crop.png: what the model saw",
}
DEFAULT_SAVE = ("obj", "glb", "codes", "json", "overlay")
DEFAULT_SAVE_VIDEO = ("glb", "codes", "json", "overlay")
"""A video's frames get files of their own only where the user asks for them by name."""


@dataclass(frozen=True)
class Settings:
    """One run's choices; the command line's flags by the same names.

    Args:
        save: what to write, keys of :data:`SAVE_CHOICES`; empty means the defaults for each kind of source.
        faces: ``"all"``, ``"largest"`` or a number (as an int or in words).
        landmarker: another one than the model's own.
        confidence: detector's threshold; None leaves the model's own.
        texture_size: side of the texture in pixels; 0 chooses by the face's size in the photograph.
        batch_size: faces a batch; 0 leaves it to the model.
        workers: detecting threads; None means one a core.
    """

    model: str = "mediapipe"
    save: tuple[str, ...] = ()
    faces: str | int = "all"
    landmarker: str | None = None
    confidence: float | None = None
    device: str = "auto"
    rasterizer: str = "auto"
    texture_size: int = 0
    smooth: bool = False
    batch_size: int = 0
    workers: int | None = None

    def __post_init__(self):
        unknown = [word for word in self.save if word not in SAVE_CHOICES]
        if unknown:
            raise UsageError(f"can't save {', '.join(unknown)}; choose from {', '.join(SAVE_CHOICES)} or all")
        object.__setattr__(self, "faces", str(self.faces))
        if self.faces not in ("all", "largest") and not (self.faces.isdecimal() and int(self.faces) > 0):
            raise UsageError(f"--faces is all, largest or a number, not {self.faces!r}")
        if self.confidence is not None and not 0 < self.confidence <= 1:
            raise UsageError(f"--confidence lies between 0 and 1, not at {self.confidence}")
        if self.texture_size and not 16 <= self.texture_size <= 8192:
            raise UsageError(f"--texture-size is 16 to 8192 pixels, or 0, not {self.texture_size}")

    def saves(self, video: bool) -> tuple[str, ...]:
        """What is written of a photograph or a video."""
        return self.save or (DEFAULT_SAVE_VIDEO if video else DEFAULT_SAVE)

    def fingerprint(self, video: bool) -> dict[str, Any]:
        """What results depend on: with another one, finished items are done again."""
        return {
            "model": self.model,
            "landmarker": self.landmarker,
            "confidence": self.confidence,
            "faces": self.faces,
            "save": sorted(self.saves(video)),
            "texture_size": self.texture_size,
            **({"smooth": self.smooth} if video else {}),
        }

    @property
    def most_faces(self) -> int | None:
        """The number of faces that are kept, None for all."""
        if self.faces == "all":
            return None
        return 1 if self.faces == "largest" else int(self.faces)


def parse_save(words: list[str]) -> tuple[str, ...]:
    """``["obj,glb", "depth"]`` -> ``("obj", "glb", "depth")``; ``all`` is everything."""
    chosen = [word.strip() for text in words for word in text.split(",") if word.strip()]
    return tuple(SAVE_CHOICES) if "all" in chosen else tuple(dict.fromkeys(chosen))


def choose_device(name: str) -> str:
    """``auto`` -> the best device of this machine; others are checked.

    Raises:
        UsageError: torch doesn't know it, or it isn't there.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "cpu"  # MPS must be asked for: some operations differ there
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except Exception as error:
        reason = " ".join(str(error).split()).split(". ")[0]
        raise UsageError(
            f"no device {name!r} on this machine: {reason} (choose auto, cpu, cuda, cuda:1 or mps)"
        ) from None
    return name
