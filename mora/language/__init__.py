"""Language models: one interface, whether they answer from an address or on this machine."""
