"""The base of all our pages in the admin: evidence is looked at and never changed.

Django's view permission on the attempts is enough for all of them. Nobody adds, changes or deletes
anything here, superusers included: an outcome that staff could edit would prove nothing.
"""

# ruff: noqa: ARG002 - Django gives its hooks more than these need

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.contrib import admin, messages
from django.contrib.admin.options import TO_FIELD_VAR
from django.contrib.admin.views.main import ERROR_FLAG, IGNORED_PARAMS, PAGE_VAR
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from medblocks_connect.admin.filters import takes_parameter
from medblocks_connect.error_reports import View, report_discreetly

if TYPE_CHECKING:
    # The stubs' classes have type parameters, Django's have none at run time.
    _ModelAdmin = admin.ModelAdmin[Any]
    _Paginator = Paginator[Any]
else:
    _ModelAdmin = admin.ModelAdmin
    _Paginator = Paginator

_DJANGOS_PARAMETERS: Final = frozenset({*IGNORED_PARAMS, PAGE_VAR, ERROR_FLAG})

VIEW_PERMISSION = "medblocks_connect.view_patientconnectionattempt"

CAP: Final = 1000
"""Rows that a list counts and pages through; what is further back is found by narrowing down."""


def require_permissions(request: HttpRequest, *permissions: str) -> None:
    """Raise ``PermissionDenied`` (403) unless ``request``'s user has all ``permissions``."""
    if not request.user.has_perms(permissions):
        raise PermissionDenied


def post_with_permissions(view: View, *permissions: str) -> View:
    """Return ``view`` for POST alone (405), and for those alone who have ``permissions`` (403).

    The permission first: to whoever may not, it makes no difference how they asked.
    """

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        require_permissions(request, *permissions)
        return require_POST(view)(request, *args, **kwargs)

    return guarded


def is_detail_page(request: HttpRequest) -> bool:
    """Return whether ``request`` is for one object's page; a list reads less."""
    return bool(request.resolver_match and request.resolver_match.kwargs)


def redirect_without(request: HttpRequest, names: Iterable[str]) -> HttpResponse:
    """Redirect to the address of ``request`` without the parameters ``names``."""
    kept = request.GET.copy()
    for name in names:
        del kept[name]
    return HttpResponseRedirect(f"{request.path}?{kept.urlencode()}" if kept else request.path)


class CappedPaginator(_Paginator):
    """Pages of the first :data:`CAP` rows."""

    @cached_property
    def count(self) -> int:
        """The number of rows, at most :data:`CAP`."""
        return min(self._counted, CAP)

    @property
    def is_capped(self) -> bool:
        """Return whether there are more than were counted."""
        return self._counted > CAP

    @cached_property
    def _counted(self) -> int:
        rows = self.object_list
        if not isinstance(rows, QuerySet):
            return len(rows)
        return rows.order_by().values("pk")[: CAP + 1].count()


_LONGEST_SEARCH: Final = 500
"""Characters of the longest value that is searched; of a thousand words SQLite makes an error."""


class ReadOnlyAdmin(_ModelAdmin):
    """A list and pages to read, fast however long the table is."""

    view_permission = VIEW_PERMISSION
    actions = None
    list_per_page = 50
    list_max_show_all = 200
    paginator = CappedPaginator
    # Both would count the whole table (measured in benchmarks/admin.py).
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    # Only the order that an index serves.
    sortable_by: ClassVar[list[str] | tuple[str, ...] | None] = []
    # The patient's page is for the patient: for staff it is a 404.
    view_on_site = False

    class Media:
        css = {"all": ["medblocks_connect/admin.css"]}
        js = ["medblocks_connect/admin.js"]

    @property
    def urls(self) -> list[URLPattern]:
        """Return Django's and ours, each without patients' data in the reports of its errors."""
        patterns: list[URLPattern] = super().urls
        for pattern in patterns:
            pattern.callback = report_discreetly(self._leave_out_other_key(pattern.callback))
        return patterns

    def _leave_out_other_key(self, view: View) -> View:
        """Return ``view``, led to without a "to field" that Django would refuse (400, and mail)."""

        @wraps(view)
        def cleaned(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            field = request.GET.get(TO_FIELD_VAR)
            if field and not self.to_field_allowed(request, field):
                return redirect_without(request, [TO_FIELD_VAR])
            return view(request, *args, **kwargs)

        return cleaned

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Return whether a filter of the list takes ``lookup``.

        Django allows every column and every comparison, also of what no list shows: letter by
        letter, a hidden id would be read.
        """
        offered = self.list_filter if request is None else self.get_list_filter(request)
        return any(takes_parameter(list_filter, lookup) for list_filter in offered)

    def leave_out_lookups(self, request: HttpRequest) -> HttpResponse | None:
        """Lead to the list without what its filters do not take, and say so; None where all is.

        Django would answer 400 to a lookup that is not allowed, and mail that to ``ADMINS``.
        """
        others = [
            name
            for name in request.GET
            if name not in _DJANGOS_PARAMETERS and not self.lookup_allowed(name, "", request)
        ]
        if not others or not self.has_view_permission(request):
            return None
        text = gettext("The address named a filter that this list does not have: it was left out.")
        messages.warning(request, text)
        return redirect_without(request, others)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search as Django does; what is longer than any value finds nothing."""
        if len(search_term) > _LONGEST_SEARCH:
            return queryset.none(), False
        return super().get_search_results(request, queryset, search_term)

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """Return the object; read once for a request, though Django and we both ask for it."""
        read: dict[str, Any] = request.__dict__.setdefault("medblocks_objects", {})
        if object_id not in read:
            read[object_id] = super().get_object(request, object_id, from_field)
        return read[object_id]

    def describe_page(self, request: HttpRequest, object_id: str) -> dict[str, Any]:
        """Return what the template of one object's page needs beside Django's own."""
        return {}

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one object's page."""
        context = {**(extra_context or {}), **self.describe_page(request, object_id)}
        return super().change_view(request, object_id, form_url, context)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list under its own name: there is nothing to select."""
        if cleaned := self.leave_out_lookups(request):
            return cleaned
        title = capfirst(self.opts.verbose_name_plural)
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the view permission is there."""
        return bool(request.user.has_perm(self.view_permission))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return whether our section shows on the admin's first page."""
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: attempts are made by patients."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: evidence is not changed."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: what is too old goes by ``medblocks_prune``."""
        return False
