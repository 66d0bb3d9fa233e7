"""The strictest policy that a host can set, and the reports that browsers send of its breaches."""

from __future__ import annotations

from django.http import HttpResponse

REPORTS_PATH = "/policy-reports/"
POLICY = f"default-src 'self'; report-uri {REPORTS_PATH}"

reports: list[bytes] = []


def collect_reports(get_response):
    def answer(request):
        if request.path == REPORTS_PATH:
            reports.append(request.body)
            return HttpResponse(status=204)
        response = get_response(request)
        response["Content-Security-Policy"] = POLICY
        return response

    return answer
