r"""Integrals, tails and ratios that are exact where the plain formula cancels or overflows."""
