# docker build -t hte-bridge . && docker run --rm -v "$PWD/out:/work/out" hte-bridge     ends in the demo, its results in out/
# --build-arg TORCH_CPU_INDEX=...: the index of CPU builds that torch's own installation page names; without it pip brings CUDA's gigabytes.
FROM debian:13-slim
ARG TORCH_CPU_INDEX=""
ENV DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8 PIP_EXTRA_INDEX_URL=$TORCH_CPU_INDEX
RUN apt-get update && apt-get install -y --no-install-recommends \
      make git curl ca-certificates python3 python3-venv python3-dev r-base-core r-recommended r-base-dev libuv1-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /work
# what changes seldom comes first, so that a change of the code compiles grf no second time
COPY renv.lock pyproject.toml README.md LICENSE ./
COPY locks locks
COPY scripts/setup.sh scripts/
COPY hte_bridge/__init__.py hte_bridge/
COPY hte_bridge/rlink/setup hte_bridge/rlink/setup
RUN bash scripts/setup.sh
COPY . .
RUN bash scripts/setup.sh
ENV PATH=/work/.venv/bin:$PATH
CMD ["make", "demo"]
