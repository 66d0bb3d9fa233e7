"""A local stand-in of Medblocks: its API and a make-believe patient portal, for development.

What it does not reproduce, and what it does, is in this folder's ``README.md``.
"""
