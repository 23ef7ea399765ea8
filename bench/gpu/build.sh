#!/bin/bash
# Builds what travels to the GPU host: the cubins, the test program, the benchmark. Needs nvcc and g++, no GPU.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd); built=$here/native/build/gpu
cuda=$(dirname "$(dirname "$(readlink -f "$(nvcc --dryrun -x cu /dev/null 2>&1 | sed -n 's/.*TOP=//p' | head -1)/bin/nvcc")")")
node "$here/native/kernels/compile-all.ts" "$@" || true
host="g++ -std=c++20 -O1 -Wall -I$cuda/include -static-libstdc++ -static-libgcc"
$host "$here/native/test-gpu/gpu-test.cpp" -o "$built/gpu-test" -ldl
$host "$here/bench/gpu/bench.cpp" -o "$built/bench" -ldl
$host -shared -fPIC "$here/bench/gpu/AttentionFace.cpp" -o "$built/attention.so" -ldl
