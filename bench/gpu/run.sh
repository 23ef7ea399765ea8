#!/bin/bash
# One call on the GPU host: builds the peer there, runs the tests, the benchmark and the sanitizer, results to $OUT (default: /tmp/anneal-gpu).
#   bash bench/gpu/run.sh [all|test|bench|sanitize] [--only SECTION] [--verbose 1]
# Then bench/gpu/results.py makes RESULTS.md of the files. Expects native/build/gpu from `node native/kernels/compile-all.ts` and bench/gpu/build.sh.
set -u
OUT=${OUT:-/tmp/anneal-gpu}; mkdir -p "$OUT"
what=${1:-all}; shift || true
here=$(cd "$(dirname "$0")/../.." && pwd); built=$here/native/build/gpu; export BUILT=$built
cuda=/usr/local/cuda/include
for header in $(find / -name cublasLt.h -not -path '/proc/*' 2>/dev/null); do
  for library in $(find / -name 'libcublasLt.so.1[0-9]' -not -path '/proc/*' 2>/dev/null); do
    [ -f /tmp/peer.so ] || g++ -std=c++17 -O2 -shared -fPIC -I"$(dirname "$header")" -I$cuda "$here/bench/gpu/CublasLt.cpp" -o /tmp/peer.so \
      "$library" -Wl,-rpath,"$(dirname "$library")" >>"$OUT/peer-build.txt" 2>&1
  done
done
[ -f /tmp/peer.so ] || { echo "the cuBLASLt peer was not built:"; find / -name 'cublasLt.h' -o -name 'libcublasLt.so*' -not -path '/proc/*' 2>/dev/null; head -c 1500 "$OUT/peer-build.txt"; }
[ "$what" = peer ] && exit
nvidia-smi --query-gpu=name,driver_version,clocks.sm,power.limit --format=csv,noheader
if [ "$what" = all ] || [ "$what" = test ]; then
  # Fourteen processes beside one another, then the planted mistakes alone; the counts are added up.
  rm -f /tmp/test-*.txt
  only=(); [ "$what" = test ] && only=("$@")
  for part in $(seq 0 13); do timeout 280 "$built/gpu-test" "$built" --part $part/14 --slow 4 "${only[@]}" >"/tmp/test-$part.txt" & done
  wait
  timeout 60 "$built/gpu-test" "$built" --only planted >/tmp/test-planted.txt
  { grep -hv passed /tmp/test-*.txt
    cat /tmp/test-*.txt | awk '/ passed /{n = NF; name = $1; for (i = 2; i < n - 3; i++) name = name " " $i; good[name] += $(n - 3); bad[name] += $(n - 1)}
      END {for (name in good) printf "%-28s %5d passed %5d failed\n", name, good[name], bad[name]}' | sort; } | tee "$OUT/test.txt"
fi
if [ "$what" = all ] || [ "$what" = bench ]; then
  timeout 300 "$built/bench" "$built" /tmp/peer.so "$OUT/bench.jsonl" "$@" >"$OUT/bench.txt" 2>&1; grep -v "^    " "$OUT/bench.txt"
  timeout 150 python3 "$here/bench/gpu/peers.py" "$OUT/bench.jsonl" "$built"
  timeout 240 python3 "$here/bench/gpu/peers_conv.py" "$OUT/bench.jsonl"
fi
if [ "$what" = all ] || [ "$what" = sanitize ]; then
  # One instance of each template, kind of pipeline and store, and structural option (SANITIZE="NAME ...": only these); four tools; a few cases each, side by side.
  names="gemm-f16-64x256-c2x1-s4-pp-gelu gemm-f16-128x128-c1x1-s5-sk gemm-f16-128x64-c1x1-s6-k4 gemm-f16-64x64-c2x2-s6-k2 gemm-f16-192x192-c1x1-s4 gemm-f16-128x128-c1x1-s5-grouped
    gemm-f16-64x96-c2x1-s10 gemm-f16-128x128-c1x2-s5-k2 gemm-f16-64x64-c1x1-s6-k8 gemm-f16-128x96-c2x4-s7
    conv-f16-128x64-c1x2-s8-relu conv-f16-64x64-c1x1-s6-k4-reluadd few-f16-c3-f3-s1-w8-o2-relu conv75-f16-64x64-w2x2-k128-s4-transposed gemm75-f16-64x64-w2x2-k128-s4-any gemm75-s8-s32-128x128
    depthwise-f16-f3-s2 skinny-f16-w8-t2-u4-m16 skinny-s4-w8-t2-u2-m8 skinny90-s4-x1-w16-s4-o1-f2 skinny90-s4-x4-w8-s4-o1-t2-c2-f2 skinny90-s4-x8-w8-s4-o1-t2-f2
    skinny90-s4-x16-w4x2-s4-o1-t2-c2-f1 skinny90-s8-x1-w8-s8-o1-f2 skinny90-s8-x16-w8x2-s3-o1-t2-c2-f1
    attention-f16-d128-k160 attention-f16-d64-k128-causal attention-f16-d128-k128-causal-packed attention-f16-d64-k128-bias
    gemm-f16-192x144-c2x1-s5-sw gemm-f16-64x72-c1x1-s6-o2-sw gemm-f16-128x72-c1x1-s4-sw-gelu gemm-f16-128x128-c2x1-s5-pp-gelustile gemm-f16-128x256-c2x1-s3-gelutile
    attention-f16-d32-k128-bias-lengths attention-bf16-d96-k128-causal-packed-window attention-f16-d192-k112-lengths attention-bf16-d256-k80-causal-packed
    decode-f16-d128-p64-w4-o3-early decode-f16-e4m3-d128-p64-w8-o2-early decode-f16-d128-p64-w8-o2-cluster decode-bf16-s8-d128-p64-w8-o1-cluster
    decode-f16-d128-p64-w6-o2-ring2-f2-early decode-f16-d128-p64-w8-o1-ring3-cluster-early decode-f16-d128-p64-w8-o1-ring3-held-early decode-f16-d128-p64-w8-o1-ring3-held-cluster-early decode-bf16-d128-p16-w4-o2-ring2 decode-f16-e4m3-d128-p64-w4-o4-ring2-early
    decode-f16-d64-p64-w4-o3 decode-f16-s8-d128-p16 decode-f16-d64-p16-w8-o1-cluster rows-addnorm-f16-w4 pointwise-gelu-f16-t256-v4 topk-bf16-sample rotary-f16-s8 transpose-2 gather-f16"
  names=${SANITIZE:-$names}
  for tool in memcheck racecheck initcheck synccheck; do for name in $names; do echo "$tool $name"; done; done | xargs -P 14 -L 1 bash -c '
    said=$(timeout 200 compute-sanitizer --tool $0 --target-processes all "$BUILT/gpu-test" "$BUILT" --only $1 --slow 40 --first 2 2>&1)
    echo "$0 $1: $(echo "$said" | grep -E "ERROR SUMMARY|RACECHECK SUMMARY|passed" | tr "\n" " ")"; echo "$said" >/tmp/sanitizer-$0-$1.txt' | sort | tee "$OUT/sanitizer.txt"
  echo "runs $(grep -c : "$OUT/sanitizer.txt"), clean $(grep -E "ERROR SUMMARY: 0 errors|RACECHECK SUMMARY: 0 hazards" "$OUT/sanitizer.txt" | grep -c " 0 failed")"
fi
