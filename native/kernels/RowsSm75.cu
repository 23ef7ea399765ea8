// One pass over the rows of a matrix, each held in registers: layer norm, RMS norm or softmax of an expression of the inputs.
//
//   WARPS_A_ROW warps hold a row, VECTORS 16-byte pieces a lane; lanes, then warps, meet in a reduction; nothing is read twice
//     x = PROLOGUE(inputs)   for each element, from EPILOGUE_INPUTS text (MATRIX, COLUMN, SCALAR; `v` is the input itself)
//     KIND 0: (x - mean) / sqrt(var + epsilon) * gamma + beta     KIND 1: x / sqrt(mean of squares + epsilon) * gamma
//     KIND 2: exp(x - max) / sum of exp(x - max)                  SUM_OUT=1 also writes x (residual + norm)
//
// Types      f16 | bf16 in and out (T), float inside.
// Needs      sm_75+; columns a multiple of 8 and at most WARPS_A_ROW * VECTORS * 256; 16-byte aligned rows.
// Floor      each input read once, each output written once, at copy bandwidth.
// Parameters KIND, WARPS_A_ROW, VECTORS, ROWS_A_BLOCK. docs/kernels/rows-sm75.md.
#include "Element.cuh"

#ifndef T
#define T f16
#endif
#ifndef KIND
#define KIND 0
#endif
#ifndef WARPS_A_ROW
#define WARPS_A_ROW 4
#endif
#ifndef VECTORS
#define VECTORS 4
#endif
#ifndef ROWS_A_BLOCK
#define ROWS_A_BLOCK 1
#endif
#ifndef RESIDUAL
#define RESIDUAL 0
#endif
#ifndef PROLOGUE
#define PROLOGUE (RESIDUAL ? v + residual : v)
#endif

struct RowsShape {
  int rows, columns;
  float epsilon;
  int unused;
  const void *x, *residual, *gamma, *beta;
  void *out, *sum;
};

__device__ __forceinline__ float prologue(float v, float residual) {
  (void)residual;
  return PROLOGUE;
}
struct Eight {
  float v[8];
};
__device__ __forceinline__ Eight unpack8(uint4 p) {
  Eight e;
  const u32 w[4] = {p.x, p.y, p.z, p.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const float2 f = unpack2<T>(w[i]);
    e.v[2 * i] = f.x, e.v[2 * i + 1] = f.y;
  }
  return e;
}
__device__ __forceinline__ uint4 pack8(const float (&v)[8]) { return make_uint4(pack2<T>(v[0], v[1]), pack2<T>(v[2], v[3]), pack2<T>(v[4], v[5]), pack2<T>(v[6], v[7])); }

// Sum (or maximum) over the WARPS_A_ROW warps of one row; `slot` keeps two reductions of a kernel apart.
template <bool Most> __device__ __forceinline__ float over_row(float v, int slot) {
#pragma unroll
  for (int o = 16; o; o >>= 1) {
    const float w = __shfl_xor_sync(~0u, v, o);
    v = Most ? fmaxf(v, w) : v + w;
  }
  if (WARPS_A_ROW == 1) return v;
  __shared__ float part[2][ROWS_A_BLOCK][WARPS_A_ROW];
  const int warp = threadIdx.x / 32, row = warp / WARPS_A_ROW, of_row = warp % WARPS_A_ROW;
  if (threadIdx.x % 32 == 0) part[slot][row][of_row] = v;
  __syncthreads();
  v = part[slot][row][0];
#pragma unroll
  for (int i = 1; i < WARPS_A_ROW; i++) v = Most ? fmaxf(v, part[slot][row][i]) : v + part[slot][row][i];
  return v;
}

extern "C" __global__ void __launch_bounds__(32 * WARPS_A_ROW * ROWS_A_BLOCK) rows(const __grid_constant__ RowsShape s) {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;\ngriddepcontrol.wait;" ::: "memory");
#endif
  const int row = blockIdx.x * ROWS_A_BLOCK + threadIdx.x / (32 * WARPS_A_ROW), lane = threadIdx.x % (32 * WARPS_A_ROW);
  const bool inside = row < s.rows;
  const long long at = (long long)(inside ? row : 0) * s.columns;
  constexpr int kStride = 32 * WARPS_A_ROW * 8;
  uint4 raw[VECTORS], extra[VECTORS];
#pragma unroll
  for (int i = 0; i < VECTORS; i++) {
    const int c = lane * 8 + i * kStride;
    const bool has = c < s.columns;
    raw[i] = has ? *(const uint4 *)((const T *)s.x + at + c) : make_uint4(0, 0, 0, 0);
    if (RESIDUAL) extra[i] = has ? *(const uint4 *)((const T *)s.residual + at + c) : make_uint4(0, 0, 0, 0);
  }
  float x[VECTORS][8];
  float total = 0.0f, most = -__int_as_float(0x7f800000);
#pragma unroll
  for (int i = 0; i < VECTORS; i++) {
    const int c = lane * 8 + i * kStride;
    const Eight e = unpack8(raw[i]);
    Eight r{};
    if (RESIDUAL) r = unpack8(extra[i]);
#pragma unroll
    for (int j = 0; j < 8; j++) {
      x[i][j] = prologue(e.v[j], r.v[j]);
      if (c < s.columns) total += KIND == 1 ? x[i][j] * x[i][j] : x[i][j], most = fmaxf(most, x[i][j]);
    }
    if (s.sum && RESIDUAL && inside && c < s.columns) *(uint4 *)((T *)s.sum + at + c) = pack8(x[i]);
  }
  float scale, shift = 0.0f;
  if (KIND == 2) {
    most = over_row<true>(most, 0);
    total = 0.0f;
#pragma unroll
    for (int i = 0; i < VECTORS; i++)
#pragma unroll
      for (int j = 0; j < 8; j++) {
        x[i][j] = __expf(x[i][j] - most);
        if (lane * 8 + i * kStride < s.columns) total += x[i][j];
      }
    scale = 1.0f / over_row<false>(total, 1);
  } else if (KIND == 1) {
    scale = rsqrtf(over_row<false>(total, 0) / s.columns + s.epsilon);
  } else {
    shift = over_row<false>(total, 0) / s.columns;
    float squares = 0.0f;
#pragma unroll
    for (int i = 0; i < VECTORS; i++)
      if (lane * 8 + i * kStride < s.columns)
#pragma unroll
        for (int j = 0; j < 8; j++) squares += (x[i][j] - shift) * (x[i][j] - shift);
    scale = rsqrtf(over_row<false>(squares, 1) / s.columns + s.epsilon);
  }
#pragma unroll
  for (int i = 0; i < VECTORS; i++) {
    const int c = lane * 8 + i * kStride;
    if (!inside || c >= s.columns) continue;
    float y[8];
    Eight g, b{};
    if (KIND != 2) g = unpack8(*(const uint4 *)((const T *)s.gamma + c));
    if (KIND == 0) b = unpack8(*(const uint4 *)((const T *)s.beta + c));
#pragma unroll
    for (int j = 0; j < 8; j++) y[j] = KIND == 2 ? x[i][j] * scale : (x[i][j] - shift) * scale * g.v[j] + b.v[j];
    *(uint4 *)((T *)s.out + at + c) = pack8(y);
  }
}
