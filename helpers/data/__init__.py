"""Corpora: the course's two files, recordings in folders, synthesised speech; what all of it is read with."""
