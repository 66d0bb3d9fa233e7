"""The WSGI application of the site; it needs example_project/ on its Python path."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "riverbend.settings")
application = get_wsgi_application()
