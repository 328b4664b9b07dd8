"""Hotseat's agent runtime: a turn comes in, the missing blocks and the observation are computed, an action goes out."""
