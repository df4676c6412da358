"""The tag for tables of the operator's pages."""

from typing import Any

from django import template

register = template.Library()


@register.inclusion_tag("administration/table.html")
def operator_table(name: str, rows: Any, caption: str, columns: str) -> dict[str, Any]:
    """Show a table.

    Args:
        rows: as `ConnectionsView.tables` has them.
        columns: the headings, with bars between them.
    """
    return {"name": name, "rows": rows, "caption": caption, "columns": columns.split("|")}
