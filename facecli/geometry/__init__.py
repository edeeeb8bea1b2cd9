"""Geometry without networks: meshes, rotations, cameras, normals, UV layouts."""
