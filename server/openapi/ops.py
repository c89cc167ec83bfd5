"""The endpoints for operators, as server/routes/ops.py and docs.py answer."""

from typing import Any

from server.openapi.parts import JSON, answer, errors, in_path, listed, operation, record, unchanged
from server.openapi.schemas import FLAG, FREE, TEXT

TAG = "operations"
ABOUT = "Is it alive, can it answer, and how is it spoken to."
HTML = "text/html; charset=utf-8"
FILES = ("text/javascript", "text/css", "image/svg+xml", "text/plain")
METRICS = "text/plain; version=0.0.4; charset=utf-8"
READY = record(ready=FLAG, explain={"enum": ["ready", "loading", "off"]})


def _get(summary: str, contents: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"get": operation(TAG, summary, {"200": answer(summary, contents), **more})}


PROBES = ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready")  # under any name of the host
OPEN = (
    *PROBES,
    "/",
    "/embed",
    "/static/{name}",
    "/favicon.ico",
    "/openapi.json",
    "/docs",
    "/docs/{name}",
)  # to everybody, as often as they like
PATHS: dict[str, Any] = {
    "/": _get(
        "Alive, and where to look; a page to draw on for who names text/html in Accept",
        {JSON: record(status=TEXT, see=listed(TEXT)), HTML: TEXT},
        **unchanged(),
    ),
    "/embed": _get(
        "The page's drawing pad alone, for frames; its query has its attributes", {HTML: TEXT}, **unchanged()
    ),
    "/static/{name}": {
        "get": operation(
            TAG,
            "Parts of these pages, which other pages may load",
            {
                "200": answer("A file.", {f"{kind}; charset=utf-8": TEXT for kind in FILES}),
                **unchanged(),
                **errors(404),
            },
            [in_path("name", "of the file, with its folder")],
        )
    },
    "/favicon.ico": _get("The service's icon", {"image/svg+xml; charset=utf-8": TEXT}, **unchanged()),
    "/livez": _get("Whether the process is alive", {JSON: record(status=TEXT)}),
    "/readyz": _get(
        "Whether predictions can be answered; explanations may still be loading",
        {JSON: READY},
        **{"503": answer("Not yet.", {JSON: READY})},
    ),
    "/metrics": _get("Numbers of all processes for Prometheus", {METRICS: TEXT}),
    "/openapi.json": _get("This description", {JSON: FREE}),
    "/docs": _get("This description as a page to read and to try", {HTML: TEXT}, **unchanged()),
    "/docs/{name}": {
        "get": operation(
            TAG,
            "Parts of that page",
            {
                "200": answer("A file.", {"text/javascript; charset=utf-8": TEXT, "text/css; charset=utf-8": TEXT}),
                **unchanged(),
                **errors(404),
            },
            [in_path("name", "of the file")],
        )
    },
}
