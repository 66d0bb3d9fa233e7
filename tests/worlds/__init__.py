"""Worlds never mix: what one site, tenant or workspace was told is never seen in another.

Each host site is a process of its own that is talked to over HTTP; all of them ask one Medblocks at
one address, that answers each API key differently.
"""
