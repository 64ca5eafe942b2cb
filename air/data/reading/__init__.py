"""How datasets are made: from values, from references and from files of every format."""
