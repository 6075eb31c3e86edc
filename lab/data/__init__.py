"""Training data other than the world: photographs, textured motion, damage."""
