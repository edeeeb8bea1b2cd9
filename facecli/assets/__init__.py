"""The files that models need: which there are (`catalogue`), and where they lie on this machine (`store`)."""
