"""A local stand-in of Medblocks: its API and a make-believe patient portal, for development.

This folder's ``README.md`` lists what it does not reproduce, and what it does.
"""
