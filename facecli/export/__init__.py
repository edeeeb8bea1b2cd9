"""Writers: meshes, pictures, codes, reports."""
