"""Documents and refusals as responses of HTTP."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from fastseq.serve.limits import Refused

_RETRY = (429, 503)


def of_document(document: Any, status: int = 200) -> Response:
    """A response in JSON."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # a symbol of a model may be a lone surrogate, which UTF-8 does not have
    return Response(text.encode("utf-8", "replace"), status, media_type="application/json")


def of_refusal(refused: Refused) -> Response:
    """A response that says why a request is not answered."""
    response = of_document(refused.to_json(), refused.status)
    if refused.status in _RETRY:
        response.headers["retry-after"] = "1"
    return response
