r"""What lies between two bounds of a law, for laws that are cut or clamped there."""
