"""One rasterizer contract, its backends, shading, overlays, textures."""
