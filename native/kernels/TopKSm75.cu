// The K largest of each row with their places, sorted, ties by the lower place; and a token drawn from them (SAMPLE=1).
//
//   block: one row; a radix select over the bits of the values, 8 at a time, finds the K-th largest; then one pass in order
//   keeps what is larger and the first of what is equal; K ranks by counting
//     row: 128256 logits -> histogram of the top byte -> of the next byte, among those that share it -> ... -> K values
//
// SAMPLE     softmax of the K values over `temperature`, cut where the sum first reaches `top_p`, and the token where the
//            running sum passes uniform[row]: the numbers drawn come from the caller, so a run can be repeated.
// Types      ELEMENT f16 | bf16 | float; places s32.
// Needs      sm_75+; K at most THREADS; rows of any length >= K.
// Floor      the row read once; it is read five times (16-bit: three), but for the first from the L2.
// Parameters ELEMENT, THREADS, SAMPLE. docs/kernels/topk-sm75.md.
#include "Element.cuh"

#ifndef ELEMENT
#define ELEMENT f16
#endif
#ifndef THREADS
#define THREADS 1024
#endif
#ifndef SAMPLE
#define SAMPLE 0
#endif

struct TopKShape {
  int rows, columns, k, unused;
  long long stride; // of rows of x, in elements
  const ELEMENT *x;
  ELEMENT *values; // [rows, k]
  s32 *places;     // [rows, k]
  float temperature, top_p;
  const float *uniform; // [rows], each in [0, 1)
  s32 *token;           // [rows]
};

constexpr int kBits = 8 * (int)sizeof(ELEMENT);
// A number that orders as the value does; NaN of either sign is largest, as ONNX leaves open and sorting needs.
template <class E> __device__ __forceinline__ u32 order_of(E v) {
  u32 bits;
  if constexpr (sizeof(E) == 4) bits = __float_as_uint(v);
  else bits = v.bits;
  constexpr u32 kSign = 1u << (kBits - 1), kAll = kBits == 32 ? ~0u : (1u << (kBits % 32)) - 1;
  const float f = to_float(v);
  if (f != f) return kAll;
  return (bits & kSign ? ~bits : bits | kSign) & kAll;
}

extern "C" __global__ void __launch_bounds__(THREADS) top_k(const __grid_constant__ TopKShape s) {
  __shared__ u32 histogram[256];
  __shared__ u32 prefix_all, left_all;
  __shared__ u32 kept[THREADS];
  __shared__ s32 kept_at[THREADS];
  __shared__ int count, warp_counts[THREADS / 32];
#if SAMPLE
  __shared__ u32 sorted[THREADS];
  __shared__ float weight[THREADS];
#endif
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;\ngriddepcontrol.wait;" ::: "memory");
#endif
  const int row = blockIdx.x, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const ELEMENT *x = s.x + row * s.stride;
  // The K-th largest: its bits from the top, and how many with exactly these bits are among the K.
  u32 prefix = 0, left = s.k;
#pragma unroll 1
  for (int shift = kBits - 8; shift >= 0; shift -= 8) {
    for (int i = threadIdx.x; i < 256; i += THREADS) histogram[i] = 0;
    __syncthreads();
    for (int c = threadIdx.x; c < s.columns; c += THREADS) {
      const u32 o = order_of(x[c]);
      if (shift == kBits - 8 || o >> (shift + 8) == prefix) atomicAdd(&histogram[o >> shift & 255], 1);
    }
    __syncthreads();
    if (threadIdx.x < 32) {
      // Lane l holds bins 8l .. 8l + 7; sums from the top down.
      u32 mine = 0;
      for (int i = 0; i < 8; i++) mine += histogram[lane * 8 + i];
      u32 above = mine;
      for (int o = 1; o < 32; o *= 2) {
        const u32 other = __shfl_down_sync(~0u, above, o);
        if (lane + o < 32) above += other;
      }
      above -= mine; // in lanes above this one
      if (above < left && left <= above + mine) {
        u32 sum = above;
        for (int i = 7; i >= 0; i--) {
          const u32 here = histogram[lane * 8 + i];
          if (sum + here >= left) {
            prefix_all = prefix << 8 | (u32)(lane * 8 + i), left_all = left - sum;
            break;
          }
          sum += here;
        }
      }
    }
    __syncthreads();
    prefix = prefix_all, left = left_all;
  }
  // In order of place: all that is larger, and the first `left` of what is equal.
  if (threadIdx.x == 0) count = 0;
  int equal_before = 0;
  __syncthreads();
  for (int c0 = 0; c0 < s.columns; c0 += THREADS) {
    const int c = c0 + threadIdx.x;
    const u32 o = c < s.columns ? order_of(x[c]) : 0;
    const bool equal = c < s.columns && o == prefix;
    const u32 vote = __ballot_sync(~0u, equal);
    if (lane == 0) warp_counts[warp] = __popc(vote);
    __syncthreads();
    int before = equal_before, chunk = 0;
    for (int i = 0; i < THREADS / 32; i++) before += i < warp ? warp_counts[i] : 0, chunk += warp_counts[i];
    before += __popc(vote & ((1u << lane) - 1));
    if ((c < s.columns && o > prefix) || (equal && before < (int)left)) {
      const int at = atomicAdd(&count, 1);
      kept[at] = o, kept_at[at] = c;
    }
    equal_before += chunk;
    __syncthreads();
  }
  // A kept value's rank is how many beat it.
  if (threadIdx.x < s.k) {
    const u32 o = kept[threadIdx.x];
    const s32 at = kept_at[threadIdx.x];
    int rank = 0;
    for (int i = 0; i < s.k; i++) rank += kept[i] > o || (kept[i] == o && kept_at[i] < at);
#if SAMPLE
    sorted[rank] = (u32)at;
#endif
    if (s.values) s.values[(long long)row * s.k + rank] = x[at];
    if (s.places) s.places[(long long)row * s.k + rank] = at;
  }
#if SAMPLE
  __syncthreads();
  if (threadIdx.x < s.k) weight[threadIdx.x] = __expf((to_float(x[sorted[threadIdx.x]]) - to_float(x[sorted[0]])) / s.temperature);
  __syncthreads();
  if (threadIdx.x == 0) {
    float all = 0.0f, cut = 0.0f;
    for (int i = 0; i < s.k; i++) all += weight[i];
    int last = 0;
    for (; last < s.k; last++) {
      cut += weight[last];
      if (cut >= s.top_p * all) break;
    }
    last = min(last, s.k - 1);
    const float want = s.uniform[row] * cut;
    float sum = 0.0f;
    int chosen = 0;
    for (; chosen < last; chosen++) {
      sum += weight[chosen];
      if (sum > want) break;
    }
    s.token[row] = (s32)sorted[chosen];
  }
#endif
}
