"""Networks that no library has, one folder each."""
