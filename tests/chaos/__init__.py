"""The loop cannot lose: the resolve stage in processes of its own, killed and frozen at every step, on a broker that fails too."""
