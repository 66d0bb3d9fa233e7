"""The private APIs of Django, but for its admin, are what they were."""

from __future__ import annotations

import pytest
from django import dispatch
from django.conf import UserSettingsHolder, settings
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.handlers.asgi import ASGIRequest
from django.db import connections, models, transaction
from django.http import HttpResponse, QueryDict
from django.middleware.csrf import CsrfViewMiddleware
from django.template import Context, Template, engines
from django.template.base import FilterExpression, Origin
from django.template.loader_tags import BlockNode, ExtendsNode
from django.template.response import SimpleTemplateResponse
from django.test import AsyncRequestFactory, RequestFactory, override_settings
from django.urls import path
from django.utils.log import log_response

from tests.private_apis.uses import proves


@proves("CsrfViewMiddleware._reject")
def test_csrf_reject_gives_the_answer_to_a_failed_check(rf):
    class Check(CsrfViewMiddleware):
        def _reject(self, request, reason):
            return HttpResponse(reason)

    check, request = Check(HttpResponse), rf.post("/")
    check.process_request(request)
    assert check.process_view(request, HttpResponse, (), {}).status_code == 200


@proves("HttpResponse._has_been_logged")
@pytest.mark.parametrize("is_told_of", [False, True])
def test_answer_that_has_been_logged_is_not_logged_by_django(rf, caplog, is_told_of):
    answer = HttpResponse(status=503)
    if is_told_of:
        answer._has_been_logged = True
    log_response("Service Unavailable", response=answer, request=rf.get("/"))
    assert bool(caplog.records) is not is_told_of


@proves("Signal._log_robust_failure")
def test_signal_logs_a_receivers_error_by_the_overridden_method():
    logged = []

    class Signal(dispatch.Signal):
        def _log_robust_failure(self, receiver, err):
            logged.append((receiver, err))

    def fail(**_kwargs):
        raise LookupError

    signal = Signal()
    signal.connect(fail)
    ((_, error),) = signal.send_robust(None)
    assert logged == [(fail, error)]


@proves("LazySettings._wrapped")
def test_overridden_settings_wrap_a_user_settings_holder():
    before = vars(settings)["_wrapped"]
    with override_settings(DEBUG=False):
        assert isinstance(vars(settings)["_wrapped"], UserSettingsHolder)
    assert vars(settings)["_wrapped"] is before


@proves("engines")
def test_engines_iterate_over_their_aliases():
    assert list(engines) == ["django"]


@proves("DjangoTemplates.engine")
@proves("Template.origin")
def test_template_takes_origin_and_the_engine_of_a_backend():
    template = Template("a", origin=Origin("ours"), engine=engines["django"].engine)
    assert (template.origin.name, template.engine) == ("ours", engines["django"].engine)


@proves("backends.django.Template.template")
def test_template_of_the_backend_holds_a_template():
    assert isinstance(engines["django"].get_template("admin/base.html").template, Template)


@proves("Template.nodelist")
def test_nodelist_has_every_block_by_name():
    template = Template(
        "{% block a %}{% if b %}{% block c %}{% endblock %}{% endif %}{% endblock %}"
    )
    assert [node.name for node in template.nodelist.get_nodes_by_type(BlockNode)] == ["a", "c"]


@proves("ExtendsNode.parent_name")
def test_parent_name_resolves_to_the_name_of_the_template_above():
    (node,) = Template('{% extends "above.html" %}').nodelist.get_nodes_by_type(ExtendsNode)
    assert isinstance(node.parent_name, FilterExpression)
    assert node.parent_name.resolve(Context()) == "above.html"


def show_replaced(request):
    response = SimpleTemplateResponse(engines["django"].from_string("Django's"))
    response.render = lambda: HttpResponse("ours")
    return response


urlpatterns = [path("replaced/", show_replaced)]


@proves("SimpleTemplateResponse.render")
@pytest.mark.urls(__name__)
def test_render_replaced_on_a_response_is_called(client):
    assert client.get("/replaced/").content == b"ours"


@proves("ASGIRequest.scope")
def test_asgi_request_has_the_servers_scope():
    request = AsyncRequestFactory().get("/?a=1", headers={"Referer": "b"})
    assert isinstance(request, ASGIRequest)
    assert request.scope["query_string"] in {b"a=1", "a=1"}
    assert (b"referer", b"b") in [tuple(pair) for pair in request.scope["headers"]]


@proves("HttpRequest.GET")
@proves("HttpRequest.POST")
@pytest.mark.parametrize("factory", [RequestFactory, AsyncRequestFactory])
def test_query_and_form_are_emptied_by_assignment(factory):
    request = factory().post("/?a=1", {"b": "2"})
    assert (request.GET["a"], request.POST["b"]) == ("1", "2")
    request.GET = request.POST = QueryDict()
    assert not request.GET
    assert not request.POST


@proves("BaseCache.incr")
def test_incr_forgets_the_timeout():
    class Cache(BaseCache):
        def get(self, key, default=None, version=None):
            return 1

        def set(self, key, value, timeout=DEFAULT_TIMEOUT, version=None):
            self.kept = value, timeout

    cache = Cache({})
    assert cache.incr("key") == 2
    assert cache.kept == (2, DEFAULT_TIMEOUT)


@proves("DatabaseWrapper.in_atomic_block")
@pytest.mark.django_db(transaction=True)
def test_connection_tells_whether_a_transaction_is_open():
    assert connections["default"].in_atomic_block is False
    with transaction.atomic():
        assert connections["default"].in_atomic_block is True


@proves("DatabaseFeatures.has_select_for_update_skip_locked")
def test_database_tells_whether_it_skips_locked_rows():
    assert connections["default"].features.has_select_for_update_skip_locked in {True, False}


@proves("DatabaseOperations.quote_name")
def test_quote_name_puts_quotes_around_a_name():
    assert connections["default"].ops.quote_name("table")[1:-1] == "table"


@proves("DatabaseWrapper.mysql_is_mariadb")
def test_mysql_connection_tells_mariadb_apart():
    pytest.importorskip("MySQLdb", reason="needs mysqlclient")
    from django.db.backends.mysql.base import DatabaseWrapper

    assert hasattr(DatabaseWrapper, "mysql_is_mariadb")


@proves("DatabaseWrapper.settings_dict")
def test_settings_dict_has_the_databases_name():
    assert connections["default"].settings_dict["NAME"]


@proves("Field.db_parameters")
def test_db_parameters_have_the_columns_collation():
    field = models.CharField(max_length=5, db_collation="loose")
    assert field.db_parameters(connections["default"])["collation"] == "loose"


@proves("HttpRequest._read_started")
@proves("HttpRequest._body")
def test_body_that_was_read_in_part_is_told_from_one_that_is_there(rf):
    untouched, whole, half = (rf.post("/", b"body", content_type="text/plain") for _ in range(3))
    assert whole.body == b"body"
    assert half.read(2) == b"bo"
    read = [(each._read_started, hasattr(each, "_body")) for each in (untouched, whole, half)]
    assert read == [(False, False), (True, True), (True, False)]
