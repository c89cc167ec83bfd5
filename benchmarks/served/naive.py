"""What is written in an afternoon by somebody who knows how: Pillow makes the picture grey and 28 x 28, light paper is
inverted, and the CNN's LiteRT file answers. Nobody looks for the digit. Run under the same gunicorn settings as ours.
"""

import io
import threading

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from flask import Flask, Response, jsonify, request
from PIL import Image

from benchmarks.store import shipped

MODEL = shipped("cnn") / "assets.extra" / "model.tflite"

app = Flask(__name__)
own = threading.local()  # an interpreter for each thread, so that none waits for another


@app.post("/")
def predict() -> Response:
    with Image.open(io.BytesIO(request.get_data())) as image:
        pixels = np.asarray(image.convert("L").resize((28, 28)), np.float32) / 255
    if pixels.mean() > 0.5:  # dark ink on light paper; the model knows light ink
        pixels = 1 - pixels
    probabilities = runner()(images=pixels[None])["probabilities"][0]
    return jsonify({"class": int(probabilities.argmax()), "probabilities": probabilities.tolist()})


def runner():
    """This thread's interpreter, by its only signature."""
    if not hasattr(own, "runner"):
        own.runner = Interpreter(str(MODEL), num_threads=1).get_signature_runner()
    return own.runner
