"""The application for gunicorn, which also tells how many objects a collection of garbage looks at."""

import gc

from wsgi import app as app


@app.get("/objects")
def objects() -> dict[str, int]:
    return {"looked_at": len(gc.get_objects()), "frozen": gc.get_freeze_count()}
