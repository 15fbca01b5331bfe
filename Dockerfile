# raytl on Ray's image, for docs/rayjob.yaml and for clusters of containers:
#
#   docker build -t REGISTRY/raytl:0.1.0 .
#   docker build -t REGISTRY/raytl:0.1.0 --build-arg RAY=2.60.0-py311-cpu .
#
# PyTorch brings its own CUDA, so that the image without Ray's CUDA runs on GPUs too, by the node's
# driver. The image has the very versions of clusters/requirements.txt and runs as Ray's user.
ARG RAY=2.60.0-py311
FROM rayproject/ray:${RAY}

LABEL org.opencontainers.image.title="raytl" \
      org.opencontainers.image.licenses="Apache-2.0"

# The versions first: this layer, the large one, changes with them alone.
COPY --chown=ray:users clusters/requirements.txt /home/ray/raytl/clusters/requirements.txt
RUN pip install --no-cache-dir --requirement /home/ray/raytl/clusters/requirements.txt

COPY --chown=ray:users pyproject.toml README.md LICENSE /home/ray/raytl/
COPY --chown=ray:users search_spaces /home/ray/raytl/search_spaces
COPY --chown=ray:users raytl /home/ray/raytl/raytl
RUN pip install --no-cache-dir --no-deps /home/ray/raytl && raytl --version

USER ray
WORKDIR /home/ray
