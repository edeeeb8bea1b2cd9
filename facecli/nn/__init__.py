"""Networks that several plugins share, with the official state-dict names."""
