// Launches a GemmSm90 instance: tensor maps, grid, shared memory from the instance's parameters.
// `prepare_gemm(device, instance, problem)` gives a Launch; `gemm_refusal` says why an instance can't run a problem.
#pragma once
#include "Element.hpp"
#include "Guard.hpp"
#include "Instance.hpp"

#include <algorithm>
#include <cstdint>

struct GemmProblem {
  int m = 0, n = 0, k = 0, batch = 1;
  CUdeviceptr a = 0, b = 0, d = 0;
  long long lda = 0, ldb = 0, ldd = 0; // row strides in elements; 0: dense
  CUdeviceptr inputs[6] = {};
};

// The device's structs, as GemmSm90.cu and Epilogue.cuh lay them out.
struct EpilogueInputs {
  CUdeviceptr pointer[6];
};
struct GemmShape {
  int m, n, k_slabs, batch, tiles_m, tiles_n, a_batched, b_batched;
  long long row_stride, batch_stride;
  CUdeviceptr d;
  EpilogueInputs inputs;
  CUdeviceptr partial, ready;
};

struct GemmTile {
  Type input, output;
  int tile_m, tile_n, stages, cluster_m, cluster_n, split_k, slots, consumers, per_sm;
  bool a_along_m, b_along_n, warp_producer, swapped, tile_input;
  int chunk, line, shared_bytes, cluster;

  explicit GemmTile(const Instance &i)
      : input(type_named(i.text("INPUT", "f16"))), output(type_named(i.text("OUTPUT", "f16"))), tile_n(i.number("TILE_N", 256)),
        stages(i.number("STAGES", 4)), cluster_m(i.number("CLUSTER_M", 1)), cluster_n(i.number("CLUSTER_N", 1)), split_k(i.number("SPLIT_K", 1)),
        slots(i.number("STORE_SLOTS", 2)), consumers(i.number("CONSUMERS", 2)), per_sm(i.number("BLOCKS_PER_SM", 1)),
        a_along_m(i.number("A_ALONG_M", 0) != 0), b_along_n(i.number("B_ALONG_N", 0) != 0), warp_producer(i.number("PRODUCER_REGISTERS", 0) == 0),
        swapped(i.number("SWAPPED", 0) != 0), tile_input(i.number("EPILOGUE_TILE", 0) != 0) {
    tile_m = 64 * (i.number("PING_PONG", 0) ? 1 : consumers) * i.number("BLOCKS_M", 1);
    const int out = (int)type_bytes(output);
    chunk = tile_n % (128 / out) == 0 ? 128 / out : tile_n % (64 / out) == 0 ? 64 / out : 32 / out;
    line = chunk * out;
    // SPLIT_K: the others' sums arrive beside the stages where they fit (kApart in PersistentSm90.cuh).
    const int receive = (split_k - 1) * (tile_m / split_k) * (tile_n + 8) * 4, stage_total = stages * (tile_m + tile_n) * 128 + 16 * stages + (split_k > 1 ? 16 : 0);
    const bool apart = stage_total + receive + 1024 <= 233472 / per_sm;
    const int store = split_k > 1 ? (apart ? receive : 0) : consumers * slots * (swapped ? tile_n * 128 : std::max(1024, 64 * line)) + (tile_input ? 8 * consumers : 0);
    shared_bytes = stage_total + store;
    cluster = cluster_m * cluster_n * split_k;
  }
};

inline void encode_3d(CUtensorMap *map, Type type, CUdeviceptr base, const long long (&dims)[3], const long long (&stride_bytes)[2], unsigned box_x,
                      unsigned box_y, CUtensorMapSwizzle swizzle) {
  const cuuint64_t sizes[3] = {(cuuint64_t)dims[0], (cuuint64_t)dims[1], (cuuint64_t)dims[2]};
  const cuuint64_t strides[2] = {(cuuint64_t)stride_bytes[0], (cuuint64_t)stride_bytes[1]};
  const cuuint32_t box[3] = {box_x, box_y, 1}, steps[3] = {1, 1, 1};
  CHECK_CUDA(cuTensorMapEncodeTiled(map, tensor_type(type), 3, reinterpret_cast<void *>(base), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                    swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
}

struct GemmStrides {
  long long lda, ldb, ldd, a_rows, b_rows;
};
inline GemmStrides gemm_strides(const GemmTile &t, const GemmProblem &p) {
  return {p.lda ? p.lda : t.a_along_m ? p.m : p.k, p.ldb ? p.ldb : t.b_along_n ? p.n : p.k, p.ldd ? p.ldd : p.n, t.a_along_m ? p.k : p.m, t.b_along_n ? p.k : p.n};
}

// An empty text where the instance can run the problem.
inline std::string gemm_refusal(const Instance &instance, const GemmProblem &p) {
  const GemmTile t(instance);
  const GemmStrides s = gemm_strides(t, p);
  const size_t in = type_bytes(t.input), out = type_bytes(t.output);
  if (s.lda * in % 16 || s.ldb * in % 16) return "row strides of A and B must be multiples of 16 bytes";
  if (t.split_k == 1 && s.ldd * out % 16) return "row stride of D must be a multiple of 16 bytes";
  if (t.shared_bytes > 232448) return "more shared memory than a block has";
  if (p.a % 16 || p.b % 16 || (t.split_k == 1 && p.d % 16)) return "base addresses must be multiples of 16 bytes";
  return "";
}

// Where an instance with PROFILE=1 leaves its blocks' clocks: 16 of 64 bits for each block.
constexpr int kProfiledBlocks = 4096;
inline const Buffer &gemm_profile() {
  static const Buffer clocks(kProfiledBlocks * 16 * 8);
  return clocks;
}

inline Launch prepare_gemm(const Device &device, const Instance &instance, const GemmProblem &given) {
  const GemmTile t(instance);
  GemmStrides s = gemm_strides(t, given);
  GemmProblem p = given;
  // The kernel's A is B: its rows, the product's columns, are the 64-row side of the tensor cores' product.
  if (t.swapped) std::swap(p.m, p.n), std::swap(p.a, p.b), std::swap(s.lda, s.ldb);
  const long long in = (long long)type_bytes(t.input), out = (long long)type_bytes(t.output);
  const int k_tile = 128 / (int)in;
  CUtensorMap a, b, d;
  if (t.a_along_m) encode_3d(&a, t.input, p.a, {p.m, p.k, p.batch}, {s.lda * in, s.lda * p.k * in}, 64, 64, CU_TENSOR_MAP_SWIZZLE_128B);
  else encode_3d(&a, t.input, p.a, {p.k, p.m, p.batch}, {s.lda * in, s.lda * p.m * in}, k_tile, t.tile_m / t.cluster_n, CU_TENSOR_MAP_SWIZZLE_128B);
  if (t.b_along_n) encode_3d(&b, t.input, p.b, {p.n, p.k, p.batch}, {s.ldb * in, s.ldb * p.k * in}, 64, 64, CU_TENSOR_MAP_SWIZZLE_128B);
  else encode_3d(&b, t.input, p.b, {p.k, p.n, p.batch}, {s.ldb * in, s.ldb * p.n * in}, k_tile, t.tile_n / t.cluster_m, CU_TENSOR_MAP_SWIZZLE_128B);
  if (t.swapped) {
    encode_3d(&d, t.output, p.d, {p.m, p.n, p.batch}, {s.ldd * out, s.ldd * p.n * out}, 64, t.tile_n, CU_TENSOR_MAP_SWIZZLE_128B);
  } else if (t.split_k == 1) {
    const auto swizzle = t.line == 128 ? CU_TENSOR_MAP_SWIZZLE_128B : t.line == 64 ? CU_TENSOR_MAP_SWIZZLE_64B : CU_TENSOR_MAP_SWIZZLE_32B;
    encode_3d(&d, t.output, p.d, {p.n, p.m, p.batch}, {s.ldd * out, s.ldd * p.m * out}, t.chunk, 64, swizzle);
  } else {
    d = a;
  }
  GemmShape shape{};
  shape.m = p.m, shape.n = p.n, shape.batch = p.batch;
  shape.k_slabs = (p.k + k_tile - 1) / k_tile;
  shape.tiles_m = (p.m + t.tile_m * t.cluster_m - 1) / (t.tile_m * t.cluster_m);
  shape.tiles_n = (p.n + t.tile_n * t.cluster_n - 1) / (t.tile_n * t.cluster_n);
  shape.a_batched = shape.b_batched = p.batch > 1;
  shape.row_stride = s.ldd, shape.batch_stride = s.ldd * given.m;
  shape.d = p.d;
  std::copy(std::begin(p.inputs), std::end(p.inputs), shape.inputs.pointer);

  const int tiles = shape.tiles_m * shape.tiles_n * shape.batch;
  const int slots = device.multiprocessors * t.per_sm / t.cluster;
  const bool stream = instance.number("STREAM_K", 0) != 0;
  if (stream) {
    // One workspace for the process: launches of one stream follow one another.
    static const Buffer partial((size_t)device.multiprocessors * 2 * 128 * 256 * 4), ready((size_t)device.multiprocessors * 16 * 4);
    static const CUresult zero = cuda().cuMemsetD8Async(ready.data(), 0, ready.bytes(), device.stream);
    check_cuda(zero, "clearing the workspace");
    shape.partial = partial.data(), shape.ready = ready.data();
  }
  if (instance.number("PROFILE", 0)) shape.partial = gemm_profile().data();
  Launch launch;
  launch.dependent = true;
  launch.function = load_function(instance, t.shared_bytes);
  launch.shared_bytes = t.shared_bytes;
  launch.block[0] = 128 * t.consumers + (t.warp_producer ? 32 : 128);
  const int units = stream ? tiles * shape.k_slabs : tiles;
  launch.grid[0] = (t.split_k > 1 || t.slots == 0 ? tiles : std::min(units, slots)) * t.cluster;
  launch.add(a).add(b).add(d).add(shape);
  if (t.tile_input) {
    const auto swizzle = t.line == 128 ? CU_TENSOR_MAP_SWIZZLE_128B : t.line == 64 ? CU_TENSOR_MAP_SWIZZLE_64B : CU_TENSOR_MAP_SWIZZLE_32B;
    CUtensorMap tile;
    encode_3d(&tile, t.output, p.inputs[1], {p.n, p.m, p.batch}, {s.ldd * out, s.ldd * p.m * out}, t.chunk, 64, swizzle);
    launch.add(tile);
  }
  return launch;
}

// Groups of rows, one after another in A and D, each with its own B: `starts` holds [groups + 1] first rows on the device.
inline Launch prepare_grouped(const Device &device, const Instance &instance, const GemmProblem &p, int groups, CUdeviceptr starts) {
  const GemmTile t(instance);
  const long long in = (long long)type_bytes(t.input), out = (long long)type_bytes(t.output);
  CUtensorMap a, b, d;
  encode_3d(&a, t.input, p.a, {p.k, p.m, 1}, {p.k * in, p.k * in * p.m}, 128 / (int)in, t.tile_m, CU_TENSOR_MAP_SWIZZLE_128B);
  encode_3d(&b, t.input, p.b, {p.k, p.n, groups}, {p.k * in, p.k * in * p.n}, 128 / (int)in, t.tile_n, CU_TENSOR_MAP_SWIZZLE_128B);
  const auto swizzle = t.line == 128 ? CU_TENSOR_MAP_SWIZZLE_128B : t.line == 64 ? CU_TENSOR_MAP_SWIZZLE_64B : CU_TENSOR_MAP_SWIZZLE_32B;
  encode_3d(&d, t.output, p.d, {p.n, p.m, 1}, {p.n * out, p.n * out * p.m}, t.chunk, 64, swizzle);
  struct {
    GemmShape gemm;
    CUdeviceptr starts;
  } shape{};
  GemmShape &g = shape.gemm;
  g.m = p.m, g.n = p.n, g.batch = groups, g.k_slabs = (int)((p.k * in + 127) / 128);
  g.tiles_n = (p.n + t.tile_n - 1) / t.tile_n, g.b_batched = 1, g.row_stride = p.n, g.d = p.d;
  std::copy(std::begin(p.inputs), std::end(p.inputs), g.inputs.pointer);
  shape.starts = starts;
  Launch launch;
  launch.dependent = true;
  launch.function = load_function(instance, t.shared_bytes);
  launch.shared_bytes = t.shared_bytes;
  launch.block[0] = 128 * t.consumers + (t.warp_producer ? 32 : 128);
  launch.grid[0] = device.multiprocessors * t.per_sm; // how many tiles there are is known on the device alone
  launch.add(a).add(b).add(d).add(shape);
  return launch;
}
