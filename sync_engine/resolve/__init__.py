"""Resolve: claims in, golden records out. Pure; knows no neighbour stage."""
