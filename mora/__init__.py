"""Mora: five agents and six tasks of video generation (arXiv 2403.13248), and its harness."""

__version__ = "0.1.0"
