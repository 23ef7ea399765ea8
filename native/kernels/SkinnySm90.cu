// Skinny GEMM and GEMV with narrow weights on Hopper: D[m, n] = EPILOGUE(sum over k of X[m, k] * W[n, k] * scale), m <= XROWS.
//
//   W ->  TMA, STAGES pieces of 16 rows x 64 * WARPS bytes in flight whatever the registers hold -> dequantised -> mma
//   one thread loads, WARPS multiply: in each piece a warp takes 64 bytes of all 16 rows, as the A operand of m16n8k16
//     lane (g, q) holds 16 neighbouring bytes of two rows, 8 apart; neighbouring g are rows 4 apart, so that the 128-byte
//     swizzle puts a quarter warp's 16-byte pieces in different banks; X's columns follow the same order of k and lie in shared
//     memory as fragments; blocks walk groups of 16 rows, all of k each; the warps' sums meet in shared memory
//   W does not wait for the kernel before (programmatic dependent launch): the ring is full when X arrives
//
// Types      WEIGHT s4: two to a byte, a f16 scale for each 128 of k, packed as SkinnySm80.cu says; scales [k / 128, n].
//            WEIGHT s8: a byte each, f16 scales [n]. X and D f16.
// Needs      sm_90; n a multiple of 8 (s4); k a multiple of 128 (s4) or 64 (s8); W, scales on 16 bytes; XROWS * k * 2 bytes of
//            shared memory beside the ring.
// Floor      bytes of W and scales once at copy bandwidth.
// Parameters WEIGHT, XROWS 1 | 4 | 8 | 16, STAGES, WARPS, FLIGHT (pieces on their way at once; 0: STAGES). docs/kernels/skinny-sm80.md.
#include "AsyncCopy.cuh"
#include "Epilogue.cuh"

#ifndef WEIGHT
#define WEIGHT s4
#endif
#ifndef XROWS
#define XROWS 1
#endif
#ifndef STAGES
#define STAGES 8
#endif
#ifndef WARPS
#define WARPS 8
#endif
#ifndef FLIGHT
#define FLIGHT 0
#endif
static_assert(FLIGHT <= STAGES, "a piece on its way has a stage");
#define IS_S4_s8 0
#define IS_S4_s4 1
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define IS_S4 JOIN(IS_S4_, WEIGHT)

constexpr int kWarps = WARPS, kRows = 16, kPieceBytes = 64 * kWarps, kLines = kPieceBytes / 128;
constexpr int kUnitK = IS_S4 ? 128 : 64; // of k in 64 bytes, a warp's part of a piece
constexpr int kScaleBytes = IS_S4 ? kWarps * kRows * 2 : 0;
constexpr int kStageBytes = kRows * kPieceBytes + 1024 * (kScaleBytes > 0); // a stage starts on 1024 bytes
constexpr int kSteps = kUnitK / 16;
constexpr int kColumns = XROWS > 8 ? 2 : 1;       // of eight rows of X
constexpr int kHeld = XROWS > 8 ? 8 : XROWS;      // rows of a column block in shared memory
constexpr int kSumRows = XROWS; // of a warp's sums, those of X's rows
constexpr int kXUnitBytes = kSteps / 2 * kColumns * kHeld * 64;

struct SkinnyShape {
  int m, n, k, unused;
  long long x_stride, d_stride; // of rows, in elements
  const void *x, *w, *scales;
  void *d;
  EpilogueInputs inputs;
};

__device__ __forceinline__ void mma(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ uint4 shared_load(u32 at) {
  uint4 v;
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(at));
  return v;
}
__device__ __forceinline__ u32 word(const uint4 &v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

#if IS_S4
// The 8 values of a word as four pairs of halves, exactly, with one shift: 1024 + value less 1032, or, for nibbles 4 bits up,
// (1024 + 16 * value) / 16 less 72.
constexpr int kPairs = 4;
__device__ __forceinline__ void unpack(u32 word, u32 (&pair)[kPairs]) {
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const u32 w = i == 0 ? word : word >> 8;
    asm("lop3.b32 %0, %1, 0x000f000f, 0x64006400, 0xea;" : "=r"(pair[2 * i]) : "r"(w));
    asm("lop3.b32 %0, %1, 0x00f000f0, 0x64006400, 0xea;" : "=r"(pair[2 * i + 1]) : "r"(w));
    asm("sub.rn.f16x2 %0, %0, %1;" : "+r"(pair[2 * i]) : "r"(0x64086408u));
    asm("fma.rn.f16x2 %0, %0, %1, %2;" : "+r"(pair[2 * i + 1]) : "r"(0x2c002c00u), "r"(0xd480d480u));
  }
}
#else
// The 4 values of a word as two pairs of halves, exactly: the byte with its sign flipped under the exponent of 1024, less 1152.
constexpr int kPairs = 2;
__device__ __forceinline__ void unpack(u32 word, u32 (&pair)[kPairs]) {
  const u32 w = word ^ 0x80808080u;
  pair[0] = __byte_perm(w, 0x64646464u, 0x4140), pair[1] = __byte_perm(w, 0x64646464u, 0x4342);
#pragma unroll
  for (int i = 0; i < 2; i++) asm("sub.rn.f16x2 %0, %0, %1;" : "+r"(pair[i]) : "r"(0x64806480u));
}
#endif

extern "C" __global__ void __launch_bounds__(32 * (kWarps + 1)) skinny90(const __grid_constant__ TensorMap map_w, const __grid_constant__ TensorMap map_scales,
                                                                        const __grid_constant__ SkinnyShape s) {
  extern __shared__ char raw[];
  const u32 ring = (shared_address(raw) + 1023) & ~1023u, full = ring + STAGES * kStageBytes, empty = full + 8 * STAGES;
  const u32 x_at = empty + 8 * STAGES + (empty + 8 * STAGES) % 16;
  __shared__ float sums[2][kWarps][kSumRows][kRows + 2];
  const int warp = __shfl_sync(~0u, threadIdx.x / 32, 0), lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
  const int groups_n = (s.n + kRows - 1) / kRows, units = s.k / kUnitK, pieces = (units + kWarps - 1) / kWarps;
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; i++) barrier_init(full + 8 * i, 1), barrier_init(empty + 8 * i, kWarps);
    barrier_init_fence();
  }
  __syncthreads();
  dependents_launch();
  if (warp == kWarps) {
    if (!elect_one()) return;
    int stage = 0;
    u32 phase = 0;
    [[maybe_unused]] int loaded = 0;
    for (int group = blockIdx.x; group < groups_n; group += gridDim.x)
      for (int piece = 0; piece < pieces; piece++) {
        barrier_wait(empty + 8 * stage, phase ^ 1);
#if FLIGHT
        // No more than FLIGHT pieces are on their way: what the kernel before still reads would queue behind them.
        if (loaded >= FLIGHT) barrier_wait(full + 8 * ((loaded - FLIGHT) % STAGES), (loaded - FLIGHT) / STAGES & 1);
        loaded++;
#endif
        const u32 to = ring + stage * kStageBytes, ready = full + 8 * stage;
        // Whole boxes arrive, zeros for what lies outside.
        barrier_expect(ready, kRows * kPieceBytes + kScaleBytes);
#pragma unroll
        for (int i = 0; i < kLines; i++) tensor_load_3d(to + i * kRows * 128, &map_w, ready, piece * kPieceBytes + i * 128, group * kRows, 0);
        if (IS_S4) tensor_load_3d(to + kRows * kPieceBytes, &map_scales, ready, group * kRows, piece * kWarps, 0);
        if (++stage == STAGES) stage = 0, phase ^= 1;
      }
    return;
  }

  dependency_wait();
  // X as fragments: [unit][pair of steps][column block][row][quad], 16 bytes each. A warp brings what its own units need, all of it in flight
  // at once, and waits for no other; eight neighbouring lanes fill 128 bytes in one line, and a warp reads whole lines of X.
  constexpr int kPairSteps = kUnitK / 32, kRowsHeld = kColumns * kHeld, kUnitCopies = 4 * kPairSteps * kRowsHeld;
  const int own_units = (units - warp + kWarps - 1) / kWarps;
  for (int i = lane; i < own_units * kUnitCopies; i += 32) {
    const int unit = warp + i / kUnitCopies * kWarps, copy = i % kUnitCopies, quad = copy % 4;
    const int row = kRowsHeld == 1 ? 0 : copy / 4 % 2 + copy / (8 * kPairSteps) * 2, pair = copy / (kRowsHeld == 1 ? 4 : 8) % kPairSteps;
    const u32 to = x_at + unit * kXUnitBytes + ((pair * kColumns + row / kHeld) * kHeld + row % kHeld) * 64 + quad * 16;
    const f16 *from = (const f16 *)s.x + (row < s.m ? row : 0) * s.x_stride + unit * kUnitK + (quad * kPairSteps + pair) * 8;
    uint4 v = make_uint4(0, 0, 0, 0);
    if (row < s.m) v = *(const uint4 *)from;
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
  }
  __syncwarp();

  int stage = 0, turn = 0;
  u32 phase = 0;
  const bool even = s.d_stride % 2 == 0;
  const int row = g / 2 + g % 2 * 4; // of the piece, and row + 8
  const u32 w_offset = warp / 2 * kRows * 128 + row * 128 + ((warp % 2 * 4 + q) ^ row) * 16;
  for (int group = blockIdx.x; group < groups_n; group += gridDim.x, turn ^= 1) {
    float d[kColumns][4];
#pragma unroll
    for (int c = 0; c < kColumns; c++) d[c][0] = d[c][1] = d[c][2] = d[c][3] = 0.0f;
    for (int piece = 0; piece < pieces; piece++) {
      const int unit = piece * kWarps + warp;
      barrier_wait(full + 8 * stage, phase);
      if (unit < units) {
        const u32 from = ring + stage * kStageBytes + w_offset;
        const uint4 low = shared_load(from), high = shared_load(from + 8 * 128);
        uint4 x[kSteps / 2][kColumns];
#pragma unroll
        for (int i = 0; i < kSteps / 2; i++)
#pragma unroll
          for (int c = 0; c < kColumns; c++)
            x[i][c] = kHeld == 8 || g < kHeld ? shared_load(x_at + unit * kXUnitBytes + ((i * kColumns + c) * kHeld + g) * 64 + q * 16) : make_uint4(0, 0, 0, 0);
#if IS_S4
        u16 scale_low, scale_high;
        const u32 scale = ring + stage * kStageBytes + kRows * kPieceBytes + warp * kRows * 2 + row * 2;
        asm volatile("ld.shared.u16 %0, [%1];" : "=h"(scale_low) : "r"(scale));
        asm volatile("ld.shared.u16 %0, [%1];" : "=h"(scale_high) : "r"(scale + 16));
#endif
        // Two sums, so that one mma does not wait for the one before.
        float part[2][kColumns][4];
#pragma unroll
        for (int c = 0; c < 2 * kColumns; c++) part[c / kColumns][c % kColumns][0] = part[c / kColumns][c % kColumns][1] = part[c / kColumns][c % kColumns][2] = part[c / kColumns][c % kColumns][3] = 0.0f;
#pragma unroll
        for (int i = 0; i < 4; i++) {
          u32 a[kPairs], b[kPairs];
          unpack(word(low, i), a), unpack(word(high, i), b);
#pragma unroll
          for (int j = 0; j < kPairs / 2; j++) {
            const int step = i * (kPairs / 2) + j;
            const u32 operand[4] = {a[2 * j], b[2 * j], a[2 * j + 1], b[2 * j + 1]};
#pragma unroll
            for (int c = 0; c < kColumns; c++) {
              const uint4 &v = x[step / 2][c];
              mma(part[step % 2][c], operand, step % 2 ? v.z : v.x, step % 2 ? v.w : v.y);
            }
          }
        }
#if IS_S4
        const float low_scale = to_float(f16{scale_low}), high_scale = to_float(f16{scale_high});
#else
        const float low_scale = 1.0f, high_scale = 1.0f;
#endif
#pragma unroll
        for (int c = 0; c < kColumns; c++)
#pragma unroll
          for (int e = 0; e < 4; e++) d[c][e] = fmaf(part[0][c][e] + part[1][c][e], e < 2 ? low_scale : high_scale, d[c][e]);
      }
      __syncwarp();
      if (lane == 0) barrier_arrive(empty + 8 * stage);
      if (++stage == STAGES) stage = 0, phase ^= 1;
    }
#pragma unroll
    for (int c = 0; c < kColumns; c++)
#pragma unroll
      for (int e = 0; e < 4; e++)
        if (XROWS >= 8 || q * 2 + e % 2 < XROWS) sums[turn][warp][c * 8 + q * 2 + e % 2][row + e / 2 * 8] = d[c][e];
    named_barrier(1, 32 * kWarps);
    for (int i = threadIdx.x; i < s.m * (kRows / 2); i += 32 * kWarps) {
      const int of_x = i / (kRows / 2), c = i % (kRows / 2) * 2, column = group * kRows + c;
      if (column >= s.n) continue;
      float2 v = make_float2(0.0f, 0.0f);
#pragma unroll
      for (int p = 0; p < kWarps; p++) v.x += sums[turn][p][of_x][c], v.y += sums[turn][p][of_x][c + 1];
#if !IS_S4
      const float2 scale = load_pair((const f16 *)s.scales + column, s.n - column, true);
      v.x *= scale.x, v.y *= scale.y;
#endif
      const long long at = of_x * s.d_stride + column;
      v = epilogue_pair(v, of_x, column, 0, at, true, s.n, even, s.inputs);
      f16 *to = (f16 *)s.d + at;
      if (even && column + 1 < s.n) {
        *(u32 *)to = pack2<f16>(v.x, v.y);
      } else {
        to[0] = from_float<f16>(v.x);
        if (column + 1 < s.n) to[1] = from_float<f16>(v.y);
      }
    }
  }
}
