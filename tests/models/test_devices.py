"""Where TensorFlow computes. A machine of two devices is had of one processor, in a process of its own."""

import subprocess
import sys
import textwrap

from tests.support.processes.servers import ROOT

SCRIPT = """
import numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from server.models.savedmodel import SavedModel
from tests.support.models.nets import card, digits, folder

weights = np.eye(10, dtype=np.float32)[np.arange(20) % 10]
for name in ("cnn", "mlp"):
    first, second = (SavedModel(folder(name), card(name), device=device) for device in ("CPU:0", "CPU:1"))
    for model, place in ((first, "CPU:0"), (second, "CPU:1")):
        lie = {weight.device.rpartition("device:")[2] for weight in model._trackable.weights}
        with model.on_device():
            run = model._serving(tf.constant(digits()[:3])).device.rpartition("device:")[2]
        assert (lie, run) == ({place}, place), (lie, run, place)
    assert np.allclose(first.forward(digits()[:20]), second.forward(digits()[:20]), atol=1e-5)
    assert np.allclose(first.gradient(digits()[:20], weights), second.gradient(digits()[:20], weights), atol=1e-5)
    views = [model.features(digits()[:3], weights[:3]).embedding for model in (first, second)]
    assert np.allclose(*views, atol=1e-5)
print("as they should")
"""


def test_each_model_lies_and_runs_on_its_device() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout == "as they should\n", done.stderr[-2000:]
