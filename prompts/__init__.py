"""Prompt sets and their reader."""
