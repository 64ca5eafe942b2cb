"""How datasets are written: the files of each piece, and all of them or none."""
