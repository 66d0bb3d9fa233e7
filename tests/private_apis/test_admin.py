"""The private APIs of Django's admin are what they were."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.admin.exceptions import DisallowedModelAdminToField
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.models import Group
from django.http import HttpResponse, JsonResponse, QueryDict
from django.urls import path

from tests.private_apis.uses import proves


class NameFilter(admin.ListFilter):
    title = "name"

    def __init__(self, request, params, model, model_admin):
        super().__init__(request, params, model, model_admin)
        self.values = params.pop("named", None)

    def expected_parameters(self):
        return ["named"]

    def has_output(self):
        return True

    def choices(self, changelist):
        return []

    def queryset(self, request, queryset):
        return queryset.filter(name__in=self.values) if self.values else queryset


class GroupAdmin(admin.ModelAdmin):
    list_filter = (NameFilter,)
    search_fields = ("name",)


GROUP_ADMIN = GroupAdmin(Group, admin.AdminSite())


@pytest.fixture
def show_groups(admin_user, rf):
    """A request for the list of the groups "one" and "two"."""
    Group.objects.bulk_create([Group(name="one"), Group(name="two")])

    def request(**parameters):
        found = rf.get("/", parameters)
        found.user = admin_user
        return found

    return request


@proves("ModelAdmin.urls")
def test_site_includes_the_urls_of_a_model_admin():
    class UrlsAdmin(admin.ModelAdmin):
        urls = [path("ours/", HttpResponse, name="ours")]

    site = admin.AdminSite()
    site.register(Group, UrlsAdmin)
    assert UrlsAdmin.urls in [getattr(each, "url_patterns", None) for each in site.get_urls()]


@proves("URLPattern.callback")
def test_callback_assigned_to_a_pattern_is_the_view():
    pattern = path("", HttpResponse)
    pattern.callback = JsonResponse
    assert pattern.resolve("").func is JsonResponse


@proves("ModelAdmin.opts")
def test_opts_are_the_models():
    assert GROUP_ADMIN.opts is Group._meta


@proves("ModelAdmin.get_object")
def test_get_object_finds_by_the_id_in_the_address(show_groups):
    group = Group.objects.get(name="one")
    assert GROUP_ADMIN.get_object(show_groups(), str(group.pk)) == group
    assert GROUP_ADMIN.get_object(show_groups(), "x") is None


@proves("ModelAdmin.to_field_allowed")
def test_to_field_that_is_not_allowed_is_refused(show_groups):
    assert GROUP_ADMIN.to_field_allowed(show_groups(), "id")
    assert not GROUP_ADMIN.to_field_allowed(show_groups(), "name")
    assert not GROUP_ADMIN.to_field_allowed(show_groups(), "nonsense")
    with pytest.raises(DisallowedModelAdminToField):
        GROUP_ADMIN.get_changelist_instance(show_groups(_to_field="name"))


@proves("ModelAdmin.get_changelist_instance")
def test_changelist_of_an_unknown_parameter_is_refused(show_groups):
    assert isinstance(GROUP_ADMIN.get_changelist_instance(show_groups()), ChangeList)
    with pytest.raises(IncorrectLookupParameters):
        GROUP_ADMIN.get_changelist_instance(show_groups(nonsense="1"))


@proves("TemplateResponse.context_data.cl")
def test_context_of_the_list_has_the_changelist(show_groups):
    response = GROUP_ADMIN.changelist_view(show_groups())
    assert isinstance(response.context_data["cl"], ChangeList)


@proves("ChangeList.root_queryset")
@proves("ChangeList.query")
@proves("ChangeList.params")
@proves("ChangeList.queryset")
@proves("ChangeList.result_list")
def test_changelist_has_what_is_asked_for_and_its_rows(show_groups):
    changelist = GROUP_ADMIN.get_changelist_instance(show_groups(q="o", named="two"))
    assert (changelist.query, changelist.params) == ("o", {"q": "o", "named": "two"})
    assert changelist.root_queryset.db == "default"
    assert changelist.root_queryset.count() == 2
    assert [each.name for each in changelist.queryset] == ["two"]
    assert [each.name for each in changelist.result_list] == ["two"]


@proves("ChangeList.get_queryset")
@proves("ListFilter")
def test_filter_is_left_out_by_its_parameter(show_groups):
    changelist = GROUP_ADMIN.get_changelist_instance(show_groups(named="two"))
    assert changelist.filter_specs[0].values == ["two"]
    rows = changelist.get_queryset(show_groups(named="two"), exclude_parameters=["named"])
    assert rows.count() == 2


@proves("ChangeList.get_results")
def test_changelist_gets_its_results_by_the_overridden_method(show_groups, monkeypatch):
    class OneResult(ChangeList):
        def get_results(self, request):
            super().get_results(request)
            self.result_list = self.result_list[:1]

    monkeypatch.setattr(GROUP_ADMIN, "get_changelist", lambda _request: OneResult)
    assert len(GROUP_ADMIN.get_changelist_instance(show_groups()).result_list) == 1


@proves("ChangeList.get_query_string")
def test_query_string_takes_a_new_value_and_none(show_groups):
    changelist = GROUP_ADMIN.get_changelist_instance(show_groups(q="o", named="two"))
    assert changelist.get_query_string({"named": None}) == "?q=o"
    query = QueryDict(changelist.get_query_string({"named": "one"})[1:])
    assert query.dict() == {"q": "o", "named": "one"}
