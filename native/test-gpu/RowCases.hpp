// Cases of RowsSm75 and PointwiseSm75, and their launches.
#pragma once
#include "AttentionCases.hpp"

struct RowsShape {
  int rows, columns;
  float epsilon;
  int unused;
  CUdeviceptr x, residual, gamma, beta, out, sum;
};
struct PointwiseShape {
  long long vectors;
  int columns, unused;
  CUdeviceptr input[6], out;
};
struct RowProblem {
  int rows, columns;
  CUdeviceptr x, residual, gamma, beta, out, sum;
};

inline int most_columns(const Instance &i) { return i.kernel == "PointwiseSm75" ? 1 << 30 : i.number("WARPS_A_ROW", 4) * i.number("VECTORS", 4) * 256; }
inline Launch prepare_rows(const Instance &i, const RowProblem &p) {
  Launch l;
  l.dependent = true;
  l.function = load_function(i, 0);
  if (i.kernel == "PointwiseSm75") {
    const int step = i.number("THREADS", 256) * i.number("VECTORS", 4);
    PointwiseShape s{(long long)p.rows * p.columns / 8, p.columns, 0, {p.x, p.gamma}, p.out};
    l.block[0] = i.number("THREADS", 256), l.grid[0] = (unsigned)((s.vectors + step - 1) / step);
    l.add(s);
    return l;
  }
  const int of_block = i.number("ROWS_A_BLOCK", 1);
  l.block[0] = 32 * i.number("WARPS_A_ROW", 4) * of_block, l.grid[0] = (p.rows + of_block - 1) / of_block;
  const bool residual = i.number("RESIDUAL", 0) != 0;
  l.add(RowsShape{p.rows, p.columns, 1e-5f, 0, p.x, p.residual, p.gamma, p.beta, p.out, residual ? p.sum : 0});
  return l;
}

inline std::string run_rows_case(const Device &device, const Instance &i, const Reference &reference, int rows, int columns, uint64_t seed) {
  const Type type = type_named(i.text("T", "f16"));
  const long long count = (long long)rows * columns;
  const bool residual = i.number("RESIDUAL", 0) != 0;
  const GuardedBuffer x(device, count * 2, 16), r(device, count * 2, 16), gamma(device, columns * 2, 16), beta(device, columns * 2, 16), out(device, count * 2, 16), sum(device, count * 2, 16),
      expected(device, count * 8);
  reference.fill(x.data(), type, count, seed * 11 + 1, 2.0f);
  reference.fill(r.data(), type, count, seed * 11 + 2, 2.0f);
  reference.fill(gamma.data(), type, columns, seed * 11 + 3);
  reference.fill(beta.data(), type, columns, seed * 11 + 4);
  const int kind = i.kernel == "PointwiseSm75" ? 3 : i.number("KIND", 0);
  reference.rows(expected.data(), x.data(), residual ? r.data() : 0, gamma.data(), beta.data(), type, rows, columns, 1e-5, kind);
  out.poison(0xFF), sum.poison(0xFF);
  prepare_rows(i, {rows, columns, x.data(), r.data(), gamma.data(), beta.data(), out.data(), sum.data()})(device.stream);
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  const std::string stray = check_guards({{"x", &x}, {"residual", &r}, {"gamma", &gamma}, {"beta", &beta}, {"out", &out}, {"sum", &sum}});
  if (!stray.empty()) return stray;
  return describe(reference.compare(out.data(), type, expected.data(), rows, columns, rows, columns, 0), relative_bound(type, type, false));
}

inline Group rows_group(const Instance &instance, const Instance &reference_instance) {
  return {instance.name, 20, [&instance, &reference_instance] {
            const Device device = open_device();
            const Reference reference(device, reference_instance);
            int n = 0;
            for (const auto &[rows, columns] : {std::pair{1, 8}, {3, 768}, {128, 768}, {257, 1000}, {33, 2048}, {1000, 4096}}) {
              if (columns > most_columns(instance)) continue;
              const std::string name = instance.name + "/" + std::to_string(rows) + "x" + std::to_string(columns);
              begin_case(name);
              end_case(name, run_rows_case(device, instance, reference, rows, columns, 500 + n++));
            }
          }};
}
