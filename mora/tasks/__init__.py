"""The tasks: each an ordered list of stages."""
