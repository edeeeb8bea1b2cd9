"""Which head models there are, and where their files are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facecli.data.head_model import HeadModel
from facecli.errors import InputError, UsageError

FACES = ("ict", "flame", "formula")


@dataclass(frozen=True)
class HeadChoice:
    """A head model and its file; picklable, for worker processes.

    Args:
        faces: of :data:`FACES`.
        path: a file, or ICT-FaceKit's folder of OBJ files; None for a model that needs no file, or finds its own.
    """

    faces: str
    path: Path | None = None

    def load(self) -> HeadModel:
        """The model.

        Raises:
            MissingAssetError, InputError: its files are missing or damaged.
        """
        if self.faces == "ict":
            from facecli.data.ict_head import IctHead

            return IctHead(self.path)
        if self.faces == "flame":
            from facecli.data.flame_head import FlameHeads

            return FlameHeads(self.path)
        from facecli.data.formula_head import FormulaHead

        return FormulaHead()


def choose_heads(faces: str | None = None, face_model: Path | None = None) -> HeadChoice:
    """The head model that the user asks for; without a word ICT-FaceKit where its file is found, else the formula's.

    Raises:
        UsageError: no such model, or a file for one that takes none.
        MissingAssetError: ICT-FaceKit is asked for and not there.
        InputError: `face_model` isn't there.
    """
    if faces is not None and faces not in FACES:
        raise UsageError(f"--faces is one of {', '.join(FACES)}, not {faces!r}")
    if face_model is not None:
        if faces == "formula":
            raise UsageError("--faces formula takes no --face-model")
        if not (face_model.is_file() or (face_model.is_dir() and faces in (None, "ict"))):
            mend = "--face-model is ICT-FaceKit's .npz or its folder FaceXModel, or FLAME with --faces flame"
            raise InputError(face_model, "no such file", mend)
        return HeadChoice(faces or "ict", face_model)
    found = find_ict()
    if faces == "ict" or (faces is None and found is not None):
        if found is None:
            raise _missing_ict()
        return HeadChoice("ict", found)
    return HeadChoice(faces or "formula")


def find_ict() -> Path | None:
    """ICT-FaceKit's ``.npz``, or its folder of OBJ files, in the folders of assets, or None."""
    from facecli.assets.store import candidates
    from facecli.morphable.ict_assets import ICT_FACEKIT

    return next(iter(candidates(ICT_FACEKIT)), None)


def _missing_ict() -> Exception:
    from facecli.assets.store import how_to_get
    from facecli.errors import MissingAssetError
    from facecli.morphable.ict_assets import ICT_FACEKIT

    words = "name it with --face-model, or use --faces formula, which needs no file"
    missing = f"{ICT_FACEKIT.filename} (ICT-FaceKit's face model) is missing"
    return MissingAssetError(f"{missing}: {how_to_get(ICT_FACEKIT)}; or {words}")
