"""The composition root: settings in, a Flask application out. Builds the store, starts loading what is slow to load,
and registers the blueprints and the one error handler. The only server file that reads settings.
"""

import logging
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Collection
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, cast

from flask import Flask, Response, g, request

from server import logs
from server.auth.keys import Keyring
from server.auth.signed_links import Links, shared_secret
from server.bulk.jobs import Jobs
from server.cache import Event, SqliteCache
from server.config import Settings
from server.explainers.segmentation import warm
from server.feedback import FeedbackLog
from server.images.files.in_flight import IN_FLIGHT
from server.inference.predict import Stages
from server.metrics import Metrics
from server.models import model_loaders
from server.models.checks import Check, check_answers
from server.models.litert import predictor
from server.models.loading import Loading
from server.models.repository.shared_state import HEARTBEAT_TIMEOUT, SharedState
from server.models.repository.store import LoadSavedModel, LoadTwin, Store
from server.models.repository.version_policy import VersionPolicy
from server.models.versions import LoadLiteRT
from server.process.periodic import PeriodicTask
from server.process.preflight import count_workers, has_tensorflow, prefers_tensorflow, read_trust
from server.protocols import ExplanationCache, NoCache
from server.rollout.canary import Canary
from server.rollout.drift import Drift
from server.rollout.shadow import Shadow
from server.rollout.shares import Share, parse_shares
from server.routes import docs, ops, page
from server.routes.bodies.content_encoding import inflate
from server.routes.bodies.request_body import unchunk
from server.routes.converters import Name
from server.routes.errors import answer_error
from server.routes.headers import request_id, server_timing, trace_fields
from server.routes.inkling import (
    attack,
    compare,
    explain,
    explanations,
    feedback,
    jobs,
    models,
    predict,
    rollouts,
    views,
)
from server.routes.middleware import access_log, auth, changes, hosts
from server.routes.open_inference import endpoints as open_inference
from server.routes.service import EXTENSION, Service
from server.routes.tensorflow_serving import endpoints as tensorflow_serving
from server.scheduling import BoundedPool, Scheduler

if TYPE_CHECKING:
    from server.models.trust import Trust
    from server.state.connection import Connection

PARTS = (
    predict, explain, models, views, rollouts, explanations, compare, attack, feedback, jobs,
    tensorflow_serving, open_inference, ops, docs, page,
)  # fmt: skip
BLUEPRINTS = tuple(part.blueprint for part in PARTS)
NOTICED_EVERY = 0.5  # seconds between two looks at what other machines were asked to load and unload
JOBS_EVERY = 1.0  # seconds between two looks whether a job is to be started
NICENESS = 10  # explanations get a tenth of a core that predictions could use up; with 3, those wait a third longer

log = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    load_twin: LoadTwin | None = None,
    load_savedmodel: LoadSavedModel | None = None,
    check: Check = check_answers,
) -> Flask:
    """The application; `load_twin` and `load_savedmodel` load a version's files, and `check` tries what they give."""
    logs.configure(settings.log_format, settings.log_level)
    app = Flask(__name__, static_folder=None)
    app.response_class = _Answer
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    run_dir = _run_dir(app, settings)
    IN_FLIGHT.share(run_dir / "decoding.lock", max_waiting=settings.threads // 2)
    metrics = Metrics()
    state = _state(settings, metrics)
    links, loading = _links(settings, run_dir, state), _loading(settings, metrics, load_twin, load_savedmodel, check)
    store, cache = _store(settings, run_dir, loading, state), _cache(settings, run_dir, metrics, state)
    scheduler = _scheduler(settings, cache, metrics, state)
    app.extensions[EXTENSION] = _service(settings, store, cache, metrics, links, scheduler)
    app.url_map.converters["name"] = Name
    app.url_map.merge_slashes = False  # by a redirect, as a page of HTML, to the host that the request names
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.register_error_handler(Exception, answer_error)
    app.before_request(_begin)
    _guard(app, settings, links)
    app.before_request(unchunk)
    app.before_request(inflate)
    app.after_request(_finish)
    access_log.observe(app, metrics, settings.access_log == "on")
    if settings.traces is not None:
        from server.routes.middleware import tracing

        weakref.finalize(app, tracing.trace(app, settings.traces))
    return app


def _service(
    settings: Settings,
    store: Store,
    cache: ExplanationCache,
    metrics: Metrics,
    links: Links | None,
    scheduler: Scheduler,
) -> Service:
    """What the routes need, with the versions on trial."""
    canary, shadow = (parse_shares(text) if text else {} for text in (settings.canary, settings.shadow))
    _tell_missing(settings, store, dict.fromkeys([*canary.values(), *shadow.values()]))
    return Service(
        store=store,
        cache=cache,
        model=settings.model,
        max_images=settings.max_images,
        max_budget_ms=settings.max_budget_ms,
        max_rows=settings.max_rows,
        metrics=metrics,
        links=links,
        scheduler=scheduler,
        canary=Canary(canary) if canary else None,
        shadow=Shadow(shadow, store, metrics) if shadow else None,
        drift=Drift(metrics.set_drift),
        jobs=_jobs(settings),
        job_sources=tuple(settings.job_sources.split(",")) if settings.job_sources else (),
        proxies=settings.proxies,
        feedback=FeedbackLog(settings.feedback, settings.feedback_bytes) if settings.feedback else None,
        frame_ancestors=settings.frame_ancestors.replace(",", " "),
    )


def _jobs(settings: Settings) -> Jobs | None:
    """The jobs of this server, of which one process starts the next."""
    if settings.jobs is None:
        return None
    jobs = Jobs(settings.jobs.resolve(), settings.job_bytes, settings.job_seconds)
    if settings.job_workers:
        PeriodicTask(jobs.start_next, JOBS_EVERY, "jobs cannot be started; predictions and explanations go on").start()
    return jobs


def _tell_missing(settings: Settings, store: Store, shares: Collection[Share]) -> None:
    """Log what settings name and is not there; what may be on its way is no error."""
    known, where = ", ".join(store.served_models) or "none", settings.model_store.resolve()
    if settings.model not in store.served_models:
        level = logging.INFO if settings.model_source else logging.ERROR
        log.log(level, "the default model %r is not in %s; there is %s", settings.model, where, known)
    for share in shares:
        if share.label not in (store.served_models[share.model].labels if share.model in store.served_models else ()):
            level = logging.INFO if settings.model_source else logging.WARNING
            log.log(level, "nothing goes to %s@%s: no model here has that label", share.model, share.label)


def _loading(
    settings: Settings,
    metrics: Metrics,
    load_twin: LoadTwin | None,
    load_savedmodel: LoadSavedModel | None,
    check: Check,
) -> Loading:
    """How versions are loaded; loaders that are given take the place of LiteRT and TensorFlow."""
    explains, given = settings.explain == "on", load_savedmodel is not None
    if load_savedmodel is None and has_tensorflow():
        worker = int(os.environ.get("INKLING_WORKER", "0"))
        load_savedmodel = model_loaders.savedmodel_loader(
            settings.device, worker, metrics.observe_batch, metrics.count_retrace, metrics.add_queued_rows
        )
    load_litert: LoadLiteRT | None = None
    if explains and not given and not prefers_tensorflow(settings):
        partly = settings.runtime == "litert" or load_savedmodel is None
        load_litert = model_loaders.litert_loader(
            load_savedmodel, settings.interpreter_bytes, partly, NICENESS, metrics.observe_batch
        )
    if settings.runtime == "litert":
        load_savedmodel = None
    if explains and not given:
        Thread(target=warm, name="warm", daemon=True).start()
    twin = load_twin or partial(predictor, max_interpreters=_interpreters(settings))
    trust = None if settings.trust is None else read_trust(settings.trust)
    return Loading(twin, load_savedmodel, check, explains, load_litert, trust=trust)


def _scheduler(settings: Settings, cache: ExplanationCache, metrics: Metrics, state: "Connection | None") -> Scheduler:
    """The scheduler of explanations: a few threads, and few requests that wait for others' work."""
    pool = BoundedPool(settings.explain_slots, NICENESS, on_change=metrics.add_slots)
    if state is None or settings.keep == "off":  # what is not kept cannot be had from another
        return Scheduler(pool, cache, max_waiters=settings.max_waiters)
    from server.state.leases import RENEWED_EVERY, Leases

    leases = Leases(state)
    PeriodicTask(leases.renew, RENEWED_EVERY, "what this server computes cannot be told to others").start()
    return Scheduler(pool, cache, max_waiters=settings.max_waiters, lease=leases)


def _state(settings: Settings, metrics: Metrics) -> "Connection | None":
    """The state that machines share; None where each is alone."""
    if settings.state is None:
        return None
    from server.state.connection import Connection

    return Connection(settings.state, metrics.set_state)


def _interpreters(settings: Settings) -> int:
    """How many interpreters of one version: one more takes 13 MB for an unrolled net, and gives a worker that only
    predicts no higher rate."""
    return max(1, (os.cpu_count() or 1) // count_workers(settings)) if settings.explain == "on" else 1


def _run_dir(app: Flask, settings: Settings) -> Path:
    """The folder that the processes of this server share; a temporary one, removed at the exit, where none is set."""
    if settings.run_dir is not None:
        return settings.run_dir
    run_dir = Path(tempfile.mkdtemp(prefix="inkling-"))
    weakref.finalize(app, shutil.rmtree, run_dir, ignore_errors=True)
    return run_dir


def _store(settings: Settings, run_dir: Path, loading: Loading, state: "Connection | None") -> Store:
    """The model store, polled periodically while the application lives."""
    if settings.model_source is not None:
        _follow(settings.model_source, settings, loading.trust)
    seconds = settings.poll_ms / 1000
    shared = SharedState(run_dir, heartbeat_timeout=max(HEARTBEAT_TIMEOUT, 5 * seconds))
    policy = VersionPolicy.parse(settings.versions)
    if state is None:
        store = Store(settings.model_store, loading, shared, policy)
    else:
        from server.state.notices import Notices

        notices = Notices(state, run_dir)
        store = Store(settings.model_store, loading, shared, policy, notices.tell)
        task = PeriodicTask(partial(notices.poll, store.follow), NOTICED_EVERY, "other servers' requests are not done")
        task.run_once()  # what was unloaded elsewhere is not served for a moment here
        task.start()
    if seconds:
        PeriodicTask(store.poll, seconds, "the models could not be looked at; what is served goes on").start()
    return store


def _follow(address: str, settings: Settings, trust: "Trust | None") -> None:
    """Begin to mirror the store at an address into the folder that is served."""
    from server.models.repository.follower import Follower
    from server.models.repository.object_store import ObjectStore

    follower = Follower(ObjectStore(address), settings.model_store, trust)
    failed = "the store that is followed does not answer, or cannot be written here; what is served goes on"
    PeriodicTask(follower.poll, settings.source_poll_ms / 1000, failed).start(at_once=True)


def _links(settings: Settings, run_dir: Path, state: "Connection | None") -> Links | None:
    """The signer of links, where keys are required."""
    if settings.keys_file is None:
        return None
    if settings.link_secret:
        return Links(settings.link_secret.encode(), settings.link_seconds)
    own = shared_secret(run_dir)
    if state is None:
        return Links(own, settings.link_seconds)
    from server.state.secret import SharedSecret

    return Links(SharedSecret(state, own), settings.link_seconds)


def _cache(settings: Settings, run_dir: Path, metrics: Metrics, state: "Connection | None") -> ExplanationCache:
    """The cache of explanations, or one that keeps nothing."""
    if settings.keep == "off":
        return NoCache("this server keeps no explanations (INKLING_KEEP=off)")

    def on_event(event: Event) -> None:
        if event in ("hit", "miss"):
            metrics.count_lookup(event == "hit")

    path = settings.records or run_dir / "explanations.sqlite"
    alone = SqliteCache(path, settings.records_bytes, settings.keep_seconds, on_event)
    if state is None:
        return alone
    from server.state.explanations import SharedExplanations

    return SharedExplanations(state, alone, settings.records_bytes, settings.keep_seconds, on_event)


def _guard(app: Flask, settings: Settings, links: Links | None) -> None:
    """Register what may refuse a request before its body is read, in the order in which it is asked: limits come
    before keys are asked for, so that guesses are counted."""
    if settings.cors_origins is not None:
        from server.routes.middleware import cors

        cors.allow(app, settings.cors_origins)
    check_host = hosts.host_check(settings.hosts)
    check_change = changes.change_check(settings.repository, settings.keys_file is not None, settings.cors_origins)

    def check() -> None:
        """In one function, because each that is registered costs 2 µs, and so does each access through a proxy."""
        current_request = cast(Any, request)._get_current_object()
        check_host(current_request)
        check_change(current_request)

    app.before_request(check)
    if settings.keys_file is not None:
        auth.authenticate(app, Keyring(settings.keys_file))
    if settings.rate_limit is not None:
        from server.routes.middleware import rate_limits
        from server.routes.middleware.rate_limiter import RateLimiter

        rate_limits.limit(app, RateLimiter(settings.rate_limit, settings.limits_storage), settings.proxies)
    if links is not None:
        auth.authorise(app, links)


class _Answer(Response):
    default_mimetype = "application/json"  # where no type is given, as of the empty answer to OPTIONS: never HTML


def _begin() -> None:
    g.started = time.perf_counter()
    g.stages = Stages()
    g.facts = access_log.Facts()
    environ = request.environ
    g.request_id = request_id(environ.get("HTTP_X_REQUEST_ID", ""))
    traceparent = environ.get("HTTP_TRACEPARENT")
    logs.log_with(logs.NO_FIELDS if traceparent is None else trace_fields(traceparent))


def _finish(response: Response) -> Response:
    response.headers.add("X-Request-ID", g.request_id)
    response.headers.add("X-Content-Type-Options", "nosniff")
    response.headers.add("Server-Timing", server_timing(g.stages.seconds, g.started))
    logs.log_with(logs.NO_FIELDS)  # the thread may log before its next request begins
    return response
