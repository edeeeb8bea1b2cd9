"""Any predicted mesh against any scan: `score.py` for one pair, `pairs.py` finds pairs, `run.py` goes through them.

`facecli/cli/benchmark/scan.py` is the command.
"""
