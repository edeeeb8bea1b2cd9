"""One module per command: parse, call one function, print. Nothing heavy is imported at module level."""
