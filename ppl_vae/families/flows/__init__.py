r"""What flows are made of: layers, transforms, and the root of a monotonic function."""
