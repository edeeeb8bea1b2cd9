"""Measuring reconstructions: NoW and other scan-to-mesh errors, AFLW2000-3D, rendered heads, speed."""
