"""Estimands: doubly robust scores -> rows, a file a family."""
