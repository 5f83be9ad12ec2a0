r"""The folder of a run: making, saving, restoring and illustrating it, one noun per file."""
