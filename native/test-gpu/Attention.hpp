// Launches of AttentionSm90, PagedDecodeSm80 and SkinnySm80, with the device's parameter structs.
#pragma once
#include "Gemm.hpp"

struct AttentionProblem {
  int batch = 1, queries = 0, keys = 0, heads = 0, kv_heads = 0, dim = 128;
  float scale = 1.0f;
  CUdeviceptr q = 0, k = 0, v = 0, o = 0; // [batch, tokens, heads, dim], dense; packed: [tokens, heads, dim]
  int window = 0;
  CUdeviceptr key_lengths = 0, bias = 0;
  long long bias_batch = 0, bias_head = 0, bias_query = 0;
  int query_tokens = 0, key_tokens = 0; // packed; `queries` and `keys` are then the longest
  CUdeviceptr query_starts = 0, key_starts = 0;
};
struct AttentionShape {
  int queries, keys, heads, kv_heads, batch, heads_of_group;
  float scale_log2;
  int window;
  CUdeviceptr key_lengths, query_starts, key_starts, bias;
  long long bias_batch, bias_head, bias_query;
  float bias_factor;
  int tokens;
  CUdeviceptr o;
};

inline void encode_heads(CUtensorMap *map, Type type, CUdeviceptr base, int dim, int tokens, int heads, int batch, unsigned box_tokens) {
  const cuuint64_t sizes[4] = {(cuuint64_t)dim, (cuuint64_t)tokens, (cuuint64_t)heads, (cuuint64_t)batch};
  const cuuint64_t row = (cuuint64_t)dim * 2, strides[3] = {row * heads, row, row * heads * tokens};
  const cuuint32_t box[4] = {64, box_tokens, 1, 1}, steps[4] = {1, 1, 1, 1};
  CHECK_CUDA(cuTensorMapEncodeTiled(map, tensor_type(type), 4, reinterpret_cast<void *>(base), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                    CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
}

// Heads whose causal tiles are dealt out together, the longest first: the number of 1 to 24 that balances the to-and-fro walk
// best. More would leave fewer than about six blocks at work on one head, and K and V would come from memory each time
// (128 heads at once: 352 TFLOP/s where 16 at once ran at 601).
inline int balanced_group(int blocks, int heads, int multiprocessors) {
  int best = 1;
  double best_balance = 0;
  for (int group = 1; group <= std::min(heads, 24); group++) {
    std::vector<double> load(multiprocessors, 0.0);
    double total = 0;
    int t = 0;
    for (int first = 0; first < heads; first += group)
      for (int i = 0, in_group = std::min(group, heads - first); i < blocks * in_group; i++, t++) {
        const int round = t / multiprocessors, at = t % multiprocessors;
        const double work = blocks - i / in_group + 0.5;
        load[round % 2 ? multiprocessors - 1 - at : at] += work, total += work;
      }
    const double balance = total / *std::max_element(load.begin(), load.end());
    if (balance > best_balance * 1.002) best_balance = balance, best = group;
  }
  return best;
}

inline Launch prepare_attention(const Device &device, const Instance &i, const AttentionProblem &p) {
  const Type type = type_named(i.text("INPUT", "f16"));
  const int keys = i.number("KEYS", 128), stages = i.number("STAGES", 2);
  CUtensorMap q, k, v, o;
  const bool packed = i.number("PACKED", 0) != 0;
  const int query_rows = packed ? p.query_tokens : p.queries, key_rows = packed ? p.key_tokens : p.keys, batches = packed ? 1 : p.batch;
  encode_heads(&q, type, p.q, p.dim, query_rows, p.heads, batches, 128);
  encode_heads(&k, type, p.k, p.dim, key_rows, p.kv_heads, batches, keys);
  encode_heads(&v, type, p.v, p.dim, key_rows, p.kv_heads, batches, keys);
  encode_heads(&o, type, p.o, p.dim, query_rows, p.heads, batches, 64);
  const int group = i.number("CAUSAL", 0) ? balanced_group((p.queries + 127) / 128, p.heads * p.batch, device.multiprocessors) : 1;
  Launch l;
  l.dependent = true;
  const int row_bytes = (p.dim + 63) / 64 * 128; // in shared memory, whole columns of 64
  l.shared_bytes = (1 + i.number("OWN_O", 1)) * 128 * row_bytes + 2 * stages * keys * row_bytes + 16 + 32 * stages;
  l.function = load_function(i, l.shared_bytes);
  l.block[0] = 384;
  l.grid[0] = std::min(device.multiprocessors, (p.queries + 127) / 128 * p.heads * p.batch);
  l.add(q).add(k).add(v).add(o).add(AttentionShape{p.queries, p.keys, p.heads, p.kv_heads, p.batch, group, p.scale * 1.4426950408889634f, p.window, p.key_lengths, p.query_starts, p.key_starts,
                                                                p.bias, p.bias_batch, p.bias_head, p.bias_query, 1.0f / p.scale, p.query_tokens, p.o});
  return l;
}

struct DecodeProblem {
  int batch = 1, heads = 0, kv_heads = 0, dim = 128, pages_of_sequence = 0, splits = 1, pool_pages = 0;
  float scale = 1.0f;
  CUdeviceptr q = 0, k = 0, v = 0, table = 0, lengths = 0, out = 0, partial = 0, k_scales = 0, v_scales = 0;
};
struct DecodeShape {
  int batch, heads, kv_heads, splits, pages_of_sequence;
  float scale_log2;
  long long page_stride, head_stride, token_stride;
  CUdeviceptr q, k, v, table, lengths, out, partial, k_scales, v_scales;
};

// Pools [pages, kv heads, page, dim].
inline Launch prepare_decode(const Instance &i, const DecodeProblem &p) {
  const long long page = i.number("PAGE", 64);
  Launch l;
  l.dependent = true;
  if (const int ring = i.number("RING", 0)) {
    // Boxes of 16 tokens and 128 bytes.
    const Type type = type_named(i.text("KV", "f16")), as = type_bytes(type) == 1 ? Type::s8 : type;
    const cuuint64_t element = type_bytes(type), sizes[4] = {(cuuint64_t)p.dim, (cuuint64_t)page, (cuuint64_t)p.kv_heads, (cuuint64_t)p.pool_pages};
    const cuuint64_t strides[3] = {p.dim * element, page * p.dim * element, p.kv_heads * page * p.dim * element};
    const cuuint32_t box[4] = {(cuuint32_t)(128 / element), 16, 1, 1}, steps[4] = {1, 1, 1, 1};
    for (const CUdeviceptr base : {p.k, p.v}) {
      CUtensorMap map;
      CHECK_CUDA(cuTensorMapEncodeTiled(&map, tensor_type(as), 4, reinterpret_cast<void *>(base), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                        CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
      l.add(map);
    }
    l.shared_bytes = 1024 + i.number("WARPS", 4) * ring * (2 * 16 * p.dim * element + 8);
  }
  l.function = load_function(i, l.shared_bytes);
  l.block[0] = 32 * i.number("WARPS", 4);
  l.grid[0] = p.splits, l.grid[1] = p.kv_heads, l.grid[2] = p.batch;
  if (i.number("CLUSTER", 0)) {
    l.cluster = p.splits;
    if (p.splits > 8) CHECK_CUDA(cuFuncSetAttribute(l.function, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1));
  }
  l.add(DecodeShape{p.batch, p.heads, p.kv_heads, p.splits, p.pages_of_sequence, p.scale * 1.4426950408889634f, p.kv_heads * page * p.dim, page * p.dim, p.dim, p.q,
                    p.k, p.v, p.table, p.lengths, p.out, p.partial, p.k_scales, p.v_scales});
  return l;
}

struct SkinnyProblem {
  int m = 1, n = 0, k = 0;
  CUdeviceptr x = 0, w = 0, scales = 0, d = 0;
  CUdeviceptr inputs[6] = {};
  int most_clusters = 0, most_slots = 0; // of SkinnySm90 with clusters, 0: as many as fit
};
struct SkinnyShape {
  int m, n, k, slots;
  long long x_stride, d_stride;
  CUdeviceptr x, w, scales, d;
  EpilogueInputs inputs;
};
// Shared memory and grid of SkinnySm90. Blocks of a cluster share k; `slots` groups of rows have their sums there at a time.
struct SkinnyRing {
  int rows_of_x, rows, cluster, clusters, slots, shared_bytes;
  SkinnyRing(const Instance &i, int n, int k, int multiprocessors) : rows_of_x(i.number("XROWS", 1)), rows(16 * i.number("TILES", 1) * i.number("ROW_WARPS", 1)), cluster(i.number("CLUSTER", 1)) {
    const bool s4 = i.text("WEIGHT", "s4") == "s4";
    const int warps = i.number("WARPS", 8), unit = s4 ? 128 : 64, units = k / unit, groups = (n + rows - 1) / rows;
    const int of_block = cluster > 1 ? ((units + cluster - 1) / cluster + 1) / 2 * 2 : units;
    clusters = std::min(groups, multiprocessors * i.number("PER_SM", 1) / cluster);
    const int slot_bytes = rows_of_x * rows * 4, fixed = 1024 + i.number("STAGES", 8) * (rows * 64 * warps + (s4 ? 1024 : 0) + 16) + 16 + warps * rows_of_x * (rows + 4) * 4 + of_block * unit * 2 * rows_of_x;
    slots = cluster > 1 ? std::clamp((232448 / i.number("PER_SM", 1) - 1024 - fixed) / slot_bytes, 1, (groups + clusters - 1) / clusters) : 0;
    shared_bytes = fixed + slots * slot_bytes;
  }
};
// An empty text where the instance can run the problem.
inline std::string skinny_refusal(const Instance &i, const SkinnyProblem &p) {
  if (i.kernel == "SkinnySm80") return p.m > (i.number("HIGH_ROWS", 0) ? 16 : 8) ? "more rows than the instance has" : p.k % (i.text("WEIGHT", "") == "s4" ? 128 : 8) ? "k must be a multiple of 8 (s4: 128)" : "";
  const bool s4 = i.text("WEIGHT", "s4") == "s4";
  if (p.m > i.number("XROWS", 1)) return "more rows than the instance has";
  if (p.k % (s4 ? 128 : 64) || (s4 && p.n % 8)) return "k must be a multiple of 128 (s8: 64), n of 8 (s4)";
  return SkinnyRing(i, p.n, p.k, 132).shared_bytes > 232448 ? "X does not fit beside the ring" : "";
}
inline Launch prepare_skinny(const Device &device, const Instance &i, const SkinnyProblem &p) {
  Launch l;
  l.dependent = true;
  SkinnyShape s{p.m, p.n, p.k, 0, p.k, p.n, p.x, p.w, p.scales, p.d, {}};
  std::copy(std::begin(p.inputs), std::end(p.inputs), s.inputs.pointer);
  if (i.kernel == "SkinnySm90") {
    const SkinnyRing ring(i, p.n, p.k, device.multiprocessors);
    l.shared_bytes = ring.shared_bytes;
    l.block[0] = 32 * (i.number("WARPS", 8) * i.number("ROW_WARPS", 1) + 1);
    l.grid[0] = ring.clusters * ring.cluster;
    s.slots = p.most_slots ? std::min(ring.slots, p.most_slots) : ring.slots;
    if (p.most_clusters) l.grid[0] = std::min(ring.clusters, p.most_clusters) * ring.cluster;
    const bool s4 = i.text("WEIGHT", "s4") == "s4";
    const long long row_bytes = s4 ? p.k / 2 : p.k;
    CUtensorMap w, scales{};
    encode_3d(&w, Type::s8, p.w, {row_bytes, p.n, 1}, {row_bytes, row_bytes * p.n}, 128, ring.rows, CU_TENSOR_MAP_SWIZZLE_128B);
    if (s4) encode_3d(&scales, Type::f16, p.scales, {p.n, p.k / 128, 1}, {p.n * 2ll, 2ll * p.n * (p.k / 128)}, ring.rows, i.number("WARPS", 8), CU_TENSOR_MAP_SWIZZLE_NONE);
    l.add(w).add(scales);
  } else {
    l.block[0] = 32 * i.number("WARPS", 8);
    const int rows = 8 * i.number("TILES_N", 1);
    l.grid[0] = (p.n + rows - 1) / rows;
  }
  l.function = load_function(i, l.shared_bytes);
  l.add(s);
  return l;
}
