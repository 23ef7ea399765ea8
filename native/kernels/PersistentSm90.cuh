// The kernel of GemmSm90.cu and ConvSm90.cu: TMA loads of 128-byte slabs by one thread, wgmma by the other warpgroups, the
// epilogue from registers through shared memory to TMA stores. What a tile is and what its parameters mean: GemmSm90.cu.
// CONVOLUTION=1 takes A's rows as pixels of an image in im2col order; all else is the same.
#pragma once
#include "PersistentTilesSm90.cuh"

template <class T> __device__ __forceinline__ void store_masked(T *to, float2 v, int count, bool even) {
  if (count >= 2 && even) {
    if constexpr (sizeof(T) == 2) {
      *(u32 *)to = pack2<T>(v.x, v.y);
    } else {
      to[0] = from_float<T>(v.x);
      to[1] = from_float<T>(v.y);
    }
    return;
  }
  if (count >= 1) to[0] = from_float<T>(v.x);
  if (count >= 2) to[1] = from_float<T>(v.y);
}

// PROFILE=1: a block's clock at nine places, by its first thread, to shape.partial as [block][16] of 64 bits.
#if PROFILE
#define STAMP(i)                                                                                                       \
  if (threadIdx.x == 0) {                                                                                              \
    u64 now;                                                                                                           \
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now)::"memory");                                                \
    ((u64 *)shape.partial)[blockIdx.x * 16 + i] = i == 0 || i == 8 ? now : (u64)clock64();                             \
  }
#else
#define STAMP(i)
#endif

extern "C" __global__ void __cluster_dims__(kCluster, 1, 1) __launch_bounds__(kThreads, BLOCKS_PER_SM)
    KERNEL(const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b, const __grid_constant__ TensorMap map_d,
           const __grid_constant__ GemmShape shape
#if EPILOGUE_TILE
           , const __grid_constant__ TensorMap map_tile
#endif
    ) {
  extern __shared__ char raw[];
  STAMP(0)
  STAMP(9)
  // Dynamic shared memory starts on 1024 bytes, as the swizzle needs, so no padding is asked for.
  const u32 base = shared_address(raw);
  if (base & 1023) __trap();
  const u32 smem_a = base, smem_b = base + STAGES * kABytes, smem_d = base + STAGES * kStageBytes;
  const u32 full = smem_d + kStoreBytes, empty = full + 8 * STAGES;
#if EPILOGUE_TILE
  const u32 tile_full = empty + 8 * STAGES; // a barrier for each consumer
#endif
  [[maybe_unused]] const u32 receive = kApart ? smem_d : base + SPLIT_K * kOwnerBytes, arrived = empty + 8 * STAGES;

  const int warpgroup = __shfl_sync(0xffffffff, threadIdx.x / 128, 0);
  const int warp = __shfl_sync(0xffffffff, threadIdx.x / 32, 0);
  const int lane = threadIdx.x % 32;
  const u32 rank = kCluster > 1 ? cluster_rank() : 0;
  // Rank in the cluster: along m first, then n, then k. Blocks of one k part share tiles, those of one tile share a sum.
  const int rank_m = rank % CLUSTER_M, rank_n = rank / CLUSTER_M % CLUSTER_N, rank_k = rank / (CLUSTER_M * CLUSTER_N);
  const int share_0 = rank_k * CLUSTER_M * CLUSTER_N;
  constexpr int kSharers = CLUSTER_M + CLUSTER_N - 1;

  if (warp == 4 * CONSUMERS && elect_one()) {
    tensor_prefetch(&map_a);
    tensor_prefetch(&map_b);
    tensor_prefetch(&map_d);
    for (int i = 0; i < STAGES; i++) {
      barrier_init(full + 8 * i, 1);
      barrier_init(empty + 8 * i, 4 * kTogether * kSharers);
    }
#if EPILOGUE_TILE
    for (int i = 0; i < CONSUMERS; i++) barrier_init(tile_full + 8 * i, 1);
#endif
    if (SPLIT_K > 1) {
      barrier_init(arrived, 1);
      barrier_expect(arrived, kReceiveBytes);
    }
    barrier_init_fence();
  }
  if (kCluster > 1) cluster_meet();
  else __syncthreads();
  dependents_launch();
  STAMP(1)
  if (!CONSTANT_B || warpgroup != CONSUMERS) dependency_wait();
  const int tiles = all_tiles(shape);

  const int clusters = gridDim.x / kCluster, cluster = blockIdx.x / kCluster;
  int slab_from = 0, slab_to = shape.k_slabs;
  if (SPLIT_K > 1) {
    const int part = (shape.k_slabs + SPLIT_K - 1) / SPLIT_K;
    slab_from = min(rank_k * part, shape.k_slabs);
    slab_to = min(slab_from + part, shape.k_slabs);
  }

#if STREAM_K
  Segments segments{share_of(blockIdx.x, tiles * shape.k_slabs), share_of(blockIdx.x + 1, tiles * shape.k_slabs), 0, shape.k_slabs, 0, 0};
#else
  Segments segments{cluster, tiles, clusters, 0, slab_from, slab_to};
#endif
  Segment segment;

  if (warpgroup == CONSUMERS) {
#ifdef PRODUCER_REGISTERS
    registers_give_up<PRODUCER_REGISTERS>();
#endif
    if (warp == 4 * CONSUMERS && elect_one()) {
      int stage = 0;
      u32 phase = 0;
      [[maybe_unused]] bool first = true;
      // The blocks that share this block's rows of A, and its rows of B.
      u32 blocks_a = 0;
      for (int j = 0; j < CLUSTER_N; j++) blocks_a |= 1u << (share_0 + rank_m + j * CLUSTER_M);
      [[maybe_unused]] const u16 a_mask = (u16)blocks_a, b_mask = (u16)(((1u << CLUSTER_M) - 1) << (share_0 + rank_n * CLUSTER_M));
      while (segments.next(segment)) {
        const Tile tile = tile_at(segment.tile, shape);
        const int m0 = (tile.m * CLUSTER_M + rank_m) * kTileM, n0 = (tile.n * CLUSTER_N + rank_n) * TILE_N;
        constexpr int kPartM = kTileM / CLUSTER_N, kPartN = TILE_N / CLUSTER_M;
#if CONVOLUTION
        const int pixel = m0 + rank_n * kPartM, image = pixel / shape.conv.out_pixels, in_image = pixel - image * shape.conv.out_pixels;
        const int pixel_h = in_image / shape.conv.out_w, pixel_w = in_image - pixel_h * shape.conv.out_w;
        const int image_h = pixel_h * shape.conv.stride_h - shape.conv.pad_h, image_w = pixel_w * shape.conv.stride_w - shape.conv.pad_w;
        const int channel_0 = tile.batch * shape.conv.group_channels, filter_0 = tile.batch * shape.n;
#else
        const int batch_a = shape.a_batched && !GROUPED ? tile.batch : 0, batch_b = shape.b_batched ? tile.batch : 0;
#endif
#if SWAPPED
        // A's rows are the product's columns, weights: they are announced and loaded first.
        auto load_a = [&](const Slab &at, int to_stage) {
          const u32 ready = full + 8 * to_stage, to_a = smem_a + to_stage * kABytes + rank_n * kPartM * 128;
          barrier_expect(ready, kStageBytes);
          if (CLUSTER_N > 1) tensor_load_3d_multicast(to_a, &map_a, ready, at.k0, m0 + rank_n * kPartM, batch_a, a_mask);
          else tensor_load_3d(to_a, &map_a, ready, at.k0, m0 + rank_n * kPartM, batch_a);
        };
        int early = 0;
        if (CONSTANT_B && first) {
          early = min(STAGES, segment.to - segment.from);
          Slab at = slab_at(segment.from, shape);
          for (int i = 0; i < early; i++, next_slab(at, shape)) load_a(at, i);
          dependency_wait();
          first = false;
        }
        Slab at = slab_at(segment.from, shape);
        for (int slab = segment.from; slab < segment.to; slab++, next_slab(at, shape)) {
          const u32 ready = full + 8 * stage, to_b = smem_b + stage * kBBytes + rank_m * kPartN * 128;
          if (early > 0) {
            early--;
          } else {
            barrier_wait(empty + 8 * stage, phase ^ 1);
            load_a(at, stage);
          }
          if (CLUSTER_M > 1) tensor_load_3d_multicast(to_b, &map_b, ready, at.k0, n0 + rank_m * kPartN, batch_b, b_mask);
          else tensor_load_3d(to_b, &map_b, ready, at.k0, n0 + rank_m * kPartN, batch_b);
          if (++stage == STAGES) stage = 0, phase ^= 1;
        }
#else
        // A stage's part of B, whose whole loads are announced first.
        auto load_b = [&](const Slab &at, int to_stage) {
          const u32 ready = full + 8 * to_stage, to_b = smem_b + to_stage * kBBytes + rank_m * kPartN * 128;
          barrier_expect(ready, kStageBytes);
#if CONVOLUTION
          const int row_b = filter_0 + n0 + rank_m * kPartN;
          if (CLUSTER_M > 1) tensor_load_3d_multicast(to_b, &map_b, ready, at.k0, row_b, at.tap, b_mask);
          else tensor_load_3d(to_b, &map_b, ready, at.k0, row_b, at.tap);
#else
          constexpr int kBoxN = B_ALONG_N ? 64 : kPartN;
#pragma unroll
          for (int i = 0; i < kPartN / kBoxN; i++) {
            const int row = n0 + rank_m * kPartN + i * kBoxN;
            const int x = B_ALONG_N ? row : at.k0, y = B_ALONG_N ? at.k0 : row;
            if (CLUSTER_M > 1) tensor_load_3d_multicast(to_b + i * kBoxN * 128, &map_b, ready, x, y, batch_b, b_mask);
            else tensor_load_3d(to_b + i * kBoxN * 128, &map_b, ready, x, y, batch_b);
          }
#endif
        };
        int early = 0;
        if (CONSTANT_B && first) {
          // B is constant: the first tile's stages take it while the kernel before still runs.
          early = min(STAGES, segment.to - segment.from);
          Slab at = slab_at(segment.from, shape);
          for (int i = 0; i < early; i++, next_slab(at, shape)) load_b(at, i);
          dependency_wait();
          first = false;
        }
        Slab at = slab_at(segment.from, shape);
        for (int slab = segment.from; slab < segment.to; slab++, next_slab(at, shape)) {
          const u32 ready = full + 8 * stage;
          if (early > 0) {
            early--;
          } else {
            barrier_wait(empty + 8 * stage, phase ^ 1);
            load_b(at, stage);
          }
          const u32 to_a = smem_a + stage * kABytes + rank_n * kPartM * 128;
#if CONVOLUTION
          if (CLUSTER_N > 1)
            tensor_load_im2col_multicast(to_a, &map_a, ready, channel_0 + at.k0, image_w, image_h, image, at.offset_w, at.offset_h, a_mask);
          else
            tensor_load_im2col(to_a, &map_a, ready, channel_0 + at.k0, image_w, image_h, image, at.offset_w, at.offset_h);
#else
          constexpr int kBoxM = A_ALONG_M ? 64 : kPartM;
#pragma unroll
          for (int i = 0; i < kPartM / kBoxM; i++) {
            const int row = tile.row_0 + m0 + rank_n * kPartM + i * kBoxM;
            const int x = A_ALONG_M ? row : at.k0, y = A_ALONG_M ? at.k0 : row;
            if (CLUSTER_N > 1) tensor_load_3d_multicast(to_a + i * kBoxM * 128, &map_a, ready, x, y, batch_a, a_mask);
            else tensor_load_3d(to_a + i * kBoxM * 128, &map_a, ready, x, y, batch_a);
          }
#endif
          if (++stage == STAGES) stage = 0, phase ^= 1;
        }
#endif
      }
    }
    if (kCluster > 1) {
      __syncwarp();
      if (SPLIT_K > 1 && !kApart) cluster_sync();
      cluster_meet();
    }
  } else {
#ifdef CONSUMER_REGISTERS
    registers_take<CONSUMER_REGISTERS>();
#endif
    const int consumer = warpgroup;
    const int quarter = warp % 4;
    Accumulator d[BLOCKS_M][TILE_N / 2];
    STAMP(2)
    int stage = 0;
    u32 phase = 0;
    // Where this lane's release of a stage goes: the blocks whose loads write into this block's shared memory.
    const int other_n = lane - CLUSTER_M + (lane - CLUSTER_M >= rank_n ? 1 : 0);
    const u32 release_rank = share_0 + (lane < CLUSTER_M ? lane + rank_n * CLUSTER_M : rank_m + other_n * CLUSTER_M);
    auto release = [&](int s) {
      if (kSharers > 1) {
        if (lane < kSharers) barrier_arrive_at(empty + 8 * s, release_rank);
      } else {
        if (lane == 0) barrier_arrive(empty + 8 * s);
      }
    };
    const u64 a0 = matrix_descriptor(smem_a + consumer % kTogether * BLOCKS_M * 64 * 128, 0);
    const u64 b0 = matrix_descriptor(smem_b, B_ALONG_N ? 64 * 128 : 0);
    constexpr int kStepA = A_ALONG_M ? 2048 / 16 : 32 / 16, kStepB = B_ALONG_N ? 2048 / 16 : 32 / 16;

    [[maybe_unused]] int chunk_count = 0;
#if EPILOGUE_TILE
    u32 tile_phase = 0;
#endif
    int turn = 0;
    // Named barriers 8 and 9: whose tile it is. A warpgroup that ran ahead would take a phase of the same parity for its own.
    if (PING_PONG && consumer == 1) named_barrier_arrive(8, 256);
    while (segments.next(segment)) {
      if (PING_PONG && turn++ % CONSUMERS != consumer) {
        // Another warpgroup's tile: its stages pass by.
        stage += segment.to - segment.from;
        phase ^= stage / STAGES & 1;
        stage %= STAGES;
        continue;
      }
      if (PING_PONG) named_barrier(8 + consumer, 256);
      const Tile tile = tile_at(segment.tile, shape);
      if (kPrefetch) {
        // The epilogue's matrices come into the L2 under the products, a row by each thread.
        constexpr int kMine = SPLIT_K > 1 ? kRows : BLOCKS_M * 64;
        const int mine = SPLIT_K > 1 ? threadIdx.x : threadIdx.x % 128, n0 = (tile.n * CLUSTER_N + rank_n) * TILE_N;
        const int r = mine + (tile.m * CLUSTER_M + rank_m) * kTileM + (SPLIT_K > 1 ? rank_k * kRows : consumer % kTogether * BLOCKS_M * 64);
        if (mine < kMine && r < tile.rows && n0 < shape.n)
          epilogue_prefetch((GROUPED ? tile.row_0 * shape.row_stride : tile.batch * shape.batch_stride) + r * shape.row_stride + n0, min(TILE_N, shape.n - n0), shape.inputs);
      }
      int previous = -1;
#if PROMOTE
      Accumulator part[BLOCKS_M][TILE_N / 2];
#pragma unroll
      for (int mi = 0; mi < BLOCKS_M; mi++)
#pragma unroll
        for (int i = 0; i < TILE_N / 2; i++) d[mi][i] = 0;
      int since = 0;
#define TARGET part
#else
#define TARGET d
      if (segment.from >= segment.to) {
#pragma unroll
        for (int mi = 0; mi < BLOCKS_M; mi++)
#pragma unroll
          for (int i = 0; i < TILE_N / 2; i++) d[mi][i] = 0;
      }
#endif
      for (int slab = segment.from; slab < segment.to; slab++) {
#if EPILOGUE_TILE
        // The other matrix's tile comes to the slots under the products, once the results before have left them.
        if (slab == min(segment.from + 4, segment.to - 1) && threadIdx.x % 128 == 0) {
          constexpr int kChunks = TILE_N / kChunk;
          const int tile_m0 = (tile.m * CLUSTER_M + rank_m) * kTileM + consumer % kTogether * BLOCKS_M * 64, tile_n0 = (tile.n * CLUSTER_N + rank_n) * TILE_N;
          store_wait_read<0>();
          barrier_expect(tile_full + 8 * consumer, BLOCKS_M * kChunks * kSlotBytes);
          for (int i = 0; i < BLOCKS_M * kChunks; i++)
            tensor_load_3d(smem_d + (consumer * STORE_SLOTS + i) * kSlotBytes, &map_tile, tile_full + 8 * consumer, tile_n0 + i % kChunks * kChunk, tile_m0 + i / kChunks * 64, tile.batch);
        }
        __syncwarp();
#endif
        barrier_wait(full + 8 * stage, phase);
#if PROFILE
        if (slab == segment.from) {
          STAMP(3)
        }
#endif
        mma_fence();
        const u64 a_stage = a0 + (u64)(stage * (kABytes / 16)), b_stage = b0 + (u64)(stage * (kBBytes / 16));
#pragma unroll
        for (int kk = 0; kk < 4; kk++)
#pragma unroll
          for (int mi = 0; mi < BLOCKS_M; mi++) {
#if PROMOTE
            const u32 accumulate = since != 0 || kk != 0;
#else
            const u32 accumulate = slab != segment.from || kk != 0;
#endif
            Mma<TILE_N>::shared(TARGET[mi], a_stage + kk * kStepA + mi * (64 * 128 / 16), b_stage + kk * kStepB, accumulate);
          }
        mma_commit();
#if PROMOTE
        if (++since == PROMOTE || slab + 1 == segment.to) {
          mma_wait<0>();
          if (previous >= 0) release(previous);
          release(stage);
          previous = -1;
          since = 0;
#pragma unroll
          for (int mi = 0; mi < BLOCKS_M; mi++) {
            hold(part[mi]);
#pragma unroll
            for (int i = 0; i < TILE_N / 2; i++) d[mi][i] += part[mi][i];
          }
        } else {
          mma_wait<1>();
          if (previous >= 0) release(previous);
          previous = stage;
        }
#else
        mma_wait<1>();
        if (previous >= 0) release(previous);
        previous = stage;
#endif
        if (++stage == STAGES) stage = 0, phase ^= 1;
      }
      if (PING_PONG) named_barrier_arrive(9 - consumer, 256);
#if !PROMOTE
      mma_wait<0>();
      if (previous >= 0) release(previous);
#pragma unroll
      for (int mi = 0; mi < BLOCKS_M; mi++) hold(d[mi]);
#endif
      STAMP(4)

#if STREAM_K
      {
        // Sums as 16 bytes a thread, so that a warp writes and reads whole lines.
        constexpr int kSums = BLOCKS_M * TILE_N / 2;
        const int thread = threadIdx.x % 128;
        auto sums_of = [&](int block) { return (float4 *)shape.partial + ((long long)block * CONSUMERS + consumer) * (kSums / 4) * 128 + thread; };
        if (segment.from > 0) {
          float4 *to = sums_of(blockIdx.x);
#pragma unroll
          for (int mi = 0; mi < BLOCKS_M; mi++)
#pragma unroll
            for (int i = 0; i < TILE_N / 8; i++)
              __stcg(to + (mi * TILE_N / 8 + i) * 128, make_float4((float)d[mi][4 * i], (float)d[mi][4 * i + 1], (float)d[mi][4 * i + 2], (float)d[mi][4 * i + 3]));
          __threadfence();
          named_barrier(1 + consumer, 128);
          if (thread == 0) asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"((u64)(shape.ready + blockIdx.x * CONSUMERS + consumer)), "r"(1) : "memory");
          continue;
        }
        for (int covered = segment.to, block = blockIdx.x + 1; covered < shape.k_slabs; block++) {
          u32 *flag = shape.ready + block * CONSUMERS + consumer;
          if (thread == 0) {
            u32 seen;
            do asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"((u64)flag) : "memory");
            while (seen == 0);
            *flag = 0;
          }
          named_barrier(1 + consumer, 128);
          const float4 *from = sums_of(block);
#pragma unroll
          for (int mi = 0; mi < BLOCKS_M; mi++)
#pragma unroll
            for (int i = 0; i < TILE_N / 8; i++) {
              const float4 v = __ldcg(from + (mi * TILE_N / 8 + i) * 128);
              d[mi][4 * i] += (Accumulator)v.x, d[mi][4 * i + 1] += (Accumulator)v.y, d[mi][4 * i + 2] += (Accumulator)v.z, d[mi][4 * i + 3] += (Accumulator)v.w;
            }
          covered += share_of(block + 1, tiles * shape.k_slabs) - share_of(block, tiles * shape.k_slabs);
        }
      }
#endif

      [[maybe_unused]] const int m0 = (tile.m * CLUSTER_M + rank_m) * kTileM + consumer % kTogether * BLOCKS_M * 64;
      const int n0 = (tile.n * CLUSTER_N + rank_n) * TILE_N;
      const int column_0 = CONVOLUTION ? tile.batch * shape.n : 0; // a group's first column
#if SPLIT_K > 1
      {
        // Each block of the k cluster finishes kRows rows of the tile; the others' sums for them come as bulk copies between
        // shared memories, which are several times as quick as stores or loads of single elements there.
        if (kApart) named_barrier(7, 128 * CONSUMERS);
        else cluster_sync(); // no block reads its stages any more
        const int row0 = consumer * BLOCKS_M * 64 + quarter * 16 + lane / 4;
#pragma unroll
        for (int mi = 0; mi < BLOCKS_M; mi++)
#pragma unroll
          for (int h = 0; h < 2; h++)
#pragma unroll
            for (int j = 0; j < TILE_N / 8; j++)
              shared_store_float2(base + (u32)((row0 + mi * 64 + h * 8) * kPartialStride + lane % 4 * 2 + j * 8) * 4, make_float2((float)d[mi][4 * j + 2 * h], (float)d[mi][4 * j + 2 * h + 1]));
        async_proxy_fence();
        named_barrier(7, 128 * CONSUMERS);
        if (threadIdx.x == 0)
          for (int q = 0; q < SPLIT_K; q++) {
            if (q == rank_k) continue;
            const u32 block = rank_m + rank_n * CLUSTER_M + q * CLUSTER_M * CLUSTER_N, slot = rank_k < q ? rank_k : rank_k - 1;
            cluster_copy(cluster_address(receive + slot * kOwnerBytes, block), base + q * kOwnerBytes, kOwnerBytes, cluster_address(arrived, block));
          }
        STAMP(5)
        barrier_wait(arrived, 0);
        STAMP(6)
        constexpr int kQuads = TILE_N / 4;
        const bool even = (shape.row_stride & 1) == 0 && (shape.batch_stride & 1) == 0;
#pragma unroll 2
        for (int i = threadIdx.x; i < kRows * kQuads; i += 128 * CONSUMERS) {
          const int r = i / kQuads, c = i % kQuads * 4;
          // In the order of k, so that the result does not depend on which block finishes it.
          float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll
          for (int q = 0; q < SPLIT_K; q++) {
            const u32 part = q == rank_k ? base + q * kOwnerBytes : receive + (q < rank_k ? q : q - 1) * kOwnerBytes;
            const float4 v = shared_load_float4(part + (u32)(r * kPartialStride + c) * 4);
            sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
          }
          const int row = (tile.m * CLUSTER_M + rank_m) * kTileM + rank_k * kRows + r, column = n0 + c;
          const bool inside = row < shape.m;
          const long long to = tile.batch * shape.batch_stride + row * shape.row_stride + column;
          const float2 lo = epilogue_pair(make_float2(sum.x, sum.y), row, column_0 + column, tile.batch, to, inside, column_0 + shape.n, even, shape.inputs);
          const float2 hi = epilogue_pair(make_float2(sum.z, sum.w), row, column_0 + column + 2, tile.batch, to + 2, inside, column_0 + shape.n, even, shape.inputs);
          if (inside) {
            store_masked((OUTPUT *)shape.d + to, lo, shape.n - column, even);
            store_masked((OUTPUT *)shape.d + to + 2, hi, shape.n - column - 2, even);
          }
        }
        __syncwarp();
        STAMP(7)
        cluster_meet(); // no block leaves while its sums are on their way
        STAMP(10)
        STAMP(8)
      }
#elif SWAPPED
      // Rows of the sums are columns of D: 64 of them, for all TILE_N rows of D, make a chunk, transposed on the way to shared memory.
      const bool storer = threadIdx.x % 128 == 0, over_stages = STORE_SLOTS == 0 || (kOverStages && segments.at >= segments.end);
      if (over_stages && CONSUMERS > 1) named_barrier(7, 128 * CONSUMERS);
#pragma unroll
      for (int mi = 0; mi < BLOCKS_M; mi++) {
        constexpr int kSlots = STORE_SLOTS == 0 ? 1 : STORE_SLOTS;
        const u32 slot = over_stages ? smem_a + (consumer * BLOCKS_M + mi) * kSlotBytes : smem_d + (consumer * kSlots + chunk_count % kSlots) * kSlotBytes;
        chunk_count++;
        if (!over_stages) {
          if (storer) store_wait_read<kSlots - 1>();
          named_barrier(1 + consumer, 128);
        }
        u32 packed[TILE_N / 8][2];
#pragma unroll
        for (int j = 0; j < TILE_N / 8; j++)
#pragma unroll
          for (int h = 0; h < 2; h++) {
            float2 v = make_float2((float)d[mi][4 * j + 2 * h], (float)d[mi][4 * j + 2 * h + 1]);
#ifdef EPILOGUE_TEXT
            const int column = m0 + mi * 64 + quarter * 16 + lane / 4 + h * 8, r = n0 + j * 8 + lane % 4 * 2;
            const int columns = column < shape.m ? column + 1 : column; // one element a call
            const long long at = tile.batch * shape.batch_stride + r * shape.row_stride + column;
            v.x = epilogue_pair(make_float2(v.x, 0.0f), r, column, tile.batch, at, r < shape.n, columns, false, shape.inputs).x;
            v.y = epilogue_pair(make_float2(v.y, 0.0f), r + 1, column, tile.batch, at + shape.row_stride, r + 1 < shape.n, columns, false, shape.inputs).x;
#endif
            packed[j][h] = pack2<OUTPUT>(v.x, v.y);
          }
#pragma unroll
        for (int j = 0; j < TILE_N / 8; j += 2) {
          // Lane l gives the address of row l % 8 of matrix l / 8: matrices (j, h = 0), (j, 1), (j + 1, 0), (j + 1, 1).
          const u32 to = slot + ((j + lane / 16) * 8 + lane % 8) * 128 + ((quarter * 2 + lane / 8 % 2) ^ (lane % 8)) * 16;
          if (j + 1 < TILE_N / 8) {
            asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(packed[j][0]), "r"(packed[j][1]), "r"(packed[j + 1][0]), "r"(packed[j + 1][1]) : "memory");
          } else {
            asm volatile("stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%0], {%1, %2};" ::"r"(to), "r"(packed[j][0]), "r"(packed[j][1]) : "memory");
          }
        }
        async_proxy_fence();
        named_barrier(1 + consumer, 128);
        if (storer) {
          tensor_store_3d(&map_d, slot, m0 + mi * 64, n0, tile.batch);
          store_commit();
        }
      }
#else
      const bool even = (shape.row_stride & 1) == 0 && (shape.batch_stride & 1) == 0;
      const bool storer = threadIdx.x % 128 == 0;
      // Nothing loads after a block's last tile: its results leave through the stages, all at once, once every consumer is done.
      const bool over_stages = kOverStages && segments.at >= segments.end;
      if (over_stages && CONSUMERS > 1) named_barrier(7, 128 * CONSUMERS);
      const bool whole = even && m0 + BLOCKS_M * 64 <= tile.rows && n0 + TILE_N <= shape.n;
      // The next group's rows follow this one's, so a tile that ends among them stores its rows one by one.
      const bool by_rows = GROUPED && m0 + BLOCKS_M * 64 > tile.rows;
#pragma unroll
      for (int mi = 0; mi < BLOCKS_M; mi++) {
        const int row = m0 + mi * 64 + quarter * 16 + lane / 4;
        const long long row_at = GROUPED ? (tile.row_0 + row) * shape.row_stride : tile.batch * shape.batch_stride + row * shape.row_stride;
#pragma unroll
        for (int chunk = 0; chunk < TILE_N / kChunk; chunk++) {
          constexpr int kChunks = TILE_N / kChunk;
#if EPILOGUE_TILE
          const u32 slot = smem_d + (consumer * STORE_SLOTS + mi * kChunks + chunk) * kSlotBytes;
#else
          const u32 slot = over_stages ? smem_a + ((consumer * BLOCKS_M + mi) * kChunks + chunk) * kSlotBytes
                                       : smem_d + (consumer * STORE_SLOTS + chunk_count % STORE_SLOTS) * kSlotBytes;
          chunk_count++;
#endif
#if EPILOGUE_TILE
          u32 other[kChunk / 8][2];
          if (mi == 0 && chunk == 0) {
            barrier_wait(tile_full + 8 * consumer, tile_phase);
            tile_phase ^= 1;
          }
#pragma unroll
          for (int j = 0; j < kChunk / 8; j += 2) {
            const u32 offset = (quarter * 16 + (lane / 8 % 2) * 8 + lane % 8) * kLine + (j + lane / 16) * 16;
            asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                         : "=r"(other[j][0]), "=r"(other[j][1]), "=r"(other[j + 1][0]), "=r"(other[j + 1][1])
                         : "r"(slot + (offset ^ ((offset >> 7 & (kLine / 16 - 1)) << 4)))
                         : "memory");
          }
#endif
          u32 packed[kChunk / 8][2];
          float2 wide[kChunk / 8][2];
          auto apply = [&]<bool Whole>() {
#pragma unroll
          for (int j = 0; j < kChunk / 8; j++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
              const int column = n0 + chunk * kChunk + j * 8 + lane % 4 * 2;
              const int i = 4 * (chunk * kChunk / 8 + j) + 2 * h;
              const int r = row + h * 8;
#if !defined(EPILOGUE_TEXT) && MMA_KIND == 2
              if constexpr (kOutBytes == 4) {
                wide[j][h] = make_float2(__int_as_float(d[mi][i]), __int_as_float(d[mi][i + 1]));
                continue;
              }
#endif
              const long long at = row_at + (h ? 8 * shape.row_stride : 0) + column;
              const float2 v = epilogue_pair<Whole>(make_float2((float)d[mi][i], (float)d[mi][i + 1]), r, column_0 + column, tile.batch, at, r < tile.rows, column_0 + shape.n, even,
                                                     shape.inputs
#if EPILOGUE_TILE
                                                     , other[j][h]
#endif
              );
              if (by_rows) {
                if (r < tile.rows) store_masked((OUTPUT *)shape.d + at, v, shape.n - column, even);
                continue;
              }
              if constexpr (kOutBytes == 2) packed[j][h] = pack2<OUTPUT>(v.x, v.y);
              else wide[j][h] = v;
            }
          };
          if (whole) apply.template operator()<true>();
          else apply.template operator()<false>();
          if (by_rows) continue;
#if !EPILOGUE_TILE
          if (!over_stages) {
            if (storer) store_wait_read<STORE_SLOTS - 1>();
            named_barrier(1 + consumer, 128);
          }
#endif
          if constexpr (kOutBytes == 2) {
#pragma unroll
            for (int j = 0; j < kChunk / 8; j += 2) {
              const u32 offset = (quarter * 16 + (lane / 8 % 2) * 8 + lane % 8) * kLine + (j + lane / 16) * 16;
              const u32 to = slot + (offset ^ ((offset >> 7 & (kLine / 16 - 1)) << 4));
              asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(packed[j][0]), "r"(packed[j][1]),
                           "r"(packed[j + 1][0]), "r"(packed[j + 1][1])
                           : "memory");
            }
          } else {
#pragma unroll
            for (int j = 0; j < kChunk / 8; j++)
#pragma unroll
              for (int h = 0; h < 2; h++) {
                const u32 offset = (quarter * 16 + lane / 4 + h * 8) * kLine + j * 32 + lane % 4 * 8;
                const u32 to = slot + (offset ^ ((offset >> 7 & (kLine / 16 - 1)) << 4));
                asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(to), "f"(wide[j][h].x), "f"(wide[j][h].y) : "memory");
              }
          }
          async_proxy_fence();
          named_barrier(1 + consumer, 128);
          if (storer) {
            tensor_store_3d(&map_d, slot, n0 + chunk * kChunk, tile.row_0 + m0 + mi * 64, GROUPED ? 0 : tile.batch);
            store_commit();
          }
        }
      }
#endif
    }
#if SPLIT_K == 1
    // The stores must have read shared memory before the block ends; that they reach memory is the kernel's end.
    STAMP(7)
    if (threadIdx.x % 128 == 0) store_wait_read<0>();
    if (kCluster > 1) {
      __syncwarp();
      cluster_meet();
    }
    STAMP(10)
    STAMP(8)
#endif
  }
}
