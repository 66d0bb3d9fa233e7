"""The calls about facilities: Medblocks' ``/connections``, its catalog."""

from __future__ import annotations

from collections.abc import Iterator

from medblocks_connect.api.errors import UnexpectedReplyError, without_frames
from medblocks_connect.api.lists import build_page_query, iterate_pages
from medblocks_connect.api.resources import FhirSource, Page
from medblocks_connect.api.transport import Call, Transport


class Connections:
    """The catalog of facilities."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @without_frames
    def list(
        self,
        *,
        q: str = "",
        type: str = "",  # noqa: A002 - the API's own name of the parameter
        limit: int = 20,
        starting_after: str = "",
        timeout: float | None = None,
    ) -> Page[FhirSource]:
        """Return one page of facilities whose name holds ``q``; ``limit`` is 1 to 100.

        An item that cannot be read is left out and counted in the page's ``unreadable``.
        """
        query = build_page_query(limit, starting_after, q=q, type=type)
        call = Call("GET", "/connections", query=query, timeout=timeout)

        def read(payload: object) -> Page[FhirSource]:
            return Page.from_json(payload, FhirSource.from_json, leaves_out_unreadable=True)

        return self._transport.call(call, read)

    def iterate(
        self,
        *,
        q: str = "",
        type: str = "",  # noqa: A002 - the API's own name of the parameter
        limit: int = 100,
        timeout: float | None = None,
    ) -> Iterator[FhirSource]:
        """Return all facilities, asking for each page of ``limit`` when it is needed."""
        return iterate_pages(
            lambda cursor: self.list(
                q=q, type=type, limit=limit, starting_after=cursor, timeout=timeout
            )
        )

    @without_frames
    def retrieve(self, connection_id: str, *, timeout: float | None = None) -> FhirSource:
        """Return one facility by its id, or by its raw ``fhir_base_url``."""

        def read(payload: object) -> FhirSource:
            facility = FhirSource.from_json(payload)
            names = (facility.id, facility.fhir_base_url.rstrip("/"))
            if connection_id not in names and connection_id.rstrip("/") not in names:
                raise UnexpectedReplyError("The answer is another facility.")
            return facility

        call = Call(
            "GET",
            "/connections/{connection_id}",
            ids={"connection_id": connection_id},
            timeout=timeout,
        )
        return self._transport.call(call, read)
