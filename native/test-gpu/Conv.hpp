// Launches of ConvSm90: NHWC images in im2col mode, weights [filters, taps, channels of a group], output [pixels, filters].
// `prepare_conv(device, instance, problem)` gives a Launch; `conv_refusal` says why an instance can't run a problem.
#pragma once
#include "Gemm.hpp"

struct ConvProblem {
  int images = 1, h = 0, w = 0, c = 0, k = 0, r = 1, s = 1;
  int stride = 1, pad = 0, dilation = 1, groups = 1, transposed = 0;
  CUdeviceptr x = 0, weights = 0, d = 0;
  CUdeviceptr inputs[6] = {};

  int extent(int in, int filter) const {
    return transposed ? (in - 1) * stride - 2 * pad + dilation * (filter - 1) + 1 : (in + 2 * pad - dilation * (filter - 1) - 1) / stride + 1;
  }
  int p() const { return extent(h, r); }
  int q() const { return extent(w, s); }
  long long pixels() const { return (long long)images * p() * q(); }
  long long x_count() const { return (long long)images * h * w * c; }
  long long weight_count() const { return (long long)k * r * s * (c / groups); }
  double operations() const { return 2.0 * pixels() * k * r * s * (c / groups); }
};

struct ConvolutionShape {
  int out_w, out_pixels, stride_w, stride_h, pad_w, pad_h, dilation_w, dilation_h, filter_w, channel_slabs, group_channels, unused;
};
struct ConvGemmShape {
  GemmShape gemm;
  ConvolutionShape conv;
};

inline std::string conv_refusal(const Instance &instance, const ConvProblem &p) {
  if (p.transposed) return "transposed convolutions are not for ConvSm90";
  if (p.c / p.groups % 8 || p.k / p.groups % 8) return "channels and filters of a group must be multiples of 8";
  if (p.groups > 1 && p.c / p.groups % 64) return "channels of a group must be a multiple of 64";
  if (p.stride > 8 || p.pad > 127 || p.dilation * (std::max(p.r, p.s) - 1) - p.pad > 127 || p.dilation * (std::max(p.r, p.s) - 1) > 255) return "strides up to 8, padding up to 127, windows up to 255";
  if (p.x % 16 || p.weights % 16 || p.d % 16) return "base addresses must be multiples of 16 bytes";
  if (GemmTile(instance).tile_m / GemmTile(instance).cluster_n > 1024) return "at most 1024 pixels a load";
  return "";
}

inline Launch prepare_conv(const Device &device, const Instance &instance, const ConvProblem &p) {
  const GemmTile t(instance);
  const long long in = (long long)type_bytes(t.input), out = (long long)type_bytes(t.output);
  const int k_tile = 128 / (int)in, group_c = p.c / p.groups, group_k = p.k / p.groups;
  const long long pixels = p.pixels();
  CUtensorMap a, b, d;
  {
    const cuuint64_t sizes[4] = {(cuuint64_t)p.c, (cuuint64_t)p.w, (cuuint64_t)p.h, (cuuint64_t)p.images};
    const cuuint64_t strides[3] = {(cuuint64_t)(p.c * in), (cuuint64_t)(p.c * in * p.w), (cuuint64_t)(p.c * in * p.w * p.h)};
    const int lower[2] = {-p.pad, -p.pad}, upper[2] = {p.pad - p.dilation * (p.s - 1), p.pad - p.dilation * (p.r - 1)};
    const cuuint32_t steps[4] = {1, (cuuint32_t)p.stride, (cuuint32_t)p.stride, 1};
    CHECK_CUDA(cuTensorMapEncodeIm2col(&a, tensor_type(t.input), 4, reinterpret_cast<void *>(p.x), sizes, strides, lower, upper, k_tile, t.tile_m / t.cluster_n, steps,
                                       CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
  }
  encode_3d(&b, t.input, p.weights, {group_c, p.k, (long long)p.r * p.s}, {(long long)p.r * p.s * group_c * in, group_c * in}, k_tile, t.tile_n / t.cluster_m, CU_TENSOR_MAP_SWIZZLE_128B);
  const auto swizzle = t.line == 128 ? CU_TENSOR_MAP_SWIZZLE_128B : t.line == 64 ? CU_TENSOR_MAP_SWIZZLE_64B : CU_TENSOR_MAP_SWIZZLE_32B;
  if (t.split_k == 1) encode_3d(&d, t.output, p.d, {group_k, pixels, p.groups}, {p.k * out, group_k * out}, t.chunk, 64, swizzle);
  else d = CUtensorMap{};
  ConvGemmShape shape{};
  GemmShape &g = shape.gemm;
  const int slabs = (group_c + k_tile - 1) / k_tile;
  g.m = (int)pixels, g.n = group_k, g.k_slabs = p.r * p.s * slabs, g.batch = p.groups;
  g.tiles_m = (g.m + t.tile_m * t.cluster_m - 1) / (t.tile_m * t.cluster_m);
  g.tiles_n = (g.n + t.tile_n * t.cluster_n - 1) / (t.tile_n * t.cluster_n);
  g.row_stride = p.k, g.batch_stride = group_k, g.d = p.d;
  std::copy(std::begin(p.inputs), std::end(p.inputs), g.inputs.pointer);
  shape.conv = {p.q(), p.p() * p.q(), p.stride, p.stride, p.pad, p.pad, p.dilation, p.dilation, p.s, slabs, group_c, 0};
  const int tiles = g.tiles_m * g.tiles_n * g.batch, slots = device.multiprocessors * t.per_sm / t.cluster;
  Launch launch;
  launch.dependent = true;
  launch.function = load_function(instance, t.shared_bytes);
  launch.shared_bytes = t.shared_bytes;
  launch.block[0] = 128 * t.consumers + (t.warp_producer ? 32 : 128);
  launch.grid[0] = (t.split_k > 1 ? tiles : std::min(tiles, slots)) * t.cluster;
  launch.add(a).add(b).add(d).add(shape);
  return launch;
}
