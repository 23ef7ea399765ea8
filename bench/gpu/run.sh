#!/bin/bash
# One call on the GPU host: builds the peer there, runs the tests and the benchmark, results to $OUT (default: /tmp/anneal-gpu).
#   bash bench/gpu/run.sh [test|bench|all] [--only SECTION] [--verbose 1]
# Expects native/build/gpu from `node native/kernels/compile-all.ts` and bench/gpu/build.sh.
set -u
OUT=${OUT:-/tmp/anneal-gpu}; mkdir -p "$OUT"
what=${1:-all}; shift || true
here=$(cd "$(dirname "$0")/../.." && pwd); built=$here/native/build/gpu
cuda=/usr/local/cuda/include
for header in $(find / -name cublasLt.h -not -path '/proc/*' 2>/dev/null); do
  for library in $(find / -name 'libcublasLt.so.1[0-9]' -not -path '/proc/*' 2>/dev/null); do
    [ -f /tmp/peer.so ] || g++ -std=c++17 -O2 -shared -fPIC -I"$(dirname "$header")" -I$cuda "$here/bench/gpu/CublasLt.cpp" -o /tmp/peer.so \
      "$library" -Wl,-rpath,"$(dirname "$library")" >>"$OUT/peer-build.txt" 2>&1
  done
done
[ -f /tmp/peer.so ] || { echo "the cuBLASLt peer was not built:"; find / -name 'cublasLt.h' -o -name 'libcublasLt.so*' -not -path '/proc/*' 2>/dev/null; head -c 1500 "$OUT/peer-build.txt"; }
nvidia-smi --query-gpu=name,driver_version,clocks.sm,power.limit --format=csv,noheader
if [ "$what" != bench ]; then timeout 280 "$built/gpu-test" "$built" --json "$OUT/test.jsonl" | tee "$OUT/test.txt"; fi
if [ "$what" != test ]; then
  timeout 300 "$built/bench" "$built" /tmp/peer.so "$OUT/bench.jsonl" "$@" >"$OUT/bench.txt" 2>&1; grep -v "^    " "$OUT/bench.txt"
  timeout 120 python3 "$here/bench/gpu/peers.py" "$OUT/bench.jsonl"
fi
