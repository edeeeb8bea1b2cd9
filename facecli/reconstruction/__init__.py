"""The main job: pictures, videos and codes in; meshes, codes and pictures out.

`stream` turns frames into reconstructed ones; `jobs` says what is to be done with each input, `run` does it for the
command line, `api` for Python. A photograph's files are written by `picture`. Of a video, `passes` lead through the
frames, `tracks` keep people's codes, and `clip` draws and writes. `stored` reads codes instead of pictures, `layouts`
puts the files of a model's own layout in their places.
"""
