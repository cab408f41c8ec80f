"""The seven losses of bare Faust, and the engine in the same circumstances. M1 to M9: the names of docs/testing.md."""
