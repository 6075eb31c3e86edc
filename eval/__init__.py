"""Evaluation: the ledger, the engine, the tables and the report."""
