"""Ingest: a captured row change, or a neighbour's claim, becomes claims of entities. Pure."""
