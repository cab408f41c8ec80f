"""The declarations and settings: what is shipped is whole, and the checkers refuse what they must."""
