"""The procedural world of moving shapes: scenes, captions, pictures, and how to read them."""
