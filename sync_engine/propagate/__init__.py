"""Propagate: which claims go to which neighbour. Pure; called inside resolve's loop, where the record before and after is known."""
