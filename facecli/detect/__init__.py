"""Faces and landmarks: their common type, landmark sets and conversions, landmark file formats, tracking."""
