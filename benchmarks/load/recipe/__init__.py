"""The peer: Medblocks' guide followed in plain Django, a view per step and no history."""
