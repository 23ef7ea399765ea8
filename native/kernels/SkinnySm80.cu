// Skinny GEMM and GEMV: D[m, n] = EPILOGUE(sum over k of X[m, k] * W[n, k]), m <= 16, at the speed of reading W once.
//
//   block: 8 * TILES_N rows of W; WARPS warps take turns along k, 16 bytes a lane, UNROLL loads in flight
//     lane (n = lane / 4, q = lane % 4) holds 16 neighbouring bytes of row n: the k order inside mma.m16n8k16 is free as
//     long as X follows it, so W goes from global memory to the tensor cores with no shuffle and no shared memory
//   then the warps' sums meet in shared memory, EPILOGUE, store
//
// Types      WEIGHT f16 | bf16: X and D the same type. WEIGHT s4: X f16, W packed two to a byte with one f16 scale for each
//            128 of k. Packing of s4: 8 neighbours of k in a 32-bit word, nibble i holds k = 2i (i < 4) or 2(i - 4) + 1, as
//            value + 8; scales [k / 128, n].
// Needs      sm_80+; k a multiple of 8 (s4: 128); X, W 16-byte aligned; m <= 16 (rows 8..15 only with HIGH_ROWS=1).
// Floor      bytes of W once at copy bandwidth.
// Parameters WARPS, TILES_N, UNROLL, HIGH_ROWS. Legal set and what was tried: docs/kernels/skinny-sm80.md.
#include "Epilogue.cuh"

#ifndef WEIGHT
#define WEIGHT f16
#endif
#ifndef WARPS
#define WARPS 8
#endif
#ifndef TILES_N
#define TILES_N 1
#endif
#ifndef UNROLL
#define UNROLL 4
#endif
#ifndef HIGH_ROWS
#define HIGH_ROWS 0
#endif
#define IS_S4_f16 0
#define IS_S4_bf16 0
#define IS_S4_s4 1
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define IS_S4 JOIN(IS_S4_, WEIGHT)
#if IS_S4
typedef f16 Activation;
#else
typedef WEIGHT Activation;
#endif
#ifndef OUTPUT
#define OUTPUT Activation
#endif

struct SkinnyShape {
  int m, n, k, unused;
  long long x_stride, d_stride; // of rows, in elements
  const void *x, *w, *scales;
  void *d;
  EpilogueInputs inputs;
};

__device__ __forceinline__ uint4 load_once(const void *p) {
  uint4 v;
  asm volatile("ld.global.L1::no_allocate.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
  return v;
}
__device__ __forceinline__ void mma(float (&d)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
  if constexpr (sizeof(Activation) == 2 && __is_same(Activation, bf16)) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  } else {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  }
}
#if IS_S4
// The 8 values of a word as four pairs of halves, exactly, with one shift: 1024 + value less 1032, or, for nibbles 4 bits up,
// (1024 + 16 * value) / 16 less 72.
__device__ __forceinline__ void unpack_s4(u32 word, u32 (&pair)[4]) {
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const u32 w = i == 0 ? word : word >> 8;
    asm("lop3.b32 %0, %1, 0x000f000f, 0x64006400, 0xea;" : "=r"(pair[2 * i]) : "r"(w));
    asm("lop3.b32 %0, %1, 0x00f000f0, 0x64006400, 0xea;" : "=r"(pair[2 * i + 1]) : "r"(w));
    asm("sub.rn.f16x2 %0, %0, %1;" : "+r"(pair[2 * i]) : "r"(0x64086408u));
    asm("fma.rn.f16x2 %0, %0, %1, %2;" : "+r"(pair[2 * i + 1]) : "r"(0x2c002c00u), "r"(0xd480d480u));
  }
}
__device__ uint4 zeros[1];
#else
__device__ uint4 zeros[1];
#endif

constexpr int kRowsOfBlock = 8 * TILES_N;
constexpr int kStep = IS_S4 ? 128 : 32; // of k, for one 16-byte load by each of four lanes

extern "C" __global__ void __launch_bounds__(WARPS * 32) skinny(const __grid_constant__ SkinnyShape s) {
  __shared__ float sums[WARPS][16][kRowsOfBlock + 2];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
  const int n0 = blockIdx.x * kRowsOfBlock;
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
  float d[TILES_N][4];
#pragma unroll
  for (int t = 0; t < TILES_N; t++) d[t][0] = d[t][1] = d[t][2] = d[t][3] = 0.0f;

  const char *w[TILES_N];
  bool inside[TILES_N];
  const long long w_row_bytes = IS_S4 ? s.k / 2 : (long long)s.k * 2;
#pragma unroll
  for (int t = 0; t < TILES_N; t++) {
    inside[t] = n0 + t * 8 + g < s.n;
    w[t] = (const char *)s.w + (long long)(inside[t] ? n0 + t * 8 + g : 0) * w_row_bytes + q * 16;
  }
  // Lanes of rows beyond m read one zero, over and over, instead of branching around the load.
  const bool has_lo = g < s.m, has_hi = HIGH_ROWS && g + 8 < s.m;
  const Activation *x_lo = has_lo ? (const Activation *)s.x + (long long)g * s.x_stride : (const Activation *)zeros;
  const Activation *x_hi = has_hi ? (const Activation *)s.x + (long long)(g + 8) * s.x_stride : (const Activation *)zeros;
  const int step_lo = has_lo ? 1 : 0, step_hi = has_hi ? 1 : 0;
#if IS_S4
  // Scales of this lane's columns; columns beyond n read the last pair, and are not stored.
  const f16 *scale_at[TILES_N];
  u32 pair_of[TILES_N];
#pragma unroll
  for (int t = 0; t < TILES_N; t++) scale_at[t] = (const f16 *)s.scales + min(n0 + t * 8 + q * 2, s.n - 1), pair_of[t] = n0 + t * 8 + q * 2 + 1 < s.n ? 1 : 0;
#endif
  const int steps = (s.k + kStep - 1) / kStep;
  bool waited = false;

  for (int step0 = warp * UNROLL; step0 < steps; step0 += WARPS * UNROLL) {
    uint4 v[UNROLL][TILES_N];
#if IS_S4
    f16 scale[UNROLL][TILES_N][2];
#pragma unroll
    for (int u = 0; u < UNROLL; u++)
#pragma unroll
      for (int t = 0; t < TILES_N; t++) {
        const f16 *from = scale_at[t] + (long long)min(step0 + u, steps - 1) * s.n;
        scale[u][t][0] = from[0], scale[u][t][1] = from[pair_of[t]];
      }
#endif
#pragma unroll
    for (int u = 0; u < UNROLL; u++)
#pragma unroll
      for (int t = 0; t < TILES_N; t++) {
        const int k = (step0 + u) * kStep + q * (kStep / 4);
        v[u][t] = inside[t] && k < s.k ? load_once(w[t] + (long long)(step0 + u) * 64) : make_uint4(0, 0, 0, 0);
      }
    // W is constant, so its first loads need not wait for the kernel before; X does.
    if (!waited) {
#if __CUDA_ARCH__ >= 900
      asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
      waited = true;
    }
#pragma unroll
    for (int u = 0; u < UNROLL; u++) {
      const int k = (step0 + u) * kStep + q * (kStep / 4);
#if IS_S4
      if ((step0 + u) * kStep >= s.k) continue;
      float part[TILES_N][4];
#pragma unroll
      for (int t = 0; t < TILES_N; t++) part[t][0] = part[t][1] = part[t][2] = part[t][3] = 0.0f;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const uint4 lo = *(const uint4 *)(x_lo + (k + i * 8) * step_lo);
        uint4 hi = make_uint4(0, 0, 0, 0);
        if (HIGH_ROWS) hi = *(const uint4 *)(x_hi + (k + i * 8) * step_hi);
#pragma unroll
        for (int t = 0; t < TILES_N; t++) {
          const u32 word = i == 0 ? v[u][t].x : i == 1 ? v[u][t].y : i == 2 ? v[u][t].z : v[u][t].w;
          u32 w[4];
          unpack_s4(word, w);
          mma(part[t], lo.x, hi.x, lo.y, hi.y, w[0], w[1]);
          mma(part[t], lo.z, hi.z, lo.w, hi.w, w[2], w[3]);
        }
      }
#pragma unroll
      for (int t = 0; t < TILES_N; t++) {
        const float a = to_float(scale[u][t][0]), b = to_float(scale[u][t][1]);
        d[t][0] += part[t][0] * a, d[t][1] += part[t][1] * b;
        if (HIGH_ROWS) d[t][2] += part[t][2] * a, d[t][3] += part[t][3] * b;
      }
#else
      // Past k, W's registers are zero; X must be finite there too, so it reads its first elements.
      const int at = k < s.k ? k : 0;
      const uint4 lo = *(const uint4 *)(x_lo + at * step_lo);
      uint4 hi = make_uint4(0, 0, 0, 0);
      if (HIGH_ROWS) hi = *(const uint4 *)(x_hi + at * step_hi);
#pragma unroll
      for (int t = 0; t < TILES_N; t++) {
        mma(d[t], lo.x, hi.x, lo.y, hi.y, v[u][t].x, v[u][t].y);
        mma(d[t], lo.z, hi.z, lo.w, hi.w, v[u][t].z, v[u][t].w);
      }
#endif
    }
  }
#if __CUDA_ARCH__ >= 900
  if (!waited) asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
#pragma unroll
  for (int t = 0; t < TILES_N; t++) {
    sums[warp][g][t * 8 + q * 2] = d[t][0], sums[warp][g][t * 8 + q * 2 + 1] = d[t][1];
    if (HIGH_ROWS) sums[warp][g + 8][t * 8 + q * 2] = d[t][2], sums[warp][g + 8][t * 8 + q * 2 + 1] = d[t][3];
  }
  __syncthreads();
  constexpr int kPairs = kRowsOfBlock / 2;
  const bool even = s.d_stride % 2 == 0;
  for (int i = threadIdx.x; i < s.m * kPairs; i += WARPS * 32) {
    const int row = i / kPairs, c = i % kPairs * 2, column = n0 + c;
    if (column >= s.n) continue;
    float2 v = make_float2(0.0f, 0.0f);
#pragma unroll
    for (int p = 0; p < WARPS; p++) v.x += sums[p][row][c], v.y += sums[p][row][c + 1];
    const long long at = row * s.d_stride + column;
    v = epilogue_pair(v, row, column, 0, at, true, s.n, even, s.inputs);
    OUTPUT *to = (OUTPUT *)s.d + at;
    if (even && column + 1 < s.n && sizeof(OUTPUT) == 2) {
      *(u32 *)to = pack2<OUTPUT>(v.x, v.y);
    } else {
      to[0] = from_float<OUTPUT>(v.x);
      if (column + 1 < s.n) to[1] = from_float<OUTPUT>(v.y);
    }
  }
}
