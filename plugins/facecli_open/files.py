"""The one file that the open model needs: ICT-FaceKit's face model. No torch here."""

from __future__ import annotations

from facecli.morphable.ict_assets import ICT_FACEKIT

__all__ = ["ICT_FACEKIT"]
