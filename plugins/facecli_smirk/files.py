"""SMIRK's files beyond FLAME's. No torch here."""

from __future__ import annotations

from facecli.assets.catalogue import Asset

SMIRK = Asset(
    "smirk",
    "SMIRK_em1.pt",
    license="none stated; trained on research-only data",
    register="https://drive.google.com/file/d/1T65uEd9dVLHgVw5KiUYL66NUee-MCzoE",
    note="encoder and generator, 140 MB",
)
