"""Face models: a licensed file in, a torch module out."""
