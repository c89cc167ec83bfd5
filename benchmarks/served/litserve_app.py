"""LitServe: `python litserve_app.py MODEL PORT WORKERS BATCH`."""

import sys

import litserve
import numpy as np
from net import Net, decoded

FOLDER, PORT, WORKERS, BATCH = sys.argv[1], *map(int, sys.argv[2:5])


class Api(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.net = Net(FOLDER)

    def decode_request(self, request: dict) -> np.ndarray:
        return decoded(request["image"])

    def batch(self, inputs: list) -> np.ndarray:
        return np.stack(inputs)

    def predict(self, images: np.ndarray) -> list:
        if images.ndim == 2:  # one picture, not a batch
            return self.net.predict(images[None])[0]
        return self.net.predict(images)

    def unbatch(self, outputs: list) -> list:
        return outputs

    def encode_response(self, output: list) -> dict:
        return {"probabilities": output}


if __name__ == "__main__":
    batching = {"max_batch_size": BATCH, "batch_timeout": 0.001} if BATCH > 1 else {}
    server = litserve.LitServer(Api(**batching), accelerator="cpu", workers_per_device=WORKERS)
    server.run(port=PORT, host="127.0.0.1", generate_client_file=False, log_level="warning")
