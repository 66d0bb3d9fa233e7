"""The load test: patients and a stand-in for Medblocks against gunicorn; see ``__main__``."""
