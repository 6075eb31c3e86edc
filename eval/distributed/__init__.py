"""Scoring on several GPUs or machines, with Ray; told in `docs/distributed.md`."""
