"""An application for gunicorn whose explanations take their time."""

from server.app import create_app
from server.config import Settings
from tests.support.models.slow import slow
from tests.support.models.stores import as_loaded, linear

app = create_app(Settings.from_env(), load_twin=linear, load_savedmodel=as_loaded(slow))
