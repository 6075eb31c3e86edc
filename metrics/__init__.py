"""The metrics: one file each, pure arithmetic over the features that backbones compute."""
