// Skinny GEMM and GEMV with narrow weights on Hopper: D[m, n] = EPILOGUE(sum over k of X[m, k] * W[n, k] * scale), m <= XROWS.
//
//   W ->  TMA, STAGES pieces of 16 * TILES * ROW_WARPS rows x 64 * WARPS bytes in flight whatever the registers hold -> dequantised -> mma
//   one thread loads, WARPS x ROW_WARPS warps multiply: in each piece a warp takes 64 bytes of its 16 * TILES rows, as the A operands of m16n8k16
//     lane (g, q) holds 16 neighbouring bytes of rows 8 apart; neighbouring g are rows 4 apart, so that the 128-byte
//     swizzle puts a quarter warp's 16-byte pieces in different banks; X's columns follow the same order of k and lie in shared
//     memory as fragments, each of which serves TILES products; the warps' sums meet in shared memory
//   blocks walk groups of so many rows; the CLUSTER blocks of a cluster have a part of k each, so that a multiprocessor reads that
//     part of X alone, and send their sums to the one of them that finishes the row
//   W does not wait for the kernel before (programmatic dependent launch): the ring is full when X arrives
//
// Types      WEIGHT s4: two to a byte, a f16 scale for each 128 of k, packed as SkinnySm80.cu says; scales [k / 128, n].
//            WEIGHT s8: a byte each, f16 scales [n]. X and D f16.
// Needs      sm_90; n a multiple of 8 (s4); k a multiple of 128 (s4) or 64 (s8); W, scales on 16 bytes;
//            XROWS * k / CLUSTER * 2 bytes of shared memory beside the ring and the sums.
// Floor      bytes of W and scales once at copy bandwidth.
// Parameters WEIGHT, XROWS 1 | 4 | 8 | 16, STAGES, WARPS (even), ROW_WARPS, TILES 1 | 2, CLUSTER, FLIGHT (pieces on their way at
//            once; 0: STAGES).
//            docs/kernels/skinny-sm80.md.
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
#ifndef ROW_WARPS
#define ROW_WARPS 1
#endif
#ifndef TILES
#define TILES 1
#endif
#ifndef CLUSTER
#define CLUSTER 1
#endif
#ifndef RESIDENT
#define RESIDENT 1
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

constexpr int kWarps = WARPS, kRowWarps = ROW_WARPS, kThreads = 32 * kWarps * kRowWarps;
constexpr int kTiles = TILES, kRows = 16 * kTiles * kRowWarps, kPieceBytes = 64 * kWarps, kLines = kPieceBytes / 128;
constexpr int kUnitK = IS_S4 ? 128 : 64; // of k in 64 bytes, a warp's part of a piece
constexpr int kScaleBytes = IS_S4 ? kWarps * kRows * 2 : 0;
constexpr int kStageBytes = kRows * kPieceBytes + 1024 * (kScaleBytes > 0); // a stage starts on 1024 bytes
constexpr int kSteps = kUnitK / 16;
constexpr int kColumns = XROWS > 8 ? 2 : 1; // of eight rows of X
constexpr int kHeld = XROWS > 8 ? 8 : XROWS; // rows of a column block in shared memory
constexpr int kXUnitBytes = kSteps / 2 * kColumns * kHeld * 64;
constexpr int kSumLine = kRows + 4; // floats; with four more, a quad's rows of X are in different banks
constexpr int kSumBytes = kWarps * XROWS * kSumLine * 4;
constexpr int kFinished = kRows / CLUSTER; // rows of W that a block of the cluster finishes
static_assert(kWarps % 2 == 0 && kScaleBytes <= 1024 && kFinished % 4 == 0, "the scales' place; 16 bytes of sums are sent at once");

struct SkinnyShape {
  int m, n, k, slots; // slots: groups of rows whose sums a block of a cluster has room for
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
__device__ __forceinline__ float2 shared_load_float2(u32 at) {
  float2 v;
  asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(v.x), "=f"(v.y) : "r"(at));
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

// 16 bytes to another block's shared memory, counted by a barrier there.
__device__ __forceinline__ void cluster_send(u32 to, float4 v, u32 barrier) {
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(to), "f"(v.x), "f"(v.y), "f"(v.z), "f"(v.w), "r"(barrier) : "memory");
}

// Two neighbours of row `of_x` of D, their sums over k complete.
__device__ __forceinline__ void finish(const SkinnyShape &s, int of_x, int column, float2 v, bool even) {
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

#if CLUSTER > 1
#define IN_CLUSTERS __cluster_dims__(CLUSTER, 1, 1)
#else
#define IN_CLUSTERS
#endif
extern "C" __global__ void IN_CLUSTERS __launch_bounds__(kThreads + 32, RESIDENT) skinny90(const __grid_constant__ TensorMap map_w, const __grid_constant__ TensorMap map_scales,
                                                                        const __grid_constant__ SkinnyShape s) {
  extern __shared__ char raw[];
  const u32 ring = (shared_address(raw) + 1023) & ~1023u, full = ring + STAGES * kStageBytes, empty = full + 8 * STAGES, received = empty + 8 * STAGES, drained = received + 8;
  const u32 sums = (received + 31) & ~15u, parts = sums + kSumBytes; // the cluster's: [slot][rank of the sender][row of X][row of W]
  const u32 x_at = parts + (CLUSTER > 1 ? s.slots * XROWS * kRows * 4 : 0);
  const int warp_of_block = __shfl_sync(~0u, threadIdx.x / 32, 0), warp = warp_of_block % kWarps, row_warp = warp_of_block / kWarps, lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
  const int groups_n = (s.n + kRows - 1) / kRows, all_units = s.k / kUnitK;
  const int rank = CLUSTER > 1 ? blockIdx.x % CLUSTER : 0, of_block = CLUSTER > 1 ? ((all_units + CLUSTER - 1) / CLUSTER + 1) & ~1 : all_units;
  const int first_unit = rank * of_block, left = all_units - first_unit, units = left < 0 ? 0 : left < of_block ? left : of_block;
  const int pieces = (of_block + kWarps - 1) / kWarps, stride = gridDim.x / CLUSTER;
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; i++) barrier_init(full + 8 * i, 1), barrier_init(empty + 8 * i, kWarps * kRowWarps);
    if (CLUSTER > 1) barrier_init(received, 1), barrier_init(drained, CLUSTER);
    barrier_init_fence();
  }
  __syncthreads();
#if CLUSTER > 1
  cluster_meet();
#endif
  dependents_launch();
  if (row_warp == kRowWarps) {
    if (!elect_one()) return;
    int stage = 0;
    u32 phase = 0;
    [[maybe_unused]] int loaded = 0;
    for (int group = blockIdx.x / CLUSTER; group < groups_n; group += stride)
      for (int piece = 0; piece < pieces; piece++) {
        barrier_wait(empty + 8 * stage, phase ^ 1);
#if FLIGHT
        // No more than FLIGHT pieces are on their way: what the kernel before still reads would queue behind them.
        if (loaded >= FLIGHT) barrier_wait(full + 8 * ((loaded - FLIGHT) % STAGES), (loaded - FLIGHT) / STAGES & 1);
        loaded++;
#endif
        const u32 to = ring + stage * kStageBytes, ready = full + 8 * stage;
        const int unit = first_unit + piece * kWarps;
        // Whole boxes arrive, zeros for what lies outside.
        barrier_expect(ready, kRows * kPieceBytes + kScaleBytes);
#pragma unroll
        for (int i = 0; i < kLines; i++) tensor_load_3d(to + i * kRows * 128, &map_w, ready, unit * 64 + i * 128, group * kRows, 0);
        if (IS_S4) tensor_load_3d(to + kRows * kPieceBytes, &map_scales, ready, group * kRows, unit, 0);
        if (++stage == STAGES) stage = 0, phase ^= 1;
      }
    return;
  }

  // X as fragments: [unit][pair of steps][column block][row][quad], 16 bytes each. The warps of a part of k bring what their units need and
  // wait for no others; eight neighbouring lanes fill 128 bytes in one line, and a warp reads whole lines of X. Rows that X lacks stay unwritten:
  // their columns of the product are not looked at. Where the first ones go is known before the wait.
  constexpr int kPairSteps = kUnitK / 32, kRowsHeld = kColumns * kHeld, kUnitCopies = 4 * kPairSteps * kRowsHeld, kAtOnce = XROWS < 8 ? XROWS : 8;
  const int copies = (units - warp + kWarps - 1) / kWarps * kUnitCopies;
  const f16 *from[kAtOnce]; // null: nothing to bring
  u32 to[kAtOnce];
  auto place = [&](int i) {
#pragma unroll
    for (int j = 0; j < kAtOnce; j++) {
      const int at = i + j * 32 * kRowWarps, unit = warp + at / kUnitCopies * kWarps, copy = at % kUnitCopies, quad = copy % 4;
      const int row = kRowsHeld == 1 ? 0 : copy / 4 % 2 + copy / (8 * kPairSteps) * 2, pair = copy / (kRowsHeld == 1 ? 4 : 8) % kPairSteps;
      to[j] = x_at + unit * kXUnitBytes + ((pair * kColumns + row / kHeld) * kHeld + row % kHeld) * 64 + quad * 16;
      from[j] = at < copies && row < s.m ? (const f16 *)s.x + row * s.x_stride + (first_unit + unit) * kUnitK + (quad * kPairSteps + pair) * 8 : nullptr;
    }
  };
  place(row_warp * 32 + lane);
  dependency_wait();
  for (int i = row_warp * 32 + lane; i < copies;) {
    uint4 v[kAtOnce];
#pragma unroll
    for (int j = 0; j < kAtOnce; j++)
      if (from[j]) v[j] = *(const uint4 *)from[j];
#pragma unroll
    for (int j = 0; j < kAtOnce; j++)
      if (from[j]) asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to[j]), "r"(v[j].x), "r"(v[j].y), "r"(v[j].z), "r"(v[j].w) : "memory");
    if ((i += kAtOnce * 32 * kRowWarps) < copies) place(i);
  }
  if (kRowWarps > 1) named_barrier(2 + warp, 32 * kRowWarps);
  else __syncwarp();

  int stage = 0;
  [[maybe_unused]] int slot = 0, first_group = blockIdx.x / CLUSTER;
  u32 phase = 0;
  [[maybe_unused]] u32 received_phase = 0;
  const bool even = s.d_stride % 2 == 0;
  const int row = g / 2 + g % 2 * 4; // of a tile, and row + 8
  const u32 w_offset = ring + warp / 2 * kRows * 128 + (row_warp * 16 * kTiles + row) * 128 + ((warp % 2 * 4 + q) ^ row) * 16;
  const u32 scale_offset = ring + kRows * kPieceBytes + warp * kRows * 2 + (row_warp * 16 * kTiles + row) * 2;
  // Lanes beyond the rows that are there read some other row: their columns of the product are not looked at.
  const u32 x_offset = x_at + warp * kXUnitBytes + g % kHeld * 64 + q * 16;
  for (int group = blockIdx.x / CLUSTER; group < groups_n; group += stride) {
    float d[kTiles][kColumns][4];
#pragma unroll
    for (int i = 0; i < kTiles * kColumns * 4; i++) d[i / 4 / kColumns][i / 4 % kColumns][i % 4] = 0.0f;
    u32 x_from = x_offset;
    for (int unit = warp; unit < pieces * kWarps; unit += kWarps, x_from += kWarps * kXUnitBytes) {
      barrier_wait(full + 8 * stage, phase);
      if (unit < units) {
        const u32 from = w_offset + stage * kStageBytes;
        uint4 w[kTiles][2];
#pragma unroll
        for (int t = 0; t < kTiles; t++) w[t][0] = shared_load(from + t * 16 * 128), w[t][1] = shared_load(from + t * 16 * 128 + 8 * 128);
        // X's fragments of two steps at a time, the next ones on their way.
        uint4 x[2][kColumns];
#pragma unroll
        for (int c = 0; c < kColumns; c++) x[0][c] = shared_load(x_from + c * kHeld * 64);
        float scale[kTiles][2];
#pragma unroll
        for (int t = 0; t < 2 * kTiles; t++) {
#if IS_S4
          u16 bits;
          asm volatile("ld.shared.u16 %0, [%1];" : "=h"(bits) : "r"(scale_offset + stage * kStageBytes + t * 16));
          scale[t / 2][t % 2] = to_float(f16{bits});
#else
          scale[t / 2][t % 2] = 1.0f;
#endif
        }
        // Chains of products that don't wait for one another: two of one tile, or the tiles' and columns' own.
        constexpr int kChains = kTiles * kColumns >= 4 ? 1 : 2;
        float part[kChains][kTiles][kColumns][4] = {};
#pragma unroll
        for (int i = 0; i < 4; i++) {
          constexpr int kWords = 8 / kSteps; // that two steps take
          if (i % kWords == 0 && i / kWords + 1 < kSteps / 2)
#pragma unroll
            for (int c = 0; c < kColumns; c++) x[(i / kWords + 1) % 2][c] = shared_load(x_from + ((i / kWords + 1) * kColumns + c) * kHeld * 64);
#pragma unroll
          for (int t = 0; t < kTiles; t++) {
            u32 a[kPairs], b[kPairs];
            unpack(word(w[t][0], i), a), unpack(word(w[t][1], i), b);
#pragma unroll
            for (int j = 0; j < kPairs / 2; j++) {
              const int step = i * (kPairs / 2) + j;
              const u32 operand[4] = {a[2 * j], b[2 * j], a[2 * j + 1], b[2 * j + 1]};
#pragma unroll
              for (int c = 0; c < kColumns; c++) {
                const uint4 &v = x[step / 2 % 2][c];
                mma(part[step % kChains][t][c], operand, step % 2 ? v.z : v.x, step % 2 ? v.w : v.y);
              }
            }
          }
        }
#pragma unroll
        for (int t = 0; t < kTiles; t++)
#pragma unroll
          for (int c = 0; c < kColumns; c++)
#pragma unroll
            for (int e = 0; e < 4; e++)
              d[t][c][e] = fmaf(kChains > 1 ? part[0][t][c][e] + part[kChains - 1][t][c][e] : part[0][t][c][e], scale[t][e / 2], d[t][c][e]);
      }
      __syncwarp();
      if (lane == 0) barrier_arrive(empty + 8 * stage);
      if (++stage == STAGES) stage = 0, phase ^= 1;
    }
    if (group != (int)blockIdx.x / CLUSTER) named_barrier(1, kThreads); // the sums before these have been read
#pragma unroll
    for (int t = 0; t < kTiles; t++)
#pragma unroll
      for (int c = 0; c < kColumns; c++)
#pragma unroll
        for (int e = 0; e < 4; e++)
          if (XROWS >= 8 || q * 2 + e % 2 < XROWS)
            asm volatile("st.shared.f32 [%0], %1;" ::"r"(sums + ((warp * XROWS + c * 8 + q * 2 + e % 2) * kSumLine + (row_warp * kTiles + t) * 16 + row + e / 2 * 8) * 4), "f"(d[t][c][e]) : "memory");
    named_barrier(1, kThreads);
#if CLUSTER == 1
    for (int i = threadIdx.x; i < s.m * (kRows / 2); i += kThreads) {
      const int of_x = i / (kRows / 2), c = i % (kRows / 2) * 2, column = group * kRows + c;
      if (column >= s.n) continue;
      float2 v = make_float2(0.0f, 0.0f);
#pragma unroll
      for (int p = 0; p < kWarps; p++) {
        const float2 add = shared_load_float2(sums + ((p * XROWS + of_x) * kSumLine + c) * 4);
        v.x += add.x, v.y += add.y;
      }
      finish(s, of_x, column, v, even);
    }
#else
    // This block's sums of four rows of W go to the block that finishes those.
    for (int i = threadIdx.x; i < s.m * (kRows / 4); i += kThreads) {
      const int of_x = i / (kRows / 4), c = i % (kRows / 4) * 4;
      float4 v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll
      for (int p = 0; p < kWarps; p++) {
        const float4 add = shared_load_float4(sums + ((p * XROWS + of_x) * kSumLine + c) * 4);
        v.x += add.x, v.y += add.y, v.z += add.z, v.w += add.w;
      }
      const int to = c / kFinished;
      cluster_send(cluster_address(parts + (((slot * CLUSTER + rank) * XROWS + of_x) * kFinished + c % kFinished) * 4, to), v, cluster_address(received, to));
    }
    if (++slot < s.slots && group + stride < groups_n) continue;
    // All of the cluster's sums of `slot` groups.
    if (threadIdx.x == 0) barrier_expect(received, slot * CLUSTER * s.m * kFinished * 4);
    barrier_wait(received, received_phase);
    received_phase ^= 1;
    for (int i = threadIdx.x; i < slot * s.m * (kFinished / 2); i += kThreads) {
      const int at = i / (kFinished / 2) / s.m, of_x = i / (kFinished / 2) % s.m, c = i % (kFinished / 2) * 2;
      const int column = (first_group + at * stride) * kRows + rank * kFinished + c;
      if (column >= s.n) continue;
      float2 v = make_float2(0.0f, 0.0f);
#pragma unroll
      for (int p = 0; p < CLUSTER; p++) {
        const float2 add = shared_load_float2(parts + (((at * CLUSTER + p) * XROWS + of_x) * kFinished + c) * 4);
        v.x += add.x, v.y += add.y;
      }
      finish(s, of_x, column, v, even);
    }
    slot = 0, first_group = group + stride;
    if (first_group >= groups_n) return;
    // The next sums take these ones' place.
    named_barrier(1, kThreads);
    if (threadIdx.x < CLUSTER) barrier_arrive_at(drained, threadIdx.x);
    barrier_wait(drained, received_phase ^ 1);
#endif
  }
}
