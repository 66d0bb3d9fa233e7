"""Everything that answers a browser or Medblocks."""
