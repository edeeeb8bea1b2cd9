"""Expression transfer: one person's face with the expressions of another, photographs, videos and codes alike.

`inputs` makes codes of what the user names, `timing` says which of the target's frames goes with which of the source's,
`pairs` mixes and writes, `run` does all pairs of a command.
"""
