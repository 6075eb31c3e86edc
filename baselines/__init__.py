"""Baselines: one file a system that Mora is compared with."""
