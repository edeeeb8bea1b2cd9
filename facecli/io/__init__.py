"""Reading and writing: sources of pictures, videos, atomic files, pickles from outside."""
