"""The networks behind the metrics: frames in, features out."""
