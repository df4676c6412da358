"""HTTP requests to a web process of this machine, short and without a proxy."""

import http.client
import json
from typing import Any

from quotes.doctor.deployment import own_host

_MAX_ANSWER_BYTES = 1_000_000


def get_json(port: int, path: str, *, timeout_s: float) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON object of an answer; {} if it is none.

    Raises:
        OSError, http.client.HTTPException: nobody listens there, or it does not speak HTTP.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path, headers={"Host": own_host()})
        response = connection.getresponse()
        status, body = response.status, response.read(_MAX_ANSWER_BYTES)
    finally:
        connection.close()
    try:
        answer = json.loads(body)
    except ValueError:
        return status, {}
    return status, answer if isinstance(answer, dict) else {}
