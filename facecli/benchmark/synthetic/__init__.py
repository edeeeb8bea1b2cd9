"""A benchmark that everybody can run: heads rendered under known pose and light, against the surfaces they show.

`run.py` goes through all of it; `facecli/cli/benchmark/synthetic.py` is the command.
"""
