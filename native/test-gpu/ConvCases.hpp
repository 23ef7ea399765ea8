// Cases of the convolution templates: every filter size, stride, dilation and padding, odd images, narrow and wide channels,
// groups; outputs poisoned, every buffer between guards, against float64.
#pragma once
#include "Conv.hpp"
#include "GemmCases.hpp"

inline std::string conv_name(const ConvProblem &p) {
  char text[160];
  std::snprintf(text, sizeof text, "n%d %dx%dx%d k%d f%dx%d s%d p%d d%d g%d%s", p.images, p.h, p.w, p.c, p.k, p.r, p.s, p.stride, p.pad, p.dilation, p.groups, p.transposed ? " t" : "");
  std::string name = text;
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
}

struct ReferenceConvolution {
  int images, h, w, c, k, r, s, p, q, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups, transposed, type;
};
inline void reference_convolution(const Device &device, const Instance &reference, CUdeviceptr out, const ConvProblem &p, Type type) {
  Launch l;
  l.function = load_function(reference, "reference_convolution", 0);
  l.grid[0] = 132 * 16, l.block[0] = 256;
  l.add(out).add(p.x).add(p.weights).add(ReferenceConvolution{p.images, p.h, p.w, p.c, p.k, p.r, p.s, p.p(), p.q(), p.stride, p.stride, p.pad, p.pad, p.dilation, p.dilation, p.groups, p.transposed, (int)type});
  l(device.stream);
}

// `prepare` makes the launch of one template; a problem that it refuses is not a case.
template <class Prepare>
std::string run_conv_case(const Device &device, const Instance &instance, const Instance &reference_instance, const Reference &reference, ConvProblem p, uint64_t seed, const Prepare &prepare) {
  const Type type = type_named(instance.text("INPUT", "f16")), output = type_named(instance.text("OUTPUT", instance.text("INPUT", "f16")));
  const int epilogue = instance.number("EPILOGUE_KIND", 0);
  const long long d_count = p.pixels() * p.k;
  const GuardedBuffer x(device, p.x_count() * type_bytes(type), 16), weights(device, p.weight_count() * type_bytes(type), 16), d(device, d_count * type_bytes(output), 16),
      bias(device, p.k * 2, 16), residual(device, d_count * 2, 16), expected(device, d_count * 8);
  p.x = x.data(), p.weights = weights.data(), p.d = d.data(), p.inputs[0] = bias.data(), p.inputs[1] = residual.data();
  reference.fill(p.x, type, p.x_count(), seed * 13 + 1);
  reference.fill(p.weights, type, p.weight_count(), seed * 13 + 2);
  reference.fill(bias.data(), Type::f16, p.k, seed * 13 + 3);
  reference.fill(residual.data(), Type::f16, d_count, seed * 13 + 4);
  d.poison(0xFF);
  reference_convolution(device, reference_instance, expected.data(), p, type);
  if (epilogue) reference.epilogue(expected.data(), epilogue, bias.data(), residual.data(), Type::f16, (int)p.pixels(), p.k, (int)p.pixels(), p.k, 0);
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  prepare(p)(device.stream);
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  const std::string stray = check_guards({{"X", &x}, {"W", &weights}, {"D", &d}, {"bias", &bias}, {"residual", &residual}});
  if (!stray.empty()) return stray;
  return describe(reference.compare(p.d, output, expected.data(), (int)p.pixels(), p.k, (int)p.pixels(), p.k, 0), relative_bound(type, output, false));
}

inline ConvProblem conv_problem(int images, int h, int w, int c, int k, int filter, int stride, int pad, int dilation = 1, int groups = 1, int transposed = 0) {
  ConvProblem p;
  p.images = images, p.h = h, p.w = w, p.c = c, p.k = k, p.r = p.s = filter, p.stride = stride, p.pad = pad, p.dilation = dilation, p.groups = groups, p.transposed = transposed;
  return p;
}
inline std::vector<ConvProblem> conv_cases() {
  std::vector<ConvProblem> cases = {
      conv_problem(1, 1, 1, 8, 8, 1, 1, 0),          conv_problem(2, 14, 14, 64, 64, 3, 1, 1),        conv_problem(1, 56, 56, 64, 64, 3, 1, 1),
      conv_problem(3, 15, 9, 72, 40, 3, 2, 1),       conv_problem(2, 28, 28, 128, 256, 1, 2, 0),      conv_problem(1, 23, 17, 96, 136, 5, 1, 2),
      conv_problem(2, 19, 21, 40, 24, 7, 2, 3),      conv_problem(1, 30, 30, 64, 64, 3, 1, 2, 2),     conv_problem(2, 20, 31, 128, 192, 3, 2, 3, 3, 2),
      conv_problem(5, 7, 7, 512, 512, 3, 1, 1),      conv_problem(1, 12, 12, 256, 512, 3, 1, 1, 1, 4), conv_problem(33, 5, 6, 16, 264, 2, 1, 0),
  };
  ConvProblem uneven = conv_problem(2, 13, 40, 64, 80, 1, 1, 1);
  uneven.r = 1, uneven.s = 7;
  cases.push_back(uneven);
  return cases;
}

inline Group conv_group(const Instance &instance, const Instance &reference_instance) {
  return {instance.name, 20, [&instance, &reference_instance] {
            const Device device = open_device();
            const Reference reference(device, reference_instance);
            uint64_t seed = 2000;
            for (const ConvProblem &p : conv_cases()) {
              seed++;
              ConvProblem aligned = p;
              aligned.x = aligned.weights = aligned.d = 0;
              if (!conv_refusal(instance, aligned).empty()) continue;
              const std::string name = instance.name + "/" + conv_name(p);
              begin_case(name);
              end_case(name, run_conv_case(device, instance, reference_instance, reference, p, seed, [&](const ConvProblem &ready) { return prepare_conv(device, instance, ready); }));
            }
          }};
}
