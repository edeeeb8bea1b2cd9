"""The NoW benchmark: its folder, predictions, the check before a run, and a resumable evaluation on all cores.

`run.py` goes through all of it; `facecli/cli/benchmark/now.py` is the command.
"""
