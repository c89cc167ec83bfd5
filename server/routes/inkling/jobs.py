"""Many pictures at once, in the background: POST /v1/jobs, where INKLING_JOBS is set; how far a job is, its result, and
its end."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, request, send_file, url_for

from server.bulk.jobs import Job, JobRequest, Jobs
from server.errors import BadRequest, BodyTooLarge, EmptyBody, Forbidden, InvalidOption, JobNotDone, UnknownJob
from server.inference.explain_if import Condition
from server.inference.explain_request import ABOUT, check_possible, explain_request_of
from server.options import boolean, choice, shown
from server.routes.bodies import request_body
from server.routes.inkling import parsing
from server.routes.inkling.parsing import ABOUT_MODEL
from server.routes.responses import json_answer
from server.routes.service import service

blueprint = Blueprint("jobs", __name__)

ABOUT_JOB = (*ABOUT_MODEL, "array", "explain_if", "float16", "source")
SENT = "a zip of pictures, an npz or npy of them as numbers, or Parquet"
REFUSED = re.compile(r"(^|/)\.\.(/|$)|::|[?#*%\\\s]")  # in an address: what leads elsewhere, or to several places
BEGINNINGS = (b"PK", b"PAR1", b"\x93NUMPY")


@blueprint.post("/v1/jobs")
def add() -> Response:
    jobs = _jobs()
    if "HTTP_CONTENT_ENCODING" in request.environ:
        raise BadRequest(f"the body has a Content-Encoding; send {SENT} as it is")
    if request.mimetype == "application/json":
        options = parsing.options_beside(request_body.json_object(request_body.whole_body()))
        if "source" not in options:
            raise InvalidOption("source is missing; name the address of the pictures, or send them as the body")
        job_request, read = _request(options), None
    else:
        options = parsing.query()
        if "source" in options:
            raise InvalidOption(
                "source is beside a body of another type; send it alone, as JSON, or the pictures alone"
            )
        job_request, read = _request(options), _body(jobs)
    identity = jobs.add(job_request, read)
    job = jobs.find(identity)
    assert job is not None  # it was just added
    answer = json_answer(_json(job), 202)
    answer.headers["Location"] = url_for("jobs.one", id=identity)
    return answer


@blueprint.get("/v1/jobs")
def jobs() -> Response:
    return json_answer({"jobs": [_json(job) for job in _jobs().all()]})


@blueprint.get("/v1/jobs/<name:id>")
def one(id: str) -> Response:
    return json_answer(_json(_found(id)))


@blueprint.get("/v1/jobs/<name:id>/result")
def result(id: str) -> Response:
    job = _found(id)
    if job.result is None:
        why = f": {job.summary['error']}" if job.state == "failed" else ""
        raise JobNotDone(f"the job is {job.state}{why}; its result is there when GET /v1/jobs/{id} says done")
    name = f"inkling-{id}.zip"
    return send_file(job.result.resolve(), "application/zip", as_attachment=True, download_name=name, conditional=False)


@blueprint.delete("/v1/jobs/<name:id>")
def remove(id: str) -> Response:
    job = _found(id)
    _jobs().remove(id)
    return json_answer({"id": id, "state": "removed" if job.state in ("done", "failed") else "cancelled"})


def _jobs() -> Jobs:
    found = service().jobs
    if found is None:
        raise Forbidden("this server takes no jobs; its operator can start it with INKLING_JOBS=FOLDER to take them")
    return found


def _found(identity: str) -> Job:
    job = _jobs().find(identity)
    if job is None:
        raise UnknownJob(f"no job {shown(identity)} is kept here; it was removed, is older than is kept, or never was")
    return job


def _request(options: Mapping[str, str]) -> JobRequest:
    """What is ordered, with all that can be checked before a picture is read.

    Raises:
        ServiceError: no such model, version, method, option or class, or an address that jobs may not read.
    """
    of_method = {name: value for name, value in options.items() if name not in ABOUT_JOB}
    wanted = explain_request_of(of_method, ABOUT, "/v1/jobs")
    if "explain_if" in options:
        Condition.parse(options["explain_if"])
    with service().store.handle(options.get("model", service().model), options.get("version")) as version:
        check_possible(wanted, version.card, version.verbs)
        return JobRequest(
            source=_allowed(options["source"]) if "source" in options else None,
            array=options.get("array"),
            model=version.card.name,
            version=version.card.version,
            options=of_method,
            explain_if=options.get("explain_if"),
            preprocess=choice(options, "preprocess", ("auto", "none"), "auto"),
            float16=boolean("float16", options.get("float16", False)),
        )


def _allowed(source: str) -> str:
    """Raises Forbidden: jobs may not read this address."""
    below = any(source.startswith(allowed.rstrip("/") + "/") for allowed in service().job_sources)
    if (below or source in service().job_sources) and not REFUSED.search(source):
        return source
    raise Forbidden(
        f"source={shown(source)} is not below an address that jobs may read; the server's operator names those in "
        "INKLING_JOB_SOURCES; or send the pictures as the body"
    )


def _body(jobs: Jobs) -> Callable[[int], bytes]:
    """Reads what was sent, piece by piece. What it gives raises BadRequest where the body breaks off.

    Raises:
        EmptyBody, BodyTooLarge, BadRequest: nothing was sent, too much, or no archive of pictures.
    """
    left = request.content_length
    if left is None and not request.environ.get("wsgi.input_terminated"):
        raise EmptyBody(f"the body is empty; send {SENT}")
    if left is not None and left > jobs.max_bytes:
        raise BodyTooLarge(f"the body has {left} bytes; {jobs.max_bytes} at most are taken, send it in several jobs")
    stream = request.environ["wsgi.input"]  # not werkzeug's, which takes one that breaks off for whole

    def read(size: int) -> bytes:
        nonlocal left
        try:
            piece: bytes = stream.read(size if left is None else min(size, left))
        except Exception as error:  # of the server in front, whose errors have no class that is known here
            raise BadRequest("the body breaks off, or its chunks cannot be read; send it again") from error
        if not piece and left:
            raise BadRequest(f"the body breaks off {left} bytes before its end; send it whole")
        left = None if left is None else left - len(piece)
        return piece

    first = read(8)
    if not first:
        raise EmptyBody(f"the body is empty; send {SENT}")
    if not first.startswith(BEGINNINGS):
        raise BadRequest(f"the body begins with {first!r}; expected {SENT}: curl --data-binary @pictures.zip")
    pieces = [first]
    return lambda size: pieces.pop() if pieces else read(size)


def _json(job: Job) -> dict[str, Any]:
    request = job.request
    return {
        "id": job.id,
        "state": job.state,
        "created": datetime.fromtimestamp(job.created, UTC).isoformat(timespec="seconds"),
        "model": {"name": request.model, "version": request.version},
        "options": dict(request.options),
        "explain_if": request.explain_if,
        "rows": job.summary.get("rows"),
        "done": job.summary.get("done", 0),
        "explained": job.summary.get("explained", 0),
        "errors": job.summary.get("errors", 0),
        "codes": job.summary.get("codes", {}),
        "error": {name: job.summary[name] for name in ("error", "code")} if job.state == "failed" else None,
        "links": {
            "self": url_for("jobs.one", id=job.id),
            "result": url_for("jobs.result", id=job.id) if job.state == "done" else None,
        },
    }
