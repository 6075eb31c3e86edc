"""The miniature world: its renderer, the miniature models that learn it, and their weights."""
