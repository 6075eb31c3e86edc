"""Captioners: what says in words what pictures and videos show."""
