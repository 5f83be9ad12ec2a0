r"""Figures, a noun each; :mod:`ppl_vae.plots` collects the functions that draw them."""
