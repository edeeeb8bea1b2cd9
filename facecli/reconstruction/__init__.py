"""The main job: pictures and videos in; meshes, codes and pictures out.

`stream` turns sources into reconstructed frames; `picture` and `clip` write what a photograph and a video give;
`run` drives them for the command line, `api` for Python.
"""
