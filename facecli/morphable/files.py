"""The files of FLAME and what goes with it, which several plugins need. No torch here.

Sizes and hashes are not known to us from a first-hand source, so none are given.
"""

from __future__ import annotations

from facecli.assets.catalogue import Asset, Login

FLAME_SITE = "https://flame.is.tue.mpg.de"
FLAME_LICENSE = "FLAME model licence: non-commercial research, registration"
DECA_REPOSITORY = "https://github.com/yfeng95/DECA/tree/master/data"
DECA_LICENSE = "DECA's: non-commercial research, no redistribution"
SMIRK_REPOSITORY = "https://github.com/georgeretsi/smirk/tree/main/assets"
_DECA_DATA = "https://raw.githubusercontent.com/yfeng95/DECA/master/data"
_SMIRK_ASSETS = "https://raw.githubusercontent.com/georgeretsi/smirk/main/assets"
_READERS = "facecli.morphable.flame_files"


def deca_data(name: str, filename: str, note: str) -> Asset:
    """A file of the data folder in DECA's repository. It may not be passed on, so users fetch it from there."""
    return Asset(
        name, filename, url=f"{_DECA_DATA}/{filename}", license=DECA_LICENSE, register=DECA_REPOSITORY, note=note
    )


def _smirk_assets(name: str, path: str, license: str, note: str) -> Asset:
    """A file of the assets folder in SMIRK's repository."""
    filename = path.rpartition("/")[2]
    return Asset(name, filename, url=f"{_SMIRK_ASSETS}/{path}", license=license, register=SMIRK_REPOSITORY, note=note)


def _flame_login(archive: str) -> Login:
    """FLAME's site gives `archive` for the form that the research systems' own scripts send."""
    address = f"https://download.is.tue.mpg.de/download.php?domain=flame&sfile={archive}&resume=1"
    return Login(FLAME_SITE, address, "FLAME")


def _flame(name: str, filename: str, archive: str, note: str, **more) -> Asset:
    """A file in an archive that FLAME's site gives to registered users."""
    return Asset(
        name, filename, license=FLAME_LICENSE, register=FLAME_SITE, member=filename, archive=archive,
        login=_flame_login(archive), note=note, **more,
    )  # fmt: skip


FLAME = _flame(
    "flame",
    "generic_model.pkl",
    "FLAME2020.zip",
    "FLAME 2020, which SMIRK, DECA and EMOCA were trained with; the editions of 2017 and 2019 have the same file name",
    edition="FLAME2020",
    convert=f"{_READERS}:convert_flame",
    converted="flame2020.npz",
)
_OTHER_BASIS = "another basis than 2020's: codes of the official networks don't fit it"
FLAME_2023 = _flame(
    "flame_2023",
    "flame2023.pkl",
    "FLAME2023.zip",
    _OTHER_BASIS,
    convert=f"{_READERS}:convert_flame",
    converted="flame2023.npz",
)
FLAME_2023_NO_JAW = _flame(
    "flame_2023_no_jaw",
    "flame2023_no_jaw.pkl",
    "FLAME2023.zip",
    f"2023's second file, its expressions without the jaw; {_OTHER_BASIS}",
    convert=f"{_READERS}:convert_flame",
    converted="flame2023_no_jaw.npz",
)
FLAME_2023_OPEN = Asset(
    "flame_2023_open",
    "flame2023_open.pkl",
    license="CC-BY-4.0",
    register=FLAME_SITE,
    member="flame2023_open.pkl",
    note=f"FLAME 2023 Open; its file's name is not known to us, so rename it; {_OTHER_BASIS}",
    alternatives=("flame2023_Open.pkl", "FLAME2023Open.pkl", "flame2023Open.pkl"),
    convert=f"{_READERS}:convert_flame",
    converted="flame2023_open.npz",
)
EDITIONS = (FLAME, FLAME_2023, FLAME_2023_NO_JAW, FLAME_2023_OPEN)
LANDMARK_EMBEDDING = deca_data("flame_landmarks", "landmark_embedding.npy", "68 landmarks on FLAME's triangles")
MEDIAPIPE_EMBEDDING = _smirk_assets(
    "flame_mediapipe_landmarks",
    "mediapipe_landmark_embedding/mediapipe_landmark_embedding.npz",
    FLAME_LICENSE,
    "105 MediaPipe landmarks on FLAME's triangles; FLAME's site has it, too",
)
HEAD_TEMPLATE = deca_data("flame_template", "head_template.obj", "FLAME's triangles with their UV layout")
MASKS = _smirk_assets(
    "flame_masks",
    "FLAME_masks/FLAME_masks.pkl",
    FLAME_LICENSE,
    "regions of FLAME's vertices: face, scalp, neck, …; FLAME's site has it, too",
)
TRIANGLE_MASKS = _smirk_assets(
    "flame_triangle_masks",
    "FLAME_masks/FLAME_masks_triangles.npy",
    "none stated; in SMIRK's repository",
    "regions of FLAME's triangles",
)
_EYELID_LICENSE = "unclear; in SMIRK's repository"
LEFT_EYELID = _smirk_assets("left_eyelid", "l_eyelid.npy", _EYELID_LICENSE, "offsets that close FLAME's left eye")
RIGHT_EYELID = _smirk_assets("right_eyelid", "r_eyelid.npy", _EYELID_LICENSE, "offsets that close FLAME's right eye")
FLAME_TEXTURE = Asset(
    "flame_texture",
    "FLAME_texture.npz",
    license="CC-BY-NC-SA-4.0",
    register=FLAME_SITE,
    member="FLAME_texture.npz",
    note="FLAME's own albedo space: the texture space on FLAME's site",
    convert="facecli.morphable.albedo_files:convert_flame_texture",
    converted="FLAME_texture_50.npz",
)
BFM_ALBEDO = Asset(
    "flame_bfm_albedo",
    "FLAME_albedo_from_BFM.npz",
    license="BFM: non-commercial",
    register="https://github.com/TimoBolkart/BFM_to_FLAME",
    note="albedo space that you make from BFM 2017 with the program there, 1.2 GB",
    convert="facecli.morphable.albedo_files:convert_bfm_albedo",
    converted="FLAME_albedo_from_BFM_50.npz",
)
