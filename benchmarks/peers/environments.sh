#!/usr/bin/env bash
# The environments of the peers that benchmarks/peers compares with, in output/bench/ or $ERNIE_PEERS. They clash with
# each other and with Paddle 3, so each has its own. About 3 GB; one that is there already is left as it is.
set -eu
cd "$(dirname "$0")/../.."
folder=${ERNIE_PEERS:-output/bench}
make_environment() {  # NAME PACKAGE...
    local name=$1; shift
    [ -x "$folder/$name/bin/python" ] && return
    python3 -m venv "$folder/$name"
    "$folder/$name/bin/pip" install -q "$@" || { rm -rf "${folder:?}/$name"; exit 1; }
}
make_environment transformers torch==2.13.0 transformers==5.23.0 numpy
make_environment paddlenlp paddlepaddle==2.6.2 paddlenlp==2.8.1 'huggingface_hub<1' aistudio-sdk==0.2.6 'datasets<4' \
    'pyarrow<21' 'numpy<2' 'protobuf<7' setuptools
echo "$folder: transformers, paddlenlp"
