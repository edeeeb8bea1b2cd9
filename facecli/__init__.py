"""facecli: monocular 3D face reconstruction.

    import facecli
    for face in facecli.reconstruct("photo.jpg", model="mediapipe"):
        print(face.box, face.mesh.vertices.shape)

Importing this package is cheap: torch, OpenCV, numba and MediaPipe are imported by the functions that use them.
"""

__version__ = "0.1.0"
