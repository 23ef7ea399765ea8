// Launches and cases of FewChannelsSm80: an instance is made for one number of channels, filter size and stride.
#pragma once
#include "ConvCases.hpp"

struct FewChannelsShape {
  int images, h, w, p, q, filters, pad_h, pad_w, tiles_p, tiles_q, tiles, unused;
  CUdeviceptr x, weights, d;
  EpilogueInputs inputs;
};

inline std::string few_channels_refusal(const Instance &i, const ConvProblem &p) {
  if (p.transposed || p.groups != 1 || p.dilation != 1) return "plain convolutions only";
  if (p.c != i.number("CHANNELS", 3) || p.r != i.number("FILTER_H", 7) || p.s != i.number("FILTER_W", 7) || p.stride != i.number("STRIDE", 2)) return "made for another filter";
  if (p.k % 8 || p.d % 16) return "filters must be a multiple of 8, the output on 16 bytes";
  return "";
}
inline Launch prepare_few_channels(const Device &device, const Instance &i, const ConvProblem &p) {
  const int warps = i.number("WARPS", 8), tile_n = i.number("TILE_N", 64), tile_p = 2 * warps;
  FewChannelsShape s{p.images, p.h, p.w, p.p(), p.q(), p.k, p.pad, p.pad, (p.p() + tile_p - 1) / tile_p, (p.q() + 15) / 16, 0, 0, p.x, p.weights, p.d, {}};
  s.tiles = s.images * s.tiles_p * s.tiles_q;
  std::copy(std::begin(p.inputs), std::end(p.inputs), s.inputs.pointer);
  Launch l;
  l.dependent = true;
  l.function = load_function(i, 0);
  l.block[0] = 32 * warps;
  l.grid[1] = (p.k + tile_n - 1) / tile_n;
  l.grid[0] = std::max(1, std::min(s.tiles, device.multiprocessors * i.number("BLOCKS_PER_SM", 2) / (int)l.grid[1]));
  l.add(s);
  return l;
}

inline Group few_channels_group(const Instance &instance, const Instance &reference_instance) {
  return {instance.name, 20, [&instance, &reference_instance] {
            const Device device = open_device();
            const Reference reference(device, reference_instance);
            const int c = instance.number("CHANNELS", 3), r = instance.number("FILTER_H", 7), stride = instance.number("STRIDE", 2);
            uint64_t seed = 2500;
            for (const ConvProblem &p : {conv_problem(1, r, r, c, 8, r, stride, 0), conv_problem(2, 63, 45, c, 64, r, stride, r / 2), conv_problem(1, 224, 224, c, 64, r, stride, r / 2),
                                         conv_problem(3, 33, 70, c, 200, r, stride, r - 1), conv_problem(7, 40, 16, c, 96, r, stride, 0)}) {
              seed++;
              const std::string name = instance.name + "/" + conv_name(p);
              begin_case(name);
              end_case(name, run_conv_case(device, instance, reference_instance, reference, p, seed, [&](const ConvProblem &ready) { return prepare_few_channels(device, instance, ready); }));
            }
          }};
}
