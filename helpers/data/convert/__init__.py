"""Corpora in their own layouts, converted to the course's format."""
