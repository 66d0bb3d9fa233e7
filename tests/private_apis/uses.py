"""Private and undocumented APIs of other libraries: one list of those we lean on, and a test each.

A new version of Django, requests, urllib3 or Python may change any of them without notice; then
the test of it says which modules of ours to look at. What is only imported is not listed: without
it nothing starts.
"""

from __future__ import annotations

import functools
from typing import NamedTuple


class Use(NamedTuple):
    modules: str  # paths below medblocks_connect/, or from the root for the example project
    reason: str


PRIVATE_APIS = {
    # Django
    "CsrfViewMiddleware._reject": Use(
        "views/decorators.py sandbox/portal.py", "The answer to a failed check is the view's own."
    ),
    "HttpResponse._has_been_logged": Use(
        "views/responses.py views/webhook_receiver.py",
        "Django logs and mails no answer that was told of already.",
    ),
    "Signal._log_robust_failure": Use(
        "signals.py", "Django's own log line has the error's text, which may name a patient."
    ),
    "LazySettings._wrapped": Use(
        "sandbox/checks.py", "A UserSettingsHolder tells an override from a test runner."
    ),
    "engines": Use("layout.py", "It is iterated to find the engine that has the host's base."),
    "DjangoTemplates.engine": Use("layout.py", "Our frame is compiled by the host's engine."),
    "backends.django.Template.template": Use("layout.py", "It has the nodes to look through."),
    "Template.nodelist": Use("layout.py", "It has the blocks of the host's base template."),
    "ExtendsNode.parent_name": Use("layout.py", "It leads to the blocks of the template above."),
    "Template.origin": Use("layout.py", "Template() takes origin and engine beside the source."),
    "SimpleTemplateResponse.render": Use(
        "error_reports.py", "It is replaced on a response to withhold data where rendering fails."
    ),
    "ASGIRequest.scope": Use("error_reports.py", "It has the query and headers once more."),
    "HttpRequest.GET": Use("error_reports.py views/requests.py", "It is emptied by assignment."),
    "HttpRequest._read_started": Use(
        "views/requests.py", "It tells that somebody before us read of the body."
    ),
    "HttpRequest._body": Use("views/requests.py", "The whole body is there, to be read again."),
    "HttpRequest.POST": Use("error_reports.py views/requests.py", "It is emptied by assignment."),
    "BaseCache.incr": Use("cache.py", "It forgets the entry's timeout, which touch() sets anew."),
    "DatabaseWrapper.in_atomic_block": Use(
        "attempts/database_retry.py models/installation.py",
        "Inside a caller's transaction a refused write cannot be repeated.",
    ),
    "DatabaseFeatures.has_select_for_update_skip_locked": Use(
        "attempts/reconcile.py", "Rows are leased by locks where the database can skip locked ones."
    ),
    "DatabaseOperations.quote_name": Use(
        "admin/attempt_search.py admin/exact_values.py", "Raw SQL has the tables' names."
    ),
    "DatabaseWrapper.mysql_is_mariadb": Use(
        "models/fields.py", "MariaDB and MySQL name the NO PAD collation differently."
    ),
    "DatabaseWrapper.settings_dict": Use(
        "example_project/riverbend/management/commands/demo.py", "The demo has its own file."
    ),
    "Field.db_parameters": Use("models/fields.py", "Its collation is that of the column."),
    # Django's admin
    "ModelAdmin.urls": Use("admin/read_only.py", "Every view of the admin is wrapped there."),
    "URLPattern.callback": Use("admin/read_only.py", "The view is wrapped by assignment."),
    "ModelAdmin.opts": Use(
        "admin/read_only.py admin/overview.py admin/patient_pages.py", "Django's templates read it."
    ),
    "ModelAdmin.get_object": Use("admin/attempt_list.py", "The page's attempt is read as it does."),
    "ModelAdmin.to_field_allowed": Use(
        "admin/read_only.py", "What it forbids is left out before Django makes a 400 of it."
    ),
    "ModelAdmin.get_changelist_instance": Use(
        "admin/attempt_list.py", "The export has the list's rows, or IncorrectLookupParameters."
    ),
    "TemplateResponse.context_data.cl": Use("admin/attempt_list.py", "It is the list on show."),
    "ChangeList.root_queryset": Use("admin/attempt_list.py", "It says which database is read."),
    "ChangeList.query": Use("admin/attempt_list.py", "It is the text that is searched for."),
    "ChangeList.params": Use(
        "admin/attempt_list.py admin/filters.py", "They are the filters in the address, as text."
    ),
    "ChangeList.queryset": Use("admin/attempt_list.py", "It has the rows of the whole list."),
    "ChangeList.get_queryset": Use(
        "admin/attempt_list.py", "Our search is added; exclude_parameters leaves a filter out."
    ),
    "ChangeList.get_results": Use("admin/patient_pages.py", "The page's rows are read anew."),
    "ChangeList.result_list": Use("admin/patient_pages.py", "It is replaced by assignment."),
    "ChangeList.get_query_string": Use("admin/filters.py", "It is the address of a choice."),
    "ListFilter": Use("admin/filters.py", "It takes its parameters out of lists of values."),
    # requests, urllib3 and http.client
    "HTTPConnection._new_conn": Use(
        "api/deadline.py", "Names are resolved and addresses tried within the call's time."
    ),
    "HTTPConnection.sock": Use("api/deadline.py", "Each wait for it has the time that is left."),
    "HTTPConnection.response_class": Use("api/deadline.py", "The answer is read in our time."),
    "HTTPResponse.fp": Use("api/deadline.py", "It is a buffer over the socket, and is replaced."),
    "HTTPConnectionPool.ConnectionCls": Use("api/deadline.py", "Connections are ours."),
    "PoolManager.pool_classes_by_scheme": Use("api/deadline.py", "Pools are ours."),
    "HTTPAdapter.poolmanager": Use("api/deadline.py", "It opens the pools of requests."),
    "HTTPConnection._tunnel": Use(
        "api/deadline.py", "What a proxy left of the time to connect is what TLS has."
    ),
    "HTTPAdapter.proxy_manager_for": Use("api/deadline.py", "A proxy's pools are ours, too."),
    "ConnectTimeoutError": Use("api/deadline.py", "It means to requests: nothing was sent."),
    "Session.get_redirect_target": Use(
        "api/kept_connections.py", "Without a target no redirect's body is read."
    ),
    "ConnectionError.args": Use(
        "api/transport.py", "The first one's reason tells that nothing was sent."
    ),
    "urllib3.connectionpool": Use("api/deadline.py", "Loggers of these names show whole URLs."),
}

DOCUMENTED = {
    "_meta",  # Django, "Model _meta API"
    "_replace",  # Python, collections.namedtuple
}
"""Names with an underscore that their libraries document."""

PROVEN = set()


def proves(name):
    """Mark the test of ``name``; where it fails, say who leans on that and why."""
    PROVEN.add(name)
    use = PRIVATE_APIS[name]

    def decorate(test):
        @functools.wraps(test)
        def run(*args, **kwargs):
            try:
                test(*args, **kwargs)
            except Exception as error:
                message = f"{name} is not what it was. {use.reason} See {use.modules}."
                raise AssertionError(message) from error

        return run

    return decorate
