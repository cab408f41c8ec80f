"""Bytes that nobody meant: six targets, which may refuse in the documented way and do nothing else."""
