"""The demo: a running clinic with patients, staff and a history that really happened."""
