"""`facecli train open`: rendered heads, what MediaPipe finds on them, and a network that learns who they are.

`examples.py` makes the heads, `labels.py` says how far a guess is from the truth, `run.py` trains.
"""
