// Attention forward for Hopper, flash style: O = softmax(scale * Q K^T, masked) V, one pass, scores never leave registers.
//
//            keys: KEYS at a time, STAGES buffers of K and of V, loaded by TMA (warpgroup 0)
//          +---------------+
//  queries | warpgroup 1   |   64 rows each: S' = Q K(j)^T and O += P V(j - 1) in flight together (wgmma), softmax of S' while
//   128    +---------------+   O is summed; the two warpgroups take turns to issue (ping-pong), so that one's exponentials
//          | warpgroup 2   |   run under the other's products
//          +---------------+
//
// Types      INPUT f16 | bf16 in and out, float softmax and accumulators. HEAD_DIM a multiple of 16
//            from 32 to 256; tiles lie in columns of 64 elements, of which the last may be filled in part (zeros, never multiplied).
// Layouts    q, o [batch, queries, heads, dim], k, v [batch, keys, kv heads, dim] by any strides that are multiples of 16
//            bytes; grouped heads (heads a multiple of kv heads); CAUSAL=1 aligns the last query with the last key.
// Masks      LENGTHS=1: keys of each sequence, [batch]. WINDOW=1: a query sees the `window` keys up to its own (with CAUSAL).
//            BIAS=1: a float is added to each scaled score, [batch, heads, queries, keys] of the input type by strides (0: shared).
//            PACKED=1: sequences one after another along the tokens, no padding, their first tokens in [batch + 1] for queries
//            and for keys; queries and keys are then the longest. Keys beyond a length are read, so they must be finite.
// Needs      sm_90a; any number of queries and keys.
// Floor      4 * queries * keys * heads * dim operations (half when causal); q, k, v, o moved once.
// Parameters KEYS, STAGES, CAUSAL, PING_PONG. Legal set and what was tried: docs/kernels/attention-sm90.md.
// Source     Dao, FlashAttention-2 (arXiv:2307.08691); Shah et al., FlashAttention-3 (arXiv:2407.08608).
#include "AttentionTilesSm90.cuh"

extern "C" __global__ void __launch_bounds__(384, 1)
    attention(const __grid_constant__ TensorMap map_q, const __grid_constant__ TensorMap map_k, const __grid_constant__ TensorMap map_v,
              const __grid_constant__ TensorMap map_o, const __grid_constant__ AttentionShape shape) {
  extern __shared__ char raw[];
  const u32 base = shared_address(raw);
  if (base & 1023) __trap();
  const u32 smem_q = base, smem_k = base + kQueryBytes, smem_v = smem_k + STAGES * kKeyBytes;
  const u32 smem_o = OWN_O ? smem_v + STAGES * kKeyBytes : smem_q;
  const u32 q_full = smem_v + STAGES * kKeyBytes + OWN_O * kQueryBytes, q_empty = q_full + 8, k_full = q_full + 16, k_empty = k_full + 8 * STAGES, v_full = k_empty + 8 * STAGES,
            v_empty = v_full + 8 * STAGES;
  const int warpgroup = __shfl_sync(0xffffffff, threadIdx.x / 128, 0), warp = __shfl_sync(0xffffffff, threadIdx.x / 32, 0), lane = threadIdx.x % 32;
  if (warp == 0 && elect_one()) {
    tensor_prefetch(&map_q), tensor_prefetch(&map_k), tensor_prefetch(&map_v), tensor_prefetch(&map_o);
    barrier_init(q_full, 1), barrier_init(q_empty, OWN_O ? 8 : 2);
    for (int i = 0; i < STAGES; i++) barrier_init(k_full + 8 * i, 1), barrier_init(v_full + 8 * i, 1), barrier_init(k_empty + 8 * i, 8), barrier_init(v_empty + 8 * i, 8);
    barrier_init_fence();
  }
  __syncthreads();
  dependents_launch();
  dependency_wait();
  const int tiles = (shape.queries + kRows - 1) / kRows * shape.heads * shape.batch;

  if (warpgroup == 0) {
    registers_give_up<24>();
    if (warp == 0 && elect_one()) {
      int stage = 0;
      u32 phase = 0, q_phase = 0;
      for (int round = 0; round * (int)gridDim.x < tiles; round++) {
        const int t = tile_of(round);
        if (t >= tiles) continue;
        const Work w = work_at(t, shape);
        const int kv = w.head / (shape.heads / shape.kv_heads);
        barrier_wait(q_empty, q_phase ^ 1);
        q_phase ^= 1;
        barrier_expect(q_full, kQueryBytes);
#pragma unroll
        for (int i = 0; i < kSlabs; i++) tensor_load_4d(smem_q + i * kRows * 128, &map_q, q_full, i * 64, w.query_0 + w.block * kRows, w.head, PACKED ? 0 : w.batch);
        for (int j = w.key_blocks - 1; j >= w.first_block; j--) {
          barrier_wait(k_empty + 8 * stage, phase ^ 1);
          barrier_expect(k_full + 8 * stage, kKeyBytes);
#pragma unroll
          for (int i = 0; i < kSlabs; i++) tensor_load_4d(smem_k + stage * kKeyBytes + i * KEYS * 128, &map_k, k_full + 8 * stage, i * 64, w.key_0 + j * KEYS, kv, PACKED ? 0 : w.batch);
          barrier_wait(v_empty + 8 * stage, phase ^ 1);
          barrier_expect(v_full + 8 * stage, kKeyBytes);
#pragma unroll
          for (int i = 0; i < kSlabs; i++) tensor_load_4d(smem_v + stage * kKeyBytes + i * KEYS * 128, &map_v, v_full + 8 * stage, i * 64, w.key_0 + j * KEYS, kv, PACKED ? 0 : w.batch);
          if (++stage == STAGES) stage = 0, phase ^= 1;
        }
      }
    }
  } else {
    registers_take<240>();
    const int me = warpgroup - 1, quarter = warp % 4;
    // Named barriers 1 and 2: a warpgroup's turn to issue products.
    if (PING_PONG && me == 1) named_barrier_arrive(1, 256);
    const u64 q0 = matrix_descriptor(smem_q + me * 64 * 128, 0), k0 = matrix_descriptor(smem_k, 0), v0 = matrix_descriptor(smem_v, KEYS * 128);
    int k_stage = 0, v_stage = 0;
    u32 k_phase = 0, v_phase = 0, q_phase = 0;
    float o[HEAD_DIM / 2], s[KEYS / 2];
    u32 p[KEYS / 16][4];
    float most[2], sum[2];

    auto scores = [&] {
#if HEAD_DIM > 128
      // O leaves few registers: descriptors are made anew each time, a column of tiles after another, so that none is kept.
      u64 q_at = q0, k_at = k0 + k_stage * (kKeyBytes / 16);
      asm volatile("" : "+l"(q_at), "+l"(k_at));
#pragma unroll
      for (int slab = 0; slab < kSlabs; slab++, q_at += kRows * 128 / 16, k_at += KEYS * 128 / 16)
#pragma unroll
        for (int kk = 0; kk < 4; kk++) ScoreMma<KEYS>::shared(s, q_at + kk * 2, k_at + kk * 2, slab + kk != 0);
      mma_commit();
      return;
#endif
#pragma unroll
      for (int kk = 0; kk < HEAD_DIM / 16; kk++) {
        const u64 a = q0 + (kk / 4) * (kRows * 128 / 16) + (kk % 4) * 2;
        const u64 b = k0 + k_stage * (kKeyBytes / 16) + (kk / 4) * (KEYS * 128 / 16) + (kk % 4) * 2;
        ScoreMma<KEYS>::shared(s, a, b, kk != 0);
      }
      mma_commit();
    };
    auto values = [&](bool accumulate) {
#pragma unroll
      for (int kk = 0; kk < KEYS / 16; kk++) ValueMma<HEAD_DIM>::registers(o, p[kk], v0 + v_stage * (kKeyBytes / 16) + kk * (2048 / 16), accumulate || kk != 0);
      mma_commit();
    };
    auto pack = [&] {
#pragma unroll
      for (int kk = 0; kk < KEYS / 16; kk++)
#pragma unroll
        for (int i = 0; i < 4; i++) p[kk][i] = pack2<INPUT>(s[8 * kk + 2 * i], s[8 * kk + 2 * i + 1]);
    };
    auto release = [&](u32 barrier) {
      __syncwarp();
      if (lane == 0) barrier_arrive(barrier);
    };

    for (int round = 0; round * (int)gridDim.x < tiles; round++) {
      const int t = tile_of(round);
      if (t >= tiles) continue;
      const Work w = work_at(t, shape);
      [[maybe_unused]] const int row0 = w.block * kRows + me * 64 + quarter * 16 + lane / 4;
      // Scores beyond the last key, after the query or before its window become -inf; only blocks that hold such scores pay.
      auto mask = [&](int j) {
        const int key0 = j * KEYS;
        [[maybe_unused]] const int shift = w.keys - w.queries;
#if BIAS
        // Before the masks, so that what lies outside never counts.
        const INPUT *bias = (const INPUT *)shape.bias + w.batch * shape.bias_batch + w.head * shape.bias_head;
#pragma unroll
        for (int i = 0; i < KEYS / 2; i++) {
          const int key = key0 + i / 4 * 8 + lane % 4 * 2 + i % 2, row = row0 + i / 2 % 2 * 8;
          if (key < w.keys && row < w.queries) s[i] = fmaf(to_float(bias[row * shape.bias_query + key]), shape.bias_factor, s[i]);
        }
#endif
        bool needed = key0 + KEYS > w.keys;
#if CAUSAL
        needed = needed || key0 + KEYS - 1 > w.block * kRows + me * 64 + shift;
#endif
#if WINDOW
        needed = needed || key0 <= w.block * kRows + me * 64 + 63 + shift - shape.window;
#endif
        if (!needed) return;
#pragma unroll
        for (int i = 0; i < KEYS / 2; i++) {
          const int key = key0 + i / 4 * 8 + lane % 4 * 2 + i % 2;
          int limit = w.keys;
          bool before = false;
#if CAUSAL
          const int own = row0 + (i / 2 % 2) * 8 + shift;
          limit = min(limit, own + 1);
#if WINDOW
          before = key <= own - shape.window;
#endif
#endif
          if (key >= limit || before) s[i] = -__int_as_float(0x7f800000);
        }
      };
      // Turns s into exponentials under a reference, and says whether o must be scaled by `factor`. The reference is the row's maximum, but an
      // old one stays until a score lies more than kSlack powers of two above it: o, the sums and P are then larger by at most that, which the
      // division at the end takes out again exactly, and o is hardly ever touched between its products.
      auto softmax = [&](float (&factor)[2], bool first) {
        auto row_maximum = [&](int h, float m) {
#pragma unroll
          for (int i = 0; i < KEYS / 8; i++) m = fmaxf(m, fmaxf(s[4 * i + 2 * h], s[4 * i + 2 * h + 1]));
          m = fmaxf(m, __shfl_xor_sync(0xffffffff, m, 1));
          return fmaxf(m, __shfl_xor_sync(0xffffffff, m, 2));
        };
        auto exponentials = [&](int h, float at, float total) {
#pragma unroll
          for (int i = 0; i < KEYS / 8; i++) {
            const float x = exp2_fast(fmaf(s[4 * i + 2 * h], shape.scale_log2, -at)), y = exp2_fast(fmaf(s[4 * i + 2 * h + 1], shape.scale_log2, -at));
            s[4 * i + 2 * h] = x, s[4 * i + 2 * h + 1] = y;
            total += x + y;
          }
          sum[h] = total;
        };
        if constexpr (!kSeldom) {
#pragma unroll
          for (int h = 0; h < 2; h++) {
            const float before = first ? -__int_as_float(0x7f800000) : most[h], m = row_maximum(h, before);
            most[h] = m;
            const float at = m == -__int_as_float(0x7f800000) ? 0.0f : m * shape.scale_log2;
            factor[h] = first ? 1.0f : exp2_fast(fmaf(before, shape.scale_log2, -at));
            exponentials(h, at, first ? 0.0f : sum[h] * factor[h]);
          }
          return true;
        }
        bool grows = false;
#pragma unroll
        for (int h = 0; h < 2; h++) {
          const float before = first ? -__int_as_float(0x7f800000) : most[h], m = row_maximum(h, before);
          factor[h] = 1.0f;
          if (first) {
            most[h] = m, sum[h] = 0.0f;
          } else if (!((m - before) * shape.scale_log2 <= kSlack)) { // true of a row that has seen nothing
            most[h] = m, grows = true;
            factor[h] = exp2_fast(fmaf(before, shape.scale_log2, m == -__int_as_float(0x7f800000) ? 0.0f : -m * shape.scale_log2));
            sum[h] *= factor[h];
          }
        }
        const bool any = !first && __any_sync(0xffffffff, grows);
#pragma unroll
        for (int h = 0; h < 2; h++) exponentials(h, most[h] == -__int_as_float(0x7f800000) ? 0.0f : most[h] * shape.scale_log2, sum[h]);
        return any;
      };

      float factor[2];
      barrier_wait(q_full, q_phase);
      q_phase ^= 1;
      if (w.key_blocks > w.first_block) {
        barrier_wait(k_full + 8 * k_stage, k_phase);
        if (PING_PONG) named_barrier(1 + me, 256);
        mma_fence();
        scores();
        if (PING_PONG) named_barrier_arrive(2 - me, 256);
        mma_wait<0>();
        hold(s);
        release(k_empty + 8 * k_stage);
        if (OWN_O && w.key_blocks == w.first_block + 1) release(q_empty);
        if (++k_stage == STAGES) k_stage = 0, k_phase ^= 1;
        mask(w.key_blocks - 1);
        softmax(factor, true);
        pack();
        for (int j = w.key_blocks - 2; j >= w.first_block; j--) {
          barrier_wait(k_full + 8 * k_stage, k_phase);
          if (PING_PONG) named_barrier(1 + me, 256);
          mma_fence();
          scores();
          barrier_wait(v_full + 8 * v_stage, v_phase);
          mma_fence();
          values(j != w.key_blocks - 2);
          if (PING_PONG) named_barrier_arrive(2 - me, 256);
          mma_wait<1>();
          hold(s);
          release(k_empty + 8 * k_stage);
          if (OWN_O && j == w.first_block) release(q_empty);
          if (++k_stage == STAGES) k_stage = 0, k_phase ^= 1;
          mask(j);
          const bool scaled = softmax(factor, false);
          mma_wait<0>();
          hold(o);
          release(v_empty + 8 * v_stage);
          if (++v_stage == STAGES) v_stage = 0, v_phase ^= 1;
          if (scaled) {
#pragma unroll
            for (int i = 0; i < HEAD_DIM / 2; i++) o[i] *= factor[i / 2 % 2];
          }
          pack();
        }
        barrier_wait(v_full + 8 * v_stage, v_phase);
        mma_fence();
        values(w.key_blocks > w.first_block + 1);
        mma_wait<0>();
        hold(o);
        release(v_empty + 8 * v_stage);
        if (++v_stage == STAGES) v_stage = 0, v_phase ^= 1;
      } else {
#pragma unroll
        for (int i = 0; i < HEAD_DIM / 2; i++) o[i] = 0.0f;
        sum[0] = sum[1] = 0.0f;
        if (OWN_O) release(q_empty);
      }

      float inverse[2];
#pragma unroll
      for (int h = 0; h < 2; h++) {
        float total = sum[h];
        total += __shfl_xor_sync(0xffffffff, total, 1);
        total += __shfl_xor_sync(0xffffffff, total, 2);
        inverse[h] = total > 0.0f ? 1.0f / total : 0.0f;
      }
      // Without a buffer of its own O goes out through this warpgroup's part of Q's, which its products have finished reading.
      if (OWN_O && threadIdx.x % 128 == 0) store_wait_read<0>();
      named_barrier(3 + me, 128);
#if HEAD_DIM > 128
      int lane = threadIdx.x % 32; // addresses that are not kept during the main loop
      asm volatile("" : "+r"(lane));
#endif
#pragma unroll
      for (int j = 0; j < HEAD_DIM / 8; j += 2) {
        const u32 offset = (me * 64 + quarter * 16 + lane / 8 % 2 * 8 + lane % 8) * 128 + (j % 8 + lane / 16) * 16;
        const u32 to = smem_o + j / 8 * kRows * 128 + (offset ^ ((offset >> 7 & 7) << 4));
        asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(pack2<INPUT>(o[4 * j] * inverse[0], o[4 * j + 1] * inverse[0])),
                     "r"(pack2<INPUT>(o[4 * j + 2] * inverse[1], o[4 * j + 3] * inverse[1])), "r"(pack2<INPUT>(o[4 * j + 4] * inverse[0], o[4 * j + 5] * inverse[0])),
                     "r"(pack2<INPUT>(o[4 * j + 6] * inverse[1], o[4 * j + 7] * inverse[1]))
                     : "memory");
      }
      async_proxy_fence();
      named_barrier(3 + me, 128);
#if PACKED
      // The next sequence's rows follow this one's, so only whole warps' rows of this sequence are written, 16 bytes a lane.
      for (int i = threadIdx.x % 128; i < 64 * HEAD_DIM / 8; i += 128) {
        const int r = i / (HEAD_DIM / 8), c = i % (HEAD_DIM / 8), in_sequence = w.block * kRows + me * 64 + r;
        if (in_sequence >= w.queries) continue;
        const u32 offset = (me * 64 + r) * 128 + c % 8 * 16, from = smem_o + c / 8 * kRows * 128 + (offset ^ ((offset >> 7 & 7) << 4));
        uint4 v;
        asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(from));
        *(uint4 *)((INPUT *)shape.o + ((long long)(w.query_0 + in_sequence) * shape.heads + w.head) * HEAD_DIM + c * 8) = v;
      }
      named_barrier(3 + me, 128);
      if (!OWN_O && threadIdx.x % 128 == 0) barrier_arrive(q_empty);
#else
      if (threadIdx.x % 128 == 0) {
#pragma unroll
        for (int i = 0; i < kSlabs; i++)
          asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4, %5}], [%1];" ::"l"((u64)&map_o),
                       "r"(smem_o + i * kRows * 128 + me * 64 * 128), "r"(i * 64), "r"(w.block * kRows + me * 64), "r"(w.head), "r"(w.batch)
                       : "memory");
        store_commit();
        if (!OWN_O) {
          store_wait_read<0>();
          barrier_arrive(q_empty);
        }
      }
#endif
    }
    if (threadIdx.x % 128 == 0) store_wait_read<0>();
  }
}
