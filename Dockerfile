# docker build -t inkling .                                       predictions and explanations on the CPU
# docker build -t inkling:gpu --build-arg REQUIREMENTS=requirements-gpu.txt .    with CUDA; run with --gpus all
# docker build -t inkling:lite --build-arg REQUIREMENTS=requirements-lite.txt .  without TensorFlow: docs/edge.md
# docker build -t inkling:cluster --build-arg MORE=requirements-cluster.txt .    for docs/many-machines.md
# docker build -t inkling:otel --build-arg MORE=requirements-otel.txt .          for spans: docs/operations.md
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
ARG REQUIREMENTS=requirements.txt
ARG MORE
WORKDIR /app
COPY requirements.txt requirements-gpu.txt requirements-lite.txt requirements-cluster.txt requirements-otel.txt ./
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r ${REQUIREMENTS} ${MORE:+-r ${MORE}} \
    # headers for compiling against TensorFlow, where it is there: 350 MB that nothing here reads
    && rm -rf /venv/lib/python3*/site-packages/tensorflow/include

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="Inkling" \
      org.opencontainers.image.description="Reads handwritten digits over HTTP, and says why" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /venv /venv
WORKDIR /app
COPY wsgi.py gunicorn.conf.py LICENSE ./
COPY server server
COPY training training
COPY model_store model_store
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    INKLING_HOST=0.0.0.0 \
    INKLING_PORT=8000
USER 10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['INKLING_PORT'] + '/readyz', timeout=2)"]
CMD ["gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
