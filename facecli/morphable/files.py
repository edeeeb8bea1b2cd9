"""The files of FLAME and what goes with it, which several plugins need. No torch here."""

from __future__ import annotations

from facecli.assets.catalogue import Asset

FLAME_SITE = "https://flame.is.tue.mpg.de"
FLAME_LICENSE = "FLAME model licence: non-commercial research, registration"
DECA_REPOSITORY = "https://github.com/yfeng95/DECA/tree/master/data"
SMIRK_REPOSITORY = "https://github.com/georgeretsi/smirk/tree/main/assets"

FLAME = Asset(
    "flame",
    "generic_model.pkl",
    license=FLAME_LICENSE,
    register=FLAME_SITE,
    member="generic_model.pkl",
    note="FLAME 2020, which SMIRK, DECA and EMOCA were trained with",
)
FLAME_2023 = Asset(
    "flame_2023",
    "flame2023.pkl",
    license=FLAME_LICENSE,
    register=FLAME_SITE,
    member="flame2023.pkl",
    note="another basis than 2020's: codes of the official networks don't fit it",
    alternatives=("flame2023_no_jaw.pkl",),
)
FLAME_2023_OPEN = Asset(
    "flame_2023_open",
    "flame2023_open.pkl",
    license="CC-BY-4.0",
    register=FLAME_SITE,
    member="flame2023_open.pkl",
    note="another basis than 2020's: codes of the official networks don't fit it",
    alternatives=("FLAME2023Open.pkl",),
)
LANDMARK_EMBEDDING = Asset(
    "flame_landmarks",
    "landmark_embedding.npy",
    license="DECA's: non-commercial research",
    register=DECA_REPOSITORY,
    note="68 landmarks on FLAME's triangles",
)
MEDIAPIPE_EMBEDDING = Asset(
    "flame_mediapipe_landmarks",
    "mediapipe_landmark_embedding.npz",
    license=FLAME_LICENSE,
    register=FLAME_SITE,
    note="105 MediaPipe landmarks on FLAME's triangles",
)
HEAD_TEMPLATE = Asset(
    "flame_template",
    "head_template.obj",
    license="DECA's: non-commercial research",
    register=DECA_REPOSITORY,
    note="FLAME's triangles with their UV layout",
)
MASKS = Asset(
    "flame_masks",
    "FLAME_masks.pkl",
    license=FLAME_LICENSE,
    register=FLAME_SITE,
    note="regions of FLAME's vertices: face, scalp, neck, …",
)
TRIANGLE_MASKS = Asset(
    "flame_triangle_masks",
    "FLAME_masks_triangles.npy",
    license="none stated; in SMIRK's repository",
    register=SMIRK_REPOSITORY,
    note="regions of FLAME's triangles",
)
LEFT_EYELID = Asset(
    "left_eyelid",
    "l_eyelid.npy",
    license="unclear; in SMIRK's repository",
    register=SMIRK_REPOSITORY,
    note="offsets that close FLAME's left eye",
)
RIGHT_EYELID = Asset(
    "right_eyelid",
    "r_eyelid.npy",
    license="unclear; in SMIRK's repository",
    register=SMIRK_REPOSITORY,
    note="offsets that close FLAME's right eye",
)
FLAME_TEXTURE = Asset(
    "flame_texture",
    "FLAME_texture.npz",
    license="CC-BY-NC-SA-4.0",
    register=FLAME_SITE,
    note="FLAME's own albedo space",
)
BFM_ALBEDO = Asset(
    "flame_bfm_albedo",
    "FLAME_albedo_from_BFM.npz",
    license="BFM: non-commercial",
    register="https://github.com/TimoBolkart/BFM_to_FLAME",
    note="albedo space that you make from BFM 2017, 1.2 GB",
)
