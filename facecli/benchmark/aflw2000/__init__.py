"""AFLW2000-3D: 68 landmarks by yaw bin (NME), and head pose (MAE of Euler angles).

`dataset` reads the folder, `methods` lets models and landmarkers look at it, `evaluate` scores, `report` writes.
"""
