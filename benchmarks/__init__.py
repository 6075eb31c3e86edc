"""Speed, memory and agreement with the reference, measured by scripts."""
