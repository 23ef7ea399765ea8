// Paged decode attention: one query a sequence against its pages of K and V, at the speed of reading the pages once.
//
//   grid: split x kv head x sequence; block: WARPS warps, each takes 16 tokens in turn
//     the GROUP query heads of a kv head are the columns of mma.m16n8k16, tokens (of K) and dims (of V) its rows, so every K and V
//     element is read once for all of them and no row of the product is idle
//     K: lane (g, q) loads 16 bytes of tokens g and 8 + g: the order of dim inside the product is free as long as Q follows it
//     V: lane (g, q) loads 16 bytes (dims 8g..) of tokens 2q, 2q+1, 8+2q, 9+2q; P reaches their lanes by movmatrix
//   HELD=1 (with RING): a warp's first step waits in registers instead, one more than shared memory has room for
//   RING=n (sm_90): each warp has n steps of K and V on the way to shared memory by TMA, where they wait for the kernel before without
//   holding registers, so that the blocks of two launches fit a multiprocessor and one's pages arrive under the other's end
//   tokens t of a step are rows t / 2 + t % 2 * 4 of their eight, dims likewise: a quarter warp's 16 bytes then lie in different banks
//   CONSTANT_HISTORY=1: lengths, table, K and V but for each sequence's last 16 tokens were written before the kernel before this
//   one started (in a decode step only the newest token is new), so a warp's first loads don't wait for that kernel
//   without RING K and V go from global memory to the tensor cores without shared memory; warps, then splits, are merged by their row
//   maxima and sums: the splits of a (sequence, head) are a cluster whose blocks send one another their sums (CLUSTER=1, sm_90,
//   at most 16), or the last one merges what the others leave in memory
//
// Types      INPUT f16 | bf16 for q and out; float softmax. HEAD_DIM 64 | 128. KV as INPUT, or e4m3 (sm_89+) or s8 with a float
//            scale for each kv head, turned into 16 bits in registers.
// Layouts    q, out [batch, heads, dim]; K, V pools by strides of page, head and token (DENSE_TOKENS=1: tokens one after another); table [batch, pages of a sequence].
// Needs      sm_80+; pages a multiple of 16 tokens; heads / kv heads <= 8; 16-byte aligned rows.
// Floor      bytes of K and V once at copy bandwidth.
// Parameters HEAD_DIM, PAGE, WARPS, BLOCKS_PER_SM, CLUSTER, CONSTANT_HISTORY, DENSE_TOKENS, RING, HELD, FLIGHT; splits (at most 64, in a cluster 16) at launch. docs/kernels/paged-decode-sm80.md.
#include "DecodeTilesSm80.cuh"

#if RING
extern "C" __global__ void __launch_bounds__(kWarps * 32, BLOCKS_PER_SM)
    decode(const __grid_constant__ TensorMap map_k, const __grid_constant__ TensorMap map_v, const __grid_constant__ DecodeShape s) {
  extern __shared__ char raw[];
  const u32 ring = (shared_address(raw) + 1023) & ~1023u, full = ring + kWarps * RING * kSlotBytes;
  auto merged = [&](int w, int head) { return (float *)(raw + (ring - shared_address(raw)) + w * RING * kSlotBytes) + head * kLine; };
#else
extern "C" __global__ void __launch_bounds__(kWarps * 32, BLOCKS_PER_SM) decode(const __grid_constant__ DecodeShape s) {
  __shared__ alignas(16) float sums_of_warps[kWarps][8][kLine];
  auto merged = [&](int w, int head) { return &sums_of_warps[w][head][0]; };
#endif
#if CLUSTER
  // What the blocks of a cluster send to the one that finishes a pair of results: [pair][split] two sums, row maximum, row sum.
  constexpr int kSent = 16 * (8 * HEAD_DIM / 2 + 16);
  __shared__ alignas(16) char sent[kSent];
  __shared__ alignas(8) u64 sent_barrier;
  const u32 sent_at = shared_address(sent), arrived_at = shared_address(&sent_barrier);
  if (threadIdx.x == 0) {
    barrier_init(arrived_at, 1);
    barrier_init_fence();
  }
  __syncthreads();
  cluster_meet();
#endif
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
  const int split = blockIdx.x, kv = blockIdx.y, b = blockIdx.z, group = s.heads / s.kv_heads;
  const float kNone = -__int_as_float(0x7f800000);
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
  if (!CONSTANT_HISTORY) asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
  const int *table = s.table + (long long)b * s.pages_of_sequence;
  // The table's entries load beside the length, not after it.
  const int held_low = lane < s.pages_of_sequence ? table[lane] : 0, held_high = 32 + lane < s.pages_of_sequence ? table[32 + lane] : 0;
  const int length = s.lengths[b], steps = (length + 15) / 16;
  const int part = (steps + s.splits - 1) / s.splits, from = split * part, to = min(steps, from + part);
  const float scale_log2 = s.scale_log2 * (sizeof(KV) == 1 ? s.k_scales[kv] : 1.0f), out_scale = sizeof(KV) == 1 ? s.v_scales[kv] : 1.0f;
  const int row = row_of(g);
  // The token of a step that is element i of a lane's part of P's columns.
  auto value_token = [&](int i) { return i / 2 * 8 + q + i % 2 * 4; };
  auto page_of = [&](int step) {
    const int at = step * 16 / PAGE;
    return at < kHeldPages ? __shfl_sync(~0u, at < 32 ? held_low : held_high, at % 32) : table[at];
  };
  uint4 key[2][kSteps], value[4][kHalves];
  int step = from + warp;
#if !RING || HELD
  const KV *k_pool = (const KV *)s.k + kv * s.head_stride, *v_pool = (const KV *)s.v + kv * s.head_stride;
  const long long token_stride = DENSE_TOKENS ? HEAD_DIM : s.token_stride;
  // Where a step's 16 tokens begin. Tokens beyond the length read the page's own memory and are masked.
  auto place = [&](int step) { return (long long)page_of(step) * s.page_stride + (step * 16 % PAGE) * token_stride; };
  auto load_keys = [&](long long at) {
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
      for (int i = 0; i < kSteps; i++) key[half][i] = load_once(k_pool + at + (half * 8 + row) * token_stride + (i * 4 + q) * kElements);
  };
  auto load_values = [&](long long at) {
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
      for (int h = 0; h < kHalves; h++) value[i][h] = load_once(v_pool + at + value_token(i) * token_stride + (h * 8 + row) * kElements);
  };
#endif
#if RING
  // This warp's steps that pass through the ring: all, or all but its first.
  const int own_steps = step < to ? (to - step + kWarps - 1) / kWarps - HELD : 0;
  const u32 slots = ring + warp * RING * kSlotBytes, ready_at = full + warp * RING * 8;
  if (lane == 0) {
    for (int i = 0; i < RING; i++) barrier_init(ready_at + 8 * i, 1);
    barrier_init_fence();
  }
  __syncthreads();
  auto load = [&](int i, int of) {
    const int page = page_of(of), token = of * 16 % PAGE;
    if (lane == 0) {
      // Before the wait no more than FLIGHT steps of a block are on their way: what the kernel before still reads would queue behind them.
      if (const int awaited = of - from - HELD * kWarps - FLIGHT; FLIGHT > 0 && i < RING && awaited >= 0) barrier_wait(full + (awaited % kWarps * RING + awaited / kWarps) * 8, 0);
      const u32 to_slot = slots + i % RING * kSlotBytes, ready = ready_at + i % RING * 8;
      barrier_expect(ready, kSlotBytes);
#pragma unroll
      for (int c = 0; c < kSlotColumns; c++) tensor_load_4d(to_slot + c * kColumnBytes, &map_k, ready, c * (128 / (int)sizeof(KV)), token, kv, page);
#pragma unroll
      for (int c = 0; c < kSlotColumns; c++) tensor_load_4d(to_slot + kSlotBytes / 2 + c * kColumnBytes, &map_v, ready, c * (128 / (int)sizeof(KV)), token, kv, page);
    }
  };
  // The last step holds the newest token, so it is loaded after the wait.
  const int first = min(own_steps, RING), ring_step = step + HELD * kWarps;
  const int early = !CONSTANT_HISTORY ? 0 : first > 0 && ring_step + (first - 1) * kWarps + 1 >= steps ? first - 1 : first;
#if HELD
  const bool held_early = CONSTANT_HISTORY && step + 1 < steps;
  if (step < to && held_early) load_keys(place(step)), load_values(place(step));
#endif
  for (int i = 0; i < early; i++) load(i, ring_step + i * kWarps);
  if (CONSTANT_HISTORY) dependency_wait();
#if HELD
  if (step < to && !held_early) load_keys(place(step)), load_values(place(step));
#endif
  for (int i = early; i < first; i++) load(i, ring_step + i * kWarps);
  auto from_slot = [&](u32 half, int token_row, int piece) {
    return *(const uint4 *)(raw + (half + piece / 8 * kColumnBytes + token_row * 128 + ((piece % 8) ^ (token_row % 8)) * 16 - shared_address(raw)));
  };
#else
  long long at = 0;
#if CONSTANT_HISTORY && __CUDA_ARCH__ >= 900
  // The last step holds the newest token, so it is loaded after the wait.
  const int turn = step + 1 < steps ? 0 : 1;
#pragma unroll 1
  for (int i = 0; i < 2; i++) {
    if (i == 1) asm volatile("griddepcontrol.wait;" ::: "memory");
    if (i == turn && step < to) at = place(step), load_keys(at), load_values(at);
  }
#else
  if (step < to) at = place(step), load_keys(at), load_values(at);
#endif
#endif

  // Q in K's order: as many elements as 16 bytes of K hold, from i * 4 * kElements + q * kElements on. Without a ring it is read for each
  // step, from the L1 after the first, so that registers hold K and V instead.
  constexpr int kQueryLoads = kElements / 8;
  const INPUT *query_from = (const INPUT *)s.q + ((long long)b * s.heads + kv * group + g) * HEAD_DIM + q * kElements;
  uint4 query[kSteps][kQueryLoads];
  auto load_query = [&] {
#pragma unroll
    for (int i = 0; i < kSteps; i++)
#pragma unroll
      for (int j = 0; j < kQueryLoads; j++) {
        query[i][j] = make_uint4(0, 0, 0, 0);
        if (g < group) query[i][j] = load_again(query_from + i * 4 * kElements + j * 8);
      }
  };
#if RING
  int used = 0;
  load_query();
#endif
  // Rows: dims; columns 2q, 2q + 1: heads.
  float o[kTiles][4];
#pragma unroll
  for (int i = 0; i < kTiles; i++) o[i][0] = o[i][1] = o[i][2] = o[i][3] = 0.0f;
  float most[2] = {kNone, kNone}, sum[2] = {0.0f, 0.0f};

#if RING
  // With two slots and more the next step's K comes to registers under this step's softmax.
  constexpr bool kAhead = RING > 1;
  auto keys_from_slot = [&] {
    barrier_wait(ready_at + used % RING * 8, used / RING & 1);
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
      for (int i = 0; i < kSteps; i++) key[half][i] = from_slot(slots + used % RING * kSlotBytes, half * 8 + row, i * 4 + q);
  };
  if (kAhead && !HELD && step < to) keys_from_slot();
#endif
  for (; step < to; step += kWarps) {
#if RING
    const bool in_slot = !HELD || step >= from + kWarps;
    if (!kAhead && in_slot) keys_from_slot();
#else
    load_query();
#endif
    // Rows g and 8 + g: tokens row and 8 + row; columns 2q, 2q + 1: heads. With a ring four sums, so that a product does not wait for the one before.
    constexpr int kSums = RING ? 4 : 1;
    float scores[kSums][4] = {};
#pragma unroll
    for (int i = 0; i < kSteps; i++)
#pragma unroll
      for (int j = 0; j < kElements / 4; j++)
        mma(scores[(i * (kElements / 4) + j) % kSums], pair_along(key[0][i], 2 * j), pair_along(key[1][i], 2 * j), pair_along(key[0][i], 2 * j + 1), pair_along(key[1][i], 2 * j + 1),
            word(query[i][j / 2], j % 2 * 2), word(query[i][j / 2], j % 2 * 2 + 1));
    float x[4];
#pragma unroll
    for (int i = 0; i < 4; i++) x[i] = kSums == 1 ? scores[0][i] : (scores[0][i] + scores[1 % kSums][i]) + (scores[2 % kSums][i] + scores[3 % kSums][i]);
#if RING
    if (in_slot) {
#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int h = 0; h < kHalves; h++) value[i][h] = from_slot(slots + used % RING * kSlotBytes + kSlotBytes / 2, value_token(i), h * 8 + row);
      __syncwarp();
      if (used + RING < own_steps) load(used + RING, step + RING * kWarps);
      used++;
    }
    if (kAhead && step + kWarps < to) keys_from_slot();
#else
    const bool more = step + kWarps < to;
    if (more) at = place(step + kWarps), load_keys(at);
#endif
    if (step * 16 + 16 > length) {
      const int inside = length - step * 16;
      if (row >= inside) x[0] = x[1] = kNone;
      if (8 + row >= inside) x[2] = x[3] = kNone;
      // P is 0 there, but 0 times the NaN of memory that nothing wrote would not be.
#pragma unroll
      for (int i = 0; i < 4; i++)
        if (value_token(i) >= inside)
#pragma unroll
          for (int h = 0; h < kHalves; h++) value[i][h] = make_uint4(0, 0, 0, 0);
    }
    // Under the rows' maximum, or an older one that no score exceeds by more than kSlack powers of two: sums and P are then larger by as much,
    // which the division takes out again.
    float m[2];
#pragma unroll
    for (int e = 0; e < 2; e++) m[e] = fmaxf(x[e], x[2 + e]);
    // Of a head that has seen nothing the first is no number.
    if (__any_sync(~0u, !((m[0] - most[0]) * scale_log2 <= kSlack) || !((m[1] - most[1]) * scale_log2 <= kSlack)))
#pragma unroll
      for (int e = 0; e < 2; e++) {
        m[e] = fmaxf(m[e], __shfl_xor_sync(~0u, m[e], 4)), m[e] = fmaxf(m[e], __shfl_xor_sync(~0u, m[e], 8)), m[e] = fmaxf(m[e], __shfl_xor_sync(~0u, m[e], 16));
        m[e] = fmaxf(m[e], most[e]); // finite: a step holds at least one token inside
        const float factor = exp2_fast((most[e] - m[e]) * scale_log2);
        sum[e] *= factor, most[e] = m[e];
#pragma unroll
        for (int i = 0; i < kTiles; i++) o[i][e] *= factor, o[i][2 + e] *= factor;
      }
#pragma unroll
    for (int i = 0; i < 4; i++) x[i] = exp2_fast((x[i] - most[i % 2]) * scale_log2), sum[i % 2] += x[i];
    const u32 p0 = transposed(pack2<INPUT>(x[0], x[1])), p1 = transposed(pack2<INPUT>(x[2], x[3]));
#pragma unroll
    for (int i = 0; i < kTiles; i++) {
      const int low = kHalf(i), high = kHalf(i + kTiles), j = i % kElements, k = (i + kTiles) % kElements;
      mma(o[i], pair_across(value[0][low], value[1][low], j), pair_across(value[0][high], value[1][high], k), pair_across(value[2][low], value[3][low], j),
          pair_across(value[2][high], value[3][high], k), p0, p1);
    }
#if !RING
    if (more) load_values(at);
#endif
  }
#pragma unroll
  for (int e = 0; e < 2; e++) sum[e] += __shfl_xor_sync(~0u, sum[e], 4), sum[e] += __shfl_xor_sync(~0u, sum[e], 8), sum[e] += __shfl_xor_sync(~0u, sum[e], 16);

  // Row g of half-tile t is dim (t / kElements * 8 + row) * kElements + t % kElements: four neighbouring t are four neighbouring dims.
#pragma unroll
  for (int e = 0; e < 2; e++) {
    float *to_head = merged(warp, 2 * q + e);
#pragma unroll
    for (int t = 0; t < 2 * kTiles; t += 4) {
      const int i = t % kTiles, r = t / kTiles * 2 + e;
      *(float4 *)(to_head + (kHalf(t) * 8 + row) * kElements + t % kElements) = make_float4(o[i][r], o[i + 1][r], o[i + 2][r], o[i + 3][r]);
    }
    if (g == 0) *(float2 *)(to_head + HEAD_DIM) = make_float2(most[e], sum[e]);
  }
  __syncthreads();
  // Of two neighbouring results: sums under a row maximum, and the weights' sum.
  struct Sums {
    float2 value;
    float most, total;
  };
  constexpr int kAtOnce = CLUSTER ? 16 : 8; // parts that are on their way together
  auto add = [&](Sums &all, const Sums (&part)[kAtOnce]) {
    float m = all.most;
#pragma unroll
    for (int p = 0; p < kAtOnce; p++) m = fmaxf(m, part[p].most);
    const float own = all.most == kNone ? 0.0f : exp2_fast((all.most - m) * scale_log2);
    all = {make_float2(all.value.x * own, all.value.y * own), m, all.total * own};
#pragma unroll
    for (int p = 0; p < kAtOnce; p++) {
      const float f = part[p].most == kNone ? 0.0f : exp2_fast((part[p].most - m) * scale_log2);
      all.total += part[p].total * f, all.value.x += part[p].value.x * f, all.value.y += part[p].value.y * f;
    }
  };
  auto of_warps = [&](int head, int d) {
    Sums all{make_float2(0.0f, 0.0f), kNone, 0.0f};
#pragma unroll
    for (int w = 0; w < kWarps; w++) all.most = fmaxf(all.most, merged(w, head)[HEAD_DIM]);
#pragma unroll
    for (int w = 0; w < kWarps; w++) {
      const float2 tail = *(const float2 *)(merged(w, head) + HEAD_DIM), v = *(const float2 *)(merged(w, head) + d);
      const float factor = all.most == kNone ? 0.0f : exp2_fast((tail.x - all.most) * scale_log2);
      all.total += tail.y * factor, all.value.x += v.x * factor, all.value.y += v.y * factor;
    }
    return all;
  };
  auto store = [&](int head, int d, const Sums &all) {
    const float inverse = all.total > 0.0f ? out_scale / all.total : 0.0f;
    *(u32 *)((INPUT *)s.out + ((long long)b * s.heads + kv * group + head) * HEAD_DIM + d) = pack2<INPUT>(all.value.x * inverse, all.value.y * inverse);
  };
  const int pairs = group * HEAD_DIM / 2;
#if CLUSTER
  const int of_block = (pairs + s.splits - 1) / s.splits, mine = max(0, min(of_block, pairs - split * of_block));
  for (int i = threadIdx.x; i < pairs; i += kWarps * 32) {
    const int to = i / of_block;
    const Sums own = of_warps(i / (HEAD_DIM / 2), i % (HEAD_DIM / 2) * 2);
    if (s.splits == 1) store(i / (HEAD_DIM / 2), i % (HEAD_DIM / 2) * 2, own);
    else cluster_send(cluster_address(sent_at + (i % of_block * s.splits + split) * 16, to), make_float4(own.value.x, own.value.y, own.most, own.total), cluster_address(arrived_at, to));
  }
  if (s.splits == 1) return;
  if (threadIdx.x == 0) barrier_expect(arrived_at, mine * s.splits * 16);
  barrier_wait(arrived_at, 0);
  for (int i = threadIdx.x; i < mine; i += kWarps * 32) {
    Sums all{make_float2(0.0f, 0.0f), kNone, 0.0f}, part[kAtOnce];
#pragma unroll
    for (int p = 0; p < kAtOnce; p++) {
      part[p] = all;
      if (p >= s.splits) continue;
      const float4 v = *(const float4 *)(sent + (i * s.splits + p) * 16);
      part[p] = {make_float2(v.x, v.y), v.z, v.w};
    }
    add(all, part);
    store((split * of_block + i) / (HEAD_DIM / 2), (split * of_block + i) % (HEAD_DIM / 2) * 2, all);
  }
#else
  // The last split finishes; the others, which were started before it, leave their sums in memory, where it waits for them. Each word says
  // for itself that it is there: 0 is empty, a float's bits are written turned over (a NaN of all ones as another one).
  constexpr int kLeft = HEAD_DIM + 2; // floats of a head
  const bool finishes = split == s.splits - 1;
  float *of_pair = s.partial + ((long long)b * s.kv_heads + kv) * s.splits * group * kLeft;
  auto leave = [&](float *to, float x, float y) {
    const u32 a = ~__float_as_uint(x), b = ~__float_as_uint(y);
    asm volatile("st.volatile.global.v2.u32 [%0], {%1, %2};" ::"l"((u64)to), "r"(a == 0 ? 0x80000000u : a), "r"(b == 0 ? 0x80000000u : b) : "memory");
  };
  for (int i = threadIdx.x; i < pairs; i += kWarps * 32) {
    const int head = i / (HEAD_DIM / 2), d = i % (HEAD_DIM / 2) * 2;
    Sums all = of_warps(head, d);
    if (!finishes) {
      float *to_head = of_pair + (split * group + head) * kLeft;
      leave(to_head + d, all.value.x, all.value.y);
      if (d == 0) leave(to_head + HEAD_DIM, all.most, all.total);
      continue;
    }
    for (int first = 0; first < s.splits - 1; first += kAtOnce) {
      uint4 word[kAtOnce];
#pragma unroll
      for (int p = 0; p < kAtOnce; p++) word[p] = make_uint4(0, 0, 0, 0);
      bool missing = true;
      while (missing) {
#pragma unroll
        for (int p = 0; p < kAtOnce; p++) {
          if (first + p >= s.splits - 1) continue;
          const float *from_head = of_pair + ((first + p) * group + head) * kLeft;
          asm volatile("ld.volatile.global.v2.u32 {%0, %1}, [%2];" : "=r"(word[p].x), "=r"(word[p].y) : "l"((u64)(from_head + d)) : "memory");
          asm volatile("ld.volatile.global.v2.u32 {%0, %1}, [%2];" : "=r"(word[p].z), "=r"(word[p].w) : "l"((u64)(from_head + HEAD_DIM)) : "memory");
        }
        missing = false;
#pragma unroll
        for (int p = 0; p < kAtOnce; p++) missing = missing || (first + p < s.splits - 1 && (word[p].x == 0 || word[p].y == 0 || word[p].z == 0 || word[p].w == 0));
      }
      Sums part[kAtOnce];
#pragma unroll
      for (int p = 0; p < kAtOnce; p++) {
        part[p] = {make_float2(0.0f, 0.0f), kNone, 0.0f};
        if (first + p < s.splits - 1) part[p] = {make_float2(__uint_as_float(~word[p].x), __uint_as_float(~word[p].y)), __uint_as_float(~word[p].z), __uint_as_float(~word[p].w)};
      }
      add(all, part);
    }
    store(head, d, all);
  }
  if (!finishes || s.splits == 1) return;
  // Empty again for the next launch, once every thread has read the row maxima.
  __syncthreads();
  for (int i = threadIdx.x; i < (s.splits - 1) * group * kLeft / 2; i += kWarps * 32) ((float2 *)of_pair)[i] = make_float2(0.0f, 0.0f);
#endif
}
