"""How fast the installed models are on this machine, and how much memory they take.

`run` starts a process a model, `worker` is what works there: the same `facecli.reconstruction` that users get, on the
pictures and the video of `inputs`. `machine` says what machine it is, `tables` what came out.
"""
