"""A patient's connections: the list of them, and the end of one."""
