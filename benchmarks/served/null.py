"""The floor: reads the body, answers a constant. Run under the same gunicorn settings as ours."""

from flask import Flask, Response, request

app = Flask(__name__)


@app.post("/")
def null() -> Response:
    request.get_data()
    return Response('{"ok": true}', content_type="application/json")
