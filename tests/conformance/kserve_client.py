"""KServe's own client against a running server; run by test_kserve.py in an environment of its own.

Arguments: the server's URL, a file with rows (n, 28, 28), and the CNN's version. Prints what the client said, as JSON.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

MODEL, VERSION = "cnn", sys.argv[3]


async def over_v1(url: str, rows: Any) -> dict[str, Any]:
    async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
        sent = {"instances": rows.tolist()}
        return {
            "live": await client.is_server_live(url),
            "ready": await client.is_model_ready(url, MODEL),
            "predicted": await client.infer(url, sent, model_name=MODEL),
            "of_version": await client.infer(url, sent, model_name=f"{MODEL}/versions/{VERSION}"),
            "explained": await client.explain(
                url, model_name=MODEL, data={**sent, "parameters": {"method": "saliency", "target": 3}}
            ),
            "unknown": await refused(client.infer(url, sent, model_name="nope")),
            "unknown_ready": await refused(client.is_model_ready(url, "nope")),
            "wrong": await refused(client.infer(url, {"instances": [[2.0] * 784]}, model_name=MODEL)),
        }


async def over_v2(url: str, rows: Any) -> dict[str, Any]:
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        found: dict[str, Any] = {
            "live": await client.is_server_live(url),
            "ready": await client.is_server_ready(url),
            "model_ready": await client.is_model_ready(url, MODEL),
            "unknown_ready": await client.is_model_ready(url, "nope"),
        }
        for binary in (False, True):
            answer = await client.infer(url, request(rows, binary), model_name=MODEL)
            found["binary" if binary else "json"] = {
                "model": answer.model_name,  # the client drops the version
                **{one.name: one.as_numpy().tolist() for one in answer.outputs},
            }
        found["unknown"] = await refused(client.infer(url, request(rows, True), model_name="nope"))
        return found


def request(rows: Any, binary: bool) -> InferRequest:
    tensor = InferInput("images", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return InferRequest(MODEL, [tensor], request_id="7")


async def refused(call: Any) -> dict[str, Any]:
    try:
        return {"answered": await call}
    except httpx.HTTPStatusError as error:
        return {"status": error.response.status_code, "said": str(error)}


async def main() -> None:
    url, rows = sys.argv[1], np.load(Path(sys.argv[2]))
    json.dump({"v1": await over_v1(url, rows), "v2": await over_v2(url, rows)}, sys.stdout)


asyncio.run(main())
