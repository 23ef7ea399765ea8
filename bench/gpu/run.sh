#!/bin/bash
# One call on the GPU host: builds the peer there, runs the tests and the benchmark, results to $OUT (default: /tmp/anneal-gpu).
#   bash bench/gpu/run.sh [test|bench|all] [--only SECTION] [--verbose 1]
# Expects native/build/gpu from `node native/kernels/compile-all.ts` and bench/gpu/build.sh.
set -u
OUT=${OUT:-/tmp/anneal-gpu}; mkdir -p "$OUT"
what=${1:-all}; shift || true
here=$(cd "$(dirname "$0")/../.." && pwd); built=$here/native/build/gpu
header=$(find / -name cublasLt.h -not -path '/proc/*' 2>/dev/null | head -1)
library=$(find / -name 'libcublasLt.so.1[0-9]' -not -path '/proc/*' 2>/dev/null | head -1)
nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
"$nvcc" -O2 -shared -Xcompiler -fPIC -I"$(dirname "$header")" "$here/bench/gpu/CublasLt.cpp" -o /tmp/peer.so "$library" -Xlinker -rpath -Xlinker "$(dirname "$library")" || echo "peer not built (header '$header', library '$library')"
nvidia-smi --query-gpu=name,driver_version,clocks.sm,power.limit --format=csv,noheader
if [ "$what" != bench ]; then time timeout 280 "$built/gpu-test" "$built" --json "$OUT/test.jsonl" | tee "$OUT/test.txt"; fi
if [ "$what" != test ]; then time timeout 400 "$built/bench" "$built" /tmp/peer.so "$OUT/bench.jsonl" "$@" | tee "$OUT/bench.txt"; fi
