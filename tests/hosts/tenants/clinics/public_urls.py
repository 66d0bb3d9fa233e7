"""The URLs of the public schema, which has no patients."""

urlpatterns = []
