"""What gunicorn serves."""

from server.app import create_app
from server.config import Settings

app = create_app(Settings.from_env())
