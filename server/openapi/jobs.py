"""Jobs of many pictures, as server/routes/inkling/jobs.py takes them; part of Inkling's own dialect."""

from typing import Any

from server.openapi.inkling import EXPLAIN_IF, MODEL, OPTIONS, TAG, WHY
from server.openapi.parts import JSON, answer, errors, in_path, listed, nullable, operation, query, record, ref
from server.openapi.schemas import OPTION_VALUE, TEXT, WHOLE

ARCHIVES = ("application/zip", "application/octet-stream", "application/vnd.apache.parquet")
NOT_OF_JOBS = ("budget_ms", "quality")
ID = in_path("id", "the `id` of the job")
JOB = record(
    id=TEXT,
    state={"enum": ["queued", "running", "done", "failed", "cancelled"]},
    created={**TEXT, "format": "date-time"},
    model=record(name=TEXT, version=TEXT),
    options={"type": "object", "additionalProperties": TEXT},
    explain_if=nullable(TEXT),
    rows={**nullable(WHOLE), "description": "pictures; null until they are counted"},
    done={**WHOLE, "description": "pictures that are read and, where they are to be, explained"},
    explained=WHOLE,
    errors={**WHOLE, "description": "pictures with an error in their row"},
    codes={"type": "object", "additionalProperties": WHOLE, "description": "how often each error came; when done"},
    error=nullable(record(error=TEXT, code=TEXT)),
    links=record(self=TEXT, result=nullable(TEXT)),
)
BODY = {
    "required": True,
    "description": "A zip of pictures, an npz or npy of them as numbers, or Parquet, recognised by its bytes; or JSON "
    "with the address of such, and options beside it.",
    "content": {
        **{kind: {} for kind in ARCHIVES},
        JSON: {"schema": {**record(source=TEXT), "additionalProperties": OPTION_VALUE}},
    },
}
SCHEMAS = {"Job": JOB}
PATHS: dict[str, Any] = {
    "/v1/jobs": {
        "post": operation(
            TAG,
            "What and why, of many pictures, in the background; where INKLING_JOBS names a folder",
            {
                "202": answer("Taken.", {JSON: ref("Job")}, Location="where the job can be looked at"),
                **errors(400, 403, 404, 413, 415, 422, 503, 507),
            },
            [
                *MODEL,
                *(one for one in WHY if one["name"] not in NOT_OF_JOBS),
                EXPLAIN_IF,
                query("array", TEXT, "the array of an npz, or the column of Parquet, that has the pictures"),
                query("float16", {"type": "boolean", "default": False}, "whether maps and pixels have 16 bits"),
                query("source", TEXT, "in JSON only: an address below one that INKLING_JOB_SOURCES names"),
                *OPTIONS,
            ],
            BODY,
        ),
        "get": operation(
            TAG,
            "All jobs that are kept",
            {"200": answer("The oldest first.", {JSON: record(jobs=listed(ref("Job")))}), **errors(400, 403)},
        ),
    },
    "/v1/jobs/{id}": {
        "get": operation(
            TAG, "How far a job is", {"200": answer("The job.", {JSON: ref("Job")}), **errors(400, 403, 404)}, [ID]
        ),
        "delete": operation(
            TAG,
            "Cancel a job, or remove its result",
            {
                "200": answer("Gone.", {JSON: record(id=TEXT, state={"enum": ["cancelled", "removed"]})}),
                **errors(400, 403, 404),
            },
            [ID],
        ),
    },
    "/v1/jobs/{id}/result": {
        "get": operation(
            TAG,
            "What came out of a job",
            {
                "200": answer("`manifest.json`, and Parquet files in `data/`.", {"application/zip": {}}),
                **errors(400, 403, 404, 409),
            },
            [ID],
        )
    },
}
