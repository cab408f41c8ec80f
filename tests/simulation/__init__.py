"""The whole network's core in one thread: real stages, real loops, real codecs; log, stores and clock are fakes.

One seed decides whose turn it is and who dies where, and replays exactly. `python -m tests.simulation --seeds 50000` looks long.
"""
