"""Experiments, one question per file."""
