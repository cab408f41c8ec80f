"""Deliver: golden records to the systems that registered a demand. Pure; the push itself is the loop's."""
