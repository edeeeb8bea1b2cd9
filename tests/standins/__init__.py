"""Stand-ins by formula for files that are licensed and so can't be here: same keys, shapes, types and units."""
