"""Rows of the tables of the operator's pages: the same for a template and for a page's script."""

from typing import Any


def table_row(
    id: str, *cells: object, warns: bool = False, link: str = "", href: str = ""
) -> dict[str, Any]:
    """Return a row of a table.

    Args:
        id: of the row among those of its table.
        warns: whether the row is emphasised.
        link: the address to close what the row shows; "": it cannot be closed.
        href: where the first cell leads to; "": nowhere.
    """
    texts = [str(cell) for cell in cells]
    return {"id": id, "cells": texts, "warns": warns, "link": link, "href": href}
