"""Cases as files: given this, expect that. Adding one needs no Python."""
