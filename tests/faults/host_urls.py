"""The URLs of a host that keeps the app far below its root."""

from django.urls import include, path

from tests.faults.host import PREFIX
from tests.urls import urlpatterns as ordinary

kept = [each for each in ordinary if str(each.pattern) != "records/"]
urlpatterns = [*kept, path(f"{PREFIX}/", include("medblocks_connect.urls"))]
