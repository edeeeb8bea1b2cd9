"""Raises at import, as plugins do whose compiled parts don't fit the machine."""

raise RuntimeError("libbroken.so.3: cannot open shared object file\nNo such file or directory")
