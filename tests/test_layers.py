"""Which file may import which, read from the syntax tree: the layers, and one address for each third party."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted([ROOT / "wsgi.py", *(ROOT / "server").rglob("*.py"), *(ROOT / "training").rglob("*.py")])


def top_of(room: str) -> set[str]:
    """The modules that lie in a room itself, without the rooms in it."""
    return {f"{room}.{path.stem}" for path in ROOT.joinpath(*room.split(".")).glob("*.py")}


WORDS = {"server.__version__", "server.types", "server.errors"}  # everybody may import them
LEAVES = [
    "server.auth.signed_links", "server.config", "server.errors", "server.inference.certificate", "server.logs",
    "server.feedback", "server.options", "server.process", "server.protocols", "server.types",
]  # fmt: skip
MAY_IMPORT: dict[str, set[str]] = {  # longest prefix counts
    "wsgi": {"server.app", "server.config"},
    "server.app": {
        "server.auth",
        "server.bulk.jobs",
        "server.cache",
        "server.config",
        "server.explainers.segmentation",
        "server.feedback",
        "server.images.files.in_flight",
        "server.inference.predict",
        "server.logs",
        "server.metrics",
        "server.models",
        "server.process.periodic",
        "server.process.preflight",
        "server.protocols",
        "server.rollout",
        "server.routes",
        "server.scheduling",
        "server.state",
    },
    **{leaf: set() for leaf in LEAVES},
    "server.bulk": {
        "server.bulk",
        "server.explainers",
        "server.inference",
        "server.models",
        "server.options",
        "server.process.preflight",
        "server.protocols",
        "server.reference",
        "server.render",
    },
    "server.bulk.rows": {"server.render"},
    "server.bulk.sources": {"server.bulk.errors", "server.bulk.sources", "server.process.preflight"},
    "server.bulk.durable": set(),
    "server.bulk.report": {
        "server.bulk",
        "server.explainers",
        "server.inference.explain",
        "server.inference.trial",
        "server.models.card",
        "server.models.trust",
        "server.options",
        "server.reference",
        "server.render",
        "server.rollout.drift",
        "server.rollout.evidence",
    },
    "server.bulk.report.clusters": set(),
    "server.bulk.report.figures": {"server.render"},
    "server.bulk.report.k_smallest": set(),
    "server.bulk.report.page": set(),
    "server.bulk.jobs": {"server.bulk"},
    "server.bulk.job_process": {"server.bulk", "server.config", "server.logs", "server.process.preflight"},
    "server.__main__": {"server.cli"},
    "server.cli": {"server.auth.keys", "server.config", "server.process.preflight"},
    "server.cli.explain_many": {
        "server.bulk",
        "server.config",
        "server.models.model_loaders",
        "server.process.preflight",
    },
    "server.cli.explain_report": {"server.bulk", "server.config", "server.process.preflight"},
    "server.cli.verify": {"server.config", "server.models", "server.process.preflight"},
    "server.auth": {"server.config"},
    "server.process.preflight": {
        "server.auth.keys",
        "server.config",
        "server.models.trust",
        "server.rollout.shares",
        "server.state.connection",
    },
    "server.process.gunicorn_worker": {
        "server.process.lingering",
        "server.process.refusals",
        "server.process.request_framing",
        "server.process.upload_reader",
    },
    "server.rollout": {
        "server.explainers.integrated_gradients",
        "server.inference.predict",
        "server.protocols",
        "server.rollout",
        "server.scheduling",
    },
    "server.rollout.drift": {"server.rollout.evidence"},
    "server.rollout.evidence": set(),
    "server.rollout.report": set(),
    "server.rollout.shares": set(),
    "server.rollout.canary": {"server.rollout.shares"},
    "server.metrics": {"server.rollout.report"},
    "server.routes": {
        "server.rollout",
        "server.inference.tensors",
        *top_of("server.routes"),
        "server.auth.signed_links",
        "server.bulk.jobs",
        "server.explainers",
        "server.feedback",
        "server.inference.explain",
        "server.inference.explain_request",
        "server.metrics",
        "server.models.repository.store",
        "server.openapi",
        "server.options",
        "server.protocols",
        "server.reference",
        "server.render",
        "server.scheduling",
    },
    "server.routes.bodies": {"server.options", "server.routes.bodies", "server.routes.service"},
    "server.routes.errors": {
        *top_of("server.routes"),
        "server.routes.bodies",
        "server.metrics",
        "server.options",
    },
    "server.routes.inkling": {
        *top_of("server.routes"),
        "server.routes.bodies",
        "server.attacks",
        "server.auth.signed_links",
        "server.bulk.jobs",
        "server.cache",
        "server.explainers",
        "server.inference",
        "server.models.repository.store",
        "server.options",
        "server.reference",
        "server.render",
        "server.rollout",
        "server.routes.inkling",
        "server.routes.middleware.access_log",
        "server.routes.middleware.auth",
    },
    **{
        f"server.routes.{dialect}": {
            *top_of("server.routes"),
            "server.routes.bodies",
            "server.inference.tensors",
            "server.options",
            "server.protocols",
            "server.render",
            f"server.routes.{dialect}",
            "server.routes.middleware.access_log",
        }
        for dialect in ("tensorflow_serving", "open_inference")
    },
    "server.routes.middleware": {
        *top_of("server.routes"),
        "server.auth",
        "server.logs",
        "server.metrics",
        "server.routes.middleware.scopes",
    },
    "server.routes.middleware.rate_limits": {
        "server.routes.caller",
        "server.routes.middleware.rate_limiter",
        "server.routes.middleware.scopes",
    },
    "server.routes.middleware.rate_limiter": {"server.config"},
    "server.routes.middleware.tracing": {
        "server.inference.predict",
        "server.logs",
        "server.routes.headers",
        "server.routes.middleware.access_log",
        "server.routes.middleware.scopes",
    },
    "server.inference": {
        "server.explainers",
        "server.images",
        "server.inference.certificate",
        "server.inference.predict",
        "server.inference.trial",
        "server.models.wrappers",
        "server.options",
        "server.parts",
        "server.protocols",
        "server.quality",
        "server.reference",
        "server.scheduling",
    },
    "server.inference.trial": {"server.explainers", "server.options"},
    "server.inference.predict": {"server.images", "server.models.wrappers", "server.options", "server.protocols"},
    "server.inference.neighbours": {"server.inference.predict", "server.protocols"},
    **{
        f"server.inference.{beside}": {
            "server.inference.explain",
            "server.inference.predict",
            "server.models.wrappers",
            "server.protocols",
            "server.scheduling",
            *more,
        }
        for beside, more in {
            "attack": {"server.attacks"},
            "explain_if": {"server.options"},
            "explain_request": {
                "server.explainers",
                "server.inference.trial",
                "server.options",
                "server.reference",
            },
            "compare": {"server.inference.trial"},
            "tensors": {"server.images"},
        }.items()
    },
    "server.explainers": {"server.explainers", "server.options"},
    "server.attacks": {"server.attacks", "server.options"},
    "server.quality": {"server.quality", "server.explainers.perturbation"},
    "server.parts": {"server.parts", "server.explainers.perturbation", "server.explainers.segmentation"},
    "server.reference": {
        "server.explainers",
        "server.models.wrappers",
        "server.options",
        "server.protocols",
        "server.reference",
    },
    "server.scheduling": {"server.logs", "server.protocols", "server.scheduling"},
    "server.images": {"server.images"},
    "server.images.files": {"server.images.files", "server.process.malloc"},
    "server.state": {"server.cache", "server.protocols", "server.state"},
    "server.cache": {"server.cache", "server.explainers", "server.options", "server.reference"},
    "server.render": {"server.render", "server.attacks.types"},
    "server.openapi": {
        "server.openapi",
        "server.attacks",
        "server.explainers",
        "server.reference",
        "server.render",
    },
    "server.models": {
        *top_of("server.models"),
        "server.models.batching",
        "server.models.wrappers",
        "server.process.malloc",
        "server.protocols",
    },
    "server.models.wrappers": {"server.models.wrappers", "server.protocols"},
    "server.models.batching": {"server.models.batching", "server.models.wrappers", "server.protocols"},
    "server.models.repository": {*top_of("server.models"), "server.models.repository", "server.process.malloc"},
    "training": {"training"},
    "training.store.signing": {"training", "server.models.trust"},
    "training.store.remote": {  # the one door to object stores, and what mirrors one into a folder
        "training",
        "server.models.repository.follower",
        "server.models.repository.object_store",
        "server.models.trust",
    },
    "training.visualise": {"training", "server.explainers", "server.models"},
    "training.referee": {  # the one room that knows both: it judges what the server's explainers do, and beside them
        "training",  # what other packages do, in the server's process or in environments that benchmarks has for them
        "benchmarks.explaining",
        "benchmarks.results",
        "benchmarks.venvs",
        "server.explainers",
        "server.inference.certificate",
        "server.inference.trial",
        "server.models",
        "server.reference",
        "server.rollout.evidence",
    },
}
ADDRESSES = {  # third party -> the only files that may import it
    "tensorflow": {"server.models.savedmodel", "server.models.graphs", "training"},
    "keras": {"training"},
    "ai_edge_litert": {"server.models.litert", "training"},
    "flatbuffers": {"training.litert.flatbuffer", "training.litert.subpixel"},
    "gunicorn": {"server.process.gunicorn_worker"},
    "flask": {"server.app", "server.routes"},
    "werkzeug": {"server.routes"},
    "PIL": {
        "server.images",
        "server.render.lossless",
        "server.render.png",
        "training.measures.corruptions",
        "training.synthetic",
    },
    "cv2": {"server.images"},
    "sklearn": {"server.bulk.report.clusters", "training"},
    "optuna": {"training.tuning"},
    "matplotlib": {"training.visualise.figures"},
    "click": {"training.commands", "server.__main__", "server.cli"},
    "prometheus_client": {"server.metrics"},
    "itsdangerous": {"server.auth.signed_links"},
    "orjson": {"server.render.jsonable"},
    "limits": {"server.routes.middleware.rate_limiter"},
    "opentelemetry": {"server.routes.middleware.tracing"},
    "flask_cors": {"server.routes.middleware.cors"},
    "redis": {"server.state.connection"},
    "pyarrow": {"server.bulk"},
    "ray": {"server.bulk.on_ray"},
    "fsspec": {"server.bulk.sources.files", "server.models.repository.object_store", "server.process.preflight"},
    "cryptography": {"server.models.trust", "training.store"},
    "lime": {"server.reference", "training.referee.packages"},
    "shap": {"server.reference", "training.referee.packages"},
}
BARRED = {"server.routes.middleware.rate_limiter": {"flask", "werkzeug"}}  # it counts without knowing HTTP
LATE = {"lime", "shap", "skimage"}  # imported when first asked for: they cost seconds, or megabytes that not all need
ALLOWED_INSIDE = {  # imports inside functions, loaded on purpose after start
    ("server.models.model_loaders", "server.models.savedmodel"),
    ("server.app", "server.routes.middleware.cors"),
    ("server.app", "server.routes.middleware.rate_limits"),
    ("server.app", "server.routes.middleware.tracing"),
    ("server.app", "server.routes.middleware.rate_limiter"),
    ("server.app", "server.models.repository.follower"),
    *(("server.app", f"server.state.{one}") for one in ("connection", "explanations", "leases", "notices", "secret")),
    ("server.process.preflight", "server.state.connection"),
    ("server.app", "server.models.repository.object_store"),
    ("server.process.preflight", "fsspec"),
    ("server.process.preflight", "server.models.trust"),
    ("server.bulk.sources.files", "fsspec"),
    ("server.bulk.jobs", "server.bulk.errors"),
    ("server.bulk.jobs", "server.bulk.run"),
    ("server.bulk.jobs", "server.bulk.worker"),
    ("server.bulk.on_ray", "ray"),
    ("server.bulk.sources.parquet", "pyarrow"),
    ("server.cli.explain_many", "server.bulk.on_ray"),
    ("server.__main__", "server.cli.explain_many"),
    ("server.__main__", "server.cli.explain_report"),
    ("server.bulk.report.clusters", "sklearn.cluster"),
    ("training.store.labels", "training.store.signing"),
    ("server.__main__", "server.cli.config"),
    ("server.__main__", "server.cli.keys"),
    ("server.__main__", "server.cli.verify"),
    ("training.data", "keras"),
    ("training.data", "sklearn.datasets"),
    ("training.referee.packages", "lime"),
    ("training.referee.packages", "lime.wrappers.scikit_image"),
    ("training.referee.packages", "shap"),
    ("training.referee.packages", "skimage.segmentation"),
    ("training.referee.trial", "training.referee.siblings"),
    ("training.referee.trial", "training.referee.versions"),
    ("training.quiet", "tensorflow"),
    ("server.explainers.segmentation", "skimage.morphology"),
    ("server.explainers.segmentation", "skimage.segmentation"),
    ("server.explainers.perturbation", "scipy.ndimage"),
    ("server.reference.lime", "lime"),
    ("server.reference.shapley", "shap"),
    ("server.reference.expected_gradients", "shap"),
}
WHEN_RUN = "training.commands"  # whose files import what they run when they run, so that --help answers at once
PICKLES = {"pickle", "_pickle", "pickle5", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
PICKLING = {"read_pickle", "to_pickle"}  # methods by which others do the same
OWN_GENERATORS = {"default_rng", "Generator", "RandomState", "SeedSequence"}  # of numpy.random; all else is global


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST) -> list[tuple[str, bool]]:
    """Every imported module, and whether it is imported inside a function."""
    inside = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node in inside) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = str(node.module)
            names = [f"{package}.{alias.name}" for alias in node.names]
            found += [(name if package == "server" or is_module(name) else package, node in inside) for name in names]
    return list(dict.fromkeys(found))


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def covers(prefixes: set[str], module: str) -> bool:
    return any(module == prefix or module.startswith(prefix + ".") for prefix in prefixes)


def violations(module: str, tree: ast.AST) -> list[str]:
    rule = max((key for key in MAY_IMPORT if covers({key}, module)), key=len, default=None)
    allowed = MAY_IMPORT[rule] | (set() if rule == "training" else WORDS) if rule else set()
    found = []
    for name, inside in imports(tree):
        if name.split(".")[0] in ("server", "training", "benchmarks", "wsgi") and not covers(allowed, name):
            found.append(f"{module} imports {name}")
        party = name.split(".")[0]
        if party in ADDRESSES and (not covers(ADDRESSES[party], module) or party in BARRED.get(module, ())):
            found.append(f"{module} imports {party}, which lives elsewhere")
        if party in LATE and not inside:
            found.append(f"{module} imports {party} before it is asked for")
        when_run = covers({WHEN_RUN}, module) and covers({"training"}, name)
        if inside and not when_run and (module, name) not in ALLOWED_INSIDE:
            found.append(f"{module} imports {name} inside a function")
    return found


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_follow_the_layers(path: Path) -> None:
    assert violations(module_of(path), ast.parse(path.read_text())) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("server.types", "from server.errors import NotReady\nfrom server.images import decode"),
        ("server.explainers.lime", "import tensorflow as tf"),
        ("server.inference.explain", "from flask import request"),
        ("server.inference.explain", "from server.routes.inkling.parsing import query"),
        ("server.inference.predict", "from server.models.repository.store import Store"),
        ("server.inference.predict", "from server.inference import explain"),
        ("server.inference.explain", "from server.inference.attack import attack"),
        ("server.routes.inkling.explain", "from server.config import Settings"),
        ("server.routes.inkling.explain", "from server import images"),
        ("server.routes.parameters", "from server.routes.inkling.parsing import query"),
        ("server.routes.open_inference.endpoints", "from server.routes.inkling import parsing"),
        ("server.routes.open_inference.endpoints", "from server.routes.tensorflow_serving import signatures"),
        ("server.routes.tensorflow_serving.endpoints", "from server.inference.explain import explain"),
        ("server.models.loading", "from server.models.repository.store import Store"),
        ("server.models.batching.batched_model", "from server.models.litert import predictor"),
        ("server.process.malloc", "from server.config import Settings"),
        ("server.auth.signed_links", "from server.config import Settings"),
        ("server.models.repository.store", "def f():\n    import json"),
        ("training.fit", "from server.types import ModelCard"),
        ("training.fit", "from benchmarks.results import write_part"),
        ("server.reference.lime", "from benchmarks.explaining import ours"),
        ("training.referee.errors", "from server.inference.explain import explain"),
        ("server.models.card", "from training.store import export"),
        ("server.explainers.lime", "def f():\n    from lime import lime_image"),
        ("server.reference.lime", "from lime import lime_image"),
        ("server.reference.lime", "def f():\n    import shap"),
        ("server.inference.predict", "from prometheus_client import Counter"),
        ("server.routes.middleware.rate_limits", "from limits import parse_many"),
        ("server.routes.middleware.auth", "from server.routes.middleware import rate_limiter"),
        ("server.routes.middleware.rate_limiter", "from flask import request"),
        ("server.app", "from flask_cors import CORS"),
        ("server.app", "from opentelemetry.sdk.trace import TracerProvider"),
        ("server.routes.middleware.tracing", "def f():\n    from opentelemetry import trace"),
        ("server.routes.middleware.auth", "from itsdangerous import TimestampSigner"),
    ],
)
def test_the_walk_rejects_a_wrong_import(module: str, source: str) -> None:
    assert violations(module, ast.parse(source)) != []


def global_draws(tree: ast.AST) -> list[str]:
    """Uses of numpy's global generator, which the packages in server/reference reseed under everyone's feet."""
    names = [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("np.random", "numpy.random")
    ]
    imported = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in ("numpy.random", "numpy")
        for alias in node.names
    ]
    return [name for name in names + imported if name not in OWN_GENERATORS]


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_nobody_draws_from_numpys_global_generator(path: Path) -> None:
    allowed = ["get_state", "seed", "set_state"] if module_of(path) == "server.reference.exclusive" else []
    assert global_draws(ast.parse(path.read_text())) == allowed


@pytest.mark.parametrize(
    "source",
    [
        "np.random.seed(0)",
        "def f():\n    return numpy.random.randint(3)",
        "draw = np.random.normal",
        "from numpy.random import rand",
        "from numpy import random",
    ],
)
def test_the_walk_rejects_a_global_draw(source: str) -> None:
    assert global_draws(ast.parse(source)) != []
    assert global_draws(ast.parse("rng = np.random.default_rng(0)\nrng.random()\nnp.random.RandomState(1)")) == []


def pickles(tree: ast.AST) -> list[str]:
    """What could make objects, and run code, out of foreign bytes."""
    named = [name for name, _ in imports(tree) if name.split(".")[0] in PICKLES]
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    by_text = [word for call in calls for word in call.args if isinstance(word, ast.Constant) and word.value in PICKLES]
    allowed = [
        word
        for call in calls
        for word in call.keywords
        if word.arg == "allow_pickle" and not (isinstance(word.value, ast.Constant) and word.value.value is False)
    ]
    methods = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in PICKLING]
    return named + [ast.unparse(node) for node in (*by_text, *allowed, *methods)]


@pytest.mark.parametrize("path", [path for path in FILES if module_of(path).startswith("server")], ids=module_of)
def test_nothing_in_the_server_pickles(path: Path) -> None:
    assert pickles(ast.parse(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import json, marshal as json_",
        "def f():\n    from dill import loads",
        "from shelve import open",
        "import joblib.numpy_pickle",
        "importlib.import_module('pickle')",
        "np.load(file, allow_pickle=True)",
        "np.load(file, allow_pickle=trusted)",
        "pandas.read_pickle(file)",
    ],
)
def test_the_walk_rejects_a_pickle(source: str) -> None:
    assert pickles(ast.parse(source)) != []
    assert pickles(ast.parse("import json\nnp.load(file, allow_pickle=False)\nnp.load(file)")) == []


def test_no_function_outgrows_its_size() -> None:
    long = [
        f"{module_of(path)}.{node.name}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and _body_lines(node) > 40
    ]
    # a command's options are its parameters, and the signatures of a SavedModel are closures over one net
    assert sorted(set(long) - {"training.__main__.fit", "training.store.signatures.signatures"}) == []


def _body_lines(node: ast.FunctionDef) -> int:
    first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
    return (node.end_lineno or 0) - first.lineno + 1
