"""Variational auto-encoders declared as probabilistic programs."""
