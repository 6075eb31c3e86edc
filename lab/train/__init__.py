"""Training of the miniature models, one module a model: `python -m lab.train NAME`."""
