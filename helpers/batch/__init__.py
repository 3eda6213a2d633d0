"""Notebooks run by papermill, one after the other, without a person."""
