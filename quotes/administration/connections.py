"""The page of connections: who is connected, how well they are served, and closing one."""

from typing import Any
from urllib.parse import urlencode

import redis
from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from instruments.errors import InstrumentsError
from instruments.index import index
from quotes.access.connection_counts import counted_processes
from quotes.administration.operation import Operation
from quotes.administration.pages import moment, number, operator_page, show, size
from quotes.administration.tables import table_row
from quotes.errors import quoted
from quotes.store.connection_reports import (
    Answers,
    ConnectionRow,
    ask_processes,
    most_interesting,
    sum_of_symbols,
)
from quotes.store.request_clients import cause_of, request_client

VIEW, CLOSE = "access.view_connections", "access.close_connections"
SHOWN = 100
_MAX_FILTER = 100
FILTERS = ("user", "address", "symbol")


def _filters_of(request: HttpRequest) -> dict[str, str]:
    """Return what the operator looks for: user, address and symbol."""
    return {name: request.GET.get(name, "").strip()[:_MAX_FILTER] for name in FILTERS}


class ConnectionsView:
    """What the page shows at one moment, in texts: the same for the page and for its script.

    Attributes:
        problem: why there is nothing to show, or "".
        tables: name of a table -> its rows; see `table_row`.
        summary: how many connections there are, and how many are shown.
    """

    def __init__(self, filters: dict[str, str], *, may_close: bool) -> None:
        self.problem = ""
        self.summary = ""
        operation = Operation.read()
        self.tables: dict[str, list[dict[str, Any]]] = {
            "parts": operation.rows,
            "connections": [],
            "processes": [],
            "symbols": [],
        }
        if operation.redis_problem:
            self.problem = f"Connections cannot be listed: Redis {operation.redis_problem}."
            return
        symbol = filters["symbol"]
        try:
            if symbol:
                symbol = str(index.resolve(symbol))
        except InstrumentsError as error:
            self.problem = f"{error}."
            return
        try:
            answers = ask_processes(
                limit=SHOWN, user=filters["user"], address=filters["address"], symbol=symbol
            )
            with request_client() as client:
                counted = counted_processes(client)
        except redis.RedisError as error:
            self.problem = f"Connections cannot be listed: {cause_of(error)}."
            return
        self._fill(answers, counted, may_close=may_close)

    def _fill(self, answers: Answers, counted: dict[str, int], *, may_close: bool) -> None:
        reports = answers.reports
        rows = most_interesting((row for one in reports for row in one.rows), SHOWN)
        answered = {one.process for one in reports}
        silent = {name: count for name, count in counted.items() if name not in answered}
        matching = sum(one.matching for one in reports)
        total = sum(one.connections for one in reports) + sum(silent.values())
        self.summary = (
            f"{number(len(rows))} of {number(matching)} shown, "
            f"{number(total)} in all, {sum(one.slow for one in reports)} slow; "
            f"{len(reports)} of {max(answers.processes, len(answered | counted.keys()))} "
            "processes answered"
        )
        self.tables["connections"] = [row_of(row, may_close=may_close) for row in rows]
        self.tables["processes"] = [
            table_row(
                one.process,
                one.machine,
                one.pid,
                moment(one.began_at),
                number(one.connections),
                number(one.slow),
                number(one.prices_per_s),
                number(one.messages_per_s),
                f"{size(one.bytes_per_s)}/s",
                number(one.failed_clients),
            )
            for one in reports
        ] + [
            table_row(
                name, "does not answer", "", "", number(count), "", "", "", "", "", warns=True
            )
            for name, count in silent.items()
        ]
        self.tables["symbols"] = [
            table_row(symbol, symbol, number(count)) for symbol, count in sum_of_symbols(reports)
        ]

    def values(self) -> dict[str, Any]:
        """Return it for a template, or as JSON for the script."""
        return {"problem": self.problem, "summary": self.summary, "tables": self.tables}


def row_of(row: ConnectionRow, *, may_close: bool) -> dict[str, Any]:
    """Return a connection as a row of a table."""
    link = ""
    if may_close:
        link = f"{reverse('admin:connection_close')}?{urlencode({'id': row.id})}"
    return table_row(
        row.id,
        row.user or "anonymous",
        row.address,
        row.path,
        row.agent,
        moment(row.began_at),
        number(row.symbols),
        size(row.unsent) + (" slow" if row.is_slow else ""),
        number(row.conflated),
        number(row.resumed),
        warns=row.is_slow,
        link=link,
    )


@require_safe
@operator_page(VIEW)
def connections(request: HttpRequest) -> HttpResponse:
    """Show the page; without JavaScript it is as it was when it was opened."""
    filters = _filters_of(request)
    view = ConnectionsView(filters, may_close=request.user.has_perm(CLOSE))
    data = f"{reverse('admin:connections_data')}?{urlencode(filters)}"
    return show(
        request, "connections.html", "Connections", filters=filters, data=data, **view.values()
    )


@require_safe
@operator_page(VIEW)
def connections_data(request: HttpRequest) -> HttpResponse:
    """Return what the page shows now, as JSON."""
    view = ConnectionsView(_filters_of(request), may_close=request.user.has_perm(CLOSE))
    return JsonResponse(view.values())


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page(VIEW, CLOSE)
def connection_close(request: HttpRequest) -> HttpResponse:
    """Show one connection and ask whether to close it; close it when that is confirmed."""
    id = (request.POST or request.GET).get("id", "")[:_MAX_FILTER]
    is_confirmed = request.method == "POST"
    try:
        answers = ask_processes(limit=1, connection=id or "none", close=is_confirmed)
    except redis.RedisError as error:
        messages.error(request, f"Nothing was closed: {cause_of(error)}.")
        return redirect("admin:connections")
    rows = [row for one in answers.reports for row in one.rows]
    if not rows:
        messages.error(
            request, f"There is no connection {quoted(id)}, or its process does not answer."
        )
        return redirect("admin:connections")
    row = rows[0]
    if not is_confirmed:
        shown = row_of(row, may_close=False)
        return show(request, "connection_close.html", "Close a connection", row=shown, rows=[shown])
    text = f"connection of {row.user or 'an anonymous client'} at {row.address} to {row.path}"
    LogEntry.objects.create(
        user_id=int(request.user.pk or 0),
        object_id=row.id,
        object_repr=text[:200],
        action_flag=CHANGE,
        change_message="Closed.",
    )
    messages.success(request, f"Closed the {text}. Its client may connect again.")
    return redirect("admin:connections")
