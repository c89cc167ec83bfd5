"""MLServer: the runtime that `mlserver start` is told of in model-settings.json; MODEL is in the environment."""

import os

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from net import Net, stacked


class Digits(MLModel):
    async def load(self) -> bool:
        self.net = Net(os.environ["MODEL"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        texts = StringCodec.decode_input(payload.inputs[0])
        probabilities = np.array(self.net.predict(stacked(texts)), np.float32)
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("probabilities", probabilities)]
        )
