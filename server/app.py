"""The composition root: settings in, a Flask application out. Builds the store, starts loading what is slow to load,
and registers the blueprints and the one error handler. The only server file that reads settings.
"""

import logging
import os
import threading
import time
import uuid
from pathlib import Path

from flask import Flask, Response, g, request

from server.config import Settings
from server.inference import Stages
from server.models.litert import Twin
from server.models.store import LoadModel, Store
from server.routes import adversarial, comparison, inkling, ops, parsing
from server.routes.errors import REQUEST_ID, answer_error
from server.types import Model, ModelCard

BLUEPRINTS = (inkling.blueprint, comparison.blueprint, adversarial.blueprint, ops.blueprint)
LOADER_NICENESS = 10  # TensorFlow's threads inherit it, so explanations yield to predictions

log = logging.getLogger(__name__)


def create_app(settings: Settings, load_twin: LoadModel = Twin, load_full: LoadModel | None = None) -> Flask:
    """The application; `load_twin` and `load_full` turn a version's files into Models."""
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.config["MAX_FORM_MEMORY_SIZE"] = settings.max_body_bytes
    store = Store(settings.model_store, load_twin)
    app.extensions["inkling"] = inkling.Service(store, settings.model, settings.max_images, settings.max_budget_ms)
    if settings.model not in store.families:
        known = ", ".join(store.families) or "none"
        log.error(
            "the default model %r is not in %s; there is %s", settings.model, settings.model_store.resolve(), known
        )
    app.url_map.converters["name"] = parsing.Name
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.register_error_handler(Exception, answer_error)
    app.before_request(_begin)
    app.before_request(parsing.unchunk)
    app.after_request(_finish)
    if settings.explain == "on":
        _load_in_background(store, load_full or _savedmodel_loader(settings))
    else:
        store.load_nothing("explanations are switched off on this server (INKLING_EXPLAIN=off)")
    return app


def _savedmodel_loader(settings: Settings) -> LoadModel:
    """Loads SavedModels; imports TensorFlow when the first one is asked for."""
    configured = False

    def load(folder: Path, card: ModelCard) -> Model:
        nonlocal configured
        from server.models import savedmodel

        if not configured:
            device = savedmodel.configure(settings.device, int(os.environ.get("INKLING_WORKER", "0")))
            log.info("explanations are computed on %s", device)
            configured = True
        return savedmodel.SavedModel(folder, card)

    return load


def _load_in_background(store: Store, load: LoadModel) -> None:
    def work() -> None:
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOADER_NICENESS)
        store.load_full(load)

    threading.Thread(target=work, name="load-models", daemon=True).start()


def _begin() -> None:
    g.started = time.perf_counter()
    g.stages = Stages()
    asked = request.headers.get("X-Request-ID", "")
    g.request_id = asked if REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex


def _finish(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.request_id
    seconds = {**g.stages.seconds, "total": time.perf_counter() - g.started}
    response.headers["Server-Timing"] = ", ".join(f"{name};dur={value * 1000:.2f}" for name, value in seconds.items())
    return response
