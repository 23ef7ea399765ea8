// Depthwise convolution, NHWC: D[n, p, q, c] = EPILOGUE(sum over taps of X[n, p * stride + r, q * stride + s, c] * W[r, s, c]).
//
//   a thread: 8 neighbouring channels (16 bytes) of OUT_W neighbouring output columns; the FILTER x ((OUT_W - 1) * STRIDE +
//   FILTER) pieces of the image that they need pass through registers once, each used for every column that it reaches
//     threads of a warp: neighbouring channels, so that a load of a warp is whole lines
//
// Types      T f16 | bf16, float sums.
// Layouts    X [images, h, w, channels], W [FILTER, FILTER, channels], D [images, p, q, channels].
// Needs      sm_75+; channels a multiple of 8, rows on 16 bytes; dilation 1; any padding.
// Floor      image read once and output written once at copy bandwidth: 2 * FILTER^2 operations for 4 bytes.
// Parameters T, FILTER, STRIDE, OUT_W, THREADS. docs/kernels/depthwise-sm75.md.
#include "Epilogue.cuh"

#ifndef T
#define T f16
#endif
#ifndef FILTER
#define FILTER 3
#endif
#ifndef STRIDE
#define STRIDE 1
#endif
#ifndef OUT_W
#define OUT_W 4
#endif
#ifndef THREADS
#define THREADS 256
#endif

struct DepthwiseShape {
  int images, h, w, c, p, q, pad_h, pad_w;
  const void *x, *weights;
  void *d;
  EpilogueInputs inputs;
};

constexpr int kIn = (OUT_W - 1) * STRIDE + FILTER;

extern "C" __global__ void __launch_bounds__(THREADS) depthwise(const __grid_constant__ DepthwiseShape s) {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;\ngriddepcontrol.wait;" ::: "memory");
#endif
  const int eights = s.c / 8, strips = (s.q + OUT_W - 1) / OUT_W;
  const long long i = blockIdx.x * (long long)THREADS + threadIdx.x;
  if (i >= (long long)s.images * s.p * strips * eights) return;
  const int c = (int)(i % eights) * 8, q0 = (int)(i / eights % strips) * OUT_W, p = (int)(i / eights / strips % s.p), n = (int)(i / eights / strips / s.p);
  float sum[OUT_W][8];
#pragma unroll
  for (int o = 0; o < OUT_W; o++)
#pragma unroll
    for (int e = 0; e < 8; e++) sum[o][e] = 0.0f;
#pragma unroll
  for (int r = 0; r < FILTER; r++) {
    const int h = p * STRIDE - s.pad_h + r;
    if (h < 0 || h >= s.h) continue;
    const T *row = (const T *)s.x + (((long long)n * s.h + h) * s.w) * s.c + c;
    uint4 in[kIn], tap[FILTER];
#pragma unroll
    for (int x = 0; x < kIn; x++) {
      const int w = q0 * STRIDE - s.pad_w + x;
      in[x] = w >= 0 && w < s.w ? *(const uint4 *)(row + (long long)w * s.c) : make_uint4(0, 0, 0, 0);
    }
#pragma unroll
    for (int f = 0; f < FILTER; f++) tap[f] = *(const uint4 *)((const T *)s.weights + (long long)(r * FILTER + f) * s.c + c);
#pragma unroll
    for (int j = 0; j < 4; j++) {
      float2 t[FILTER];
#pragma unroll
      for (int f = 0; f < FILTER; f++) t[f] = unpack2<T>(j == 0 ? tap[f].x : j == 1 ? tap[f].y : j == 2 ? tap[f].z : tap[f].w);
#pragma unroll
      for (int x = 0; x < kIn; x++) {
        const float2 v = unpack2<T>(j == 0 ? in[x].x : j == 1 ? in[x].y : j == 2 ? in[x].z : in[x].w);
#pragma unroll
        for (int o = 0; o < OUT_W; o++) {
          const int f = x - o * STRIDE;
          if (f >= 0 && f < FILTER) sum[o][2 * j] = fmaf(v.x, t[f].x, sum[o][2 * j]), sum[o][2 * j + 1] = fmaf(v.y, t[f].y, sum[o][2 * j + 1]);
        }
      }
    }
  }
#pragma unroll
  for (int o = 0; o < OUT_W; o++) {
    if (q0 + o >= s.q) break;
    const long long pixel = ((long long)n * s.p + p) * s.q + q0 + o, at = pixel * s.c + c;
    u32 out[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const float2 v = epilogue_pair<true>(make_float2(sum[o][2 * j], sum[o][2 * j + 1]), (int)pixel, c + 2 * j, 0, at + 2 * j, true, s.c, true, s.inputs);
      out[j] = pack2<T>(v.x, v.y);
    }
    *(uint4 *)((T *)s.d + at) = make_uint4(out[0], out[1], out[2], out[3]);
  }
}
