"""SMIRK's files beyond FLAME's. No torch here."""

from __future__ import annotations

from facecli.assets.catalogue import Asset

_DRIVE_ID = "1T65uEd9dVLHgVw5KiUYL66NUee-MCzoE"

SMIRK = Asset(
    "smirk",
    "SMIRK_em1.pt",
    url=f"https://drive.google.com/uc?id={_DRIVE_ID}&export=download&confirm=t",
    license="none stated; trained on research-only data",
    register=f"https://drive.google.com/file/d/{_DRIVE_ID}",
    note="encoder and generator, 140 MB",
)
