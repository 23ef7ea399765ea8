// Measures the kernels against their peers: `bench FOLDER PEER.so OUT.jsonl [--only SECTION] [--shape MxNxK] [--verbose 1]`: products of one shape only, every instance's time.
// `--product MxNxK --instance NAME` launches one f16 product a few times and times nothing: what a profiler is put around.
#include "Conv.hpp"
#include "Gemm.hpp"
#include "Others.hpp"
#include "Tokens.hpp"

// The mean cycles that a block spends between its stamps, and when the blocks begin and end.
static void print_profile(const Device &device, const Instance &instance, const GemmProblem &p) {
  const Launch launch = prepare_gemm(device, instance, p);
  const int blocks = std::min<int>(launch.grid[0], kProfiledBlocks);
  // With nothing of its operands in the L2.
  const Buffer other(256 << 20);
  CHECK_CUDA(cuMemsetD8Async(other.data(), 1, other.bytes(), device.stream));
  launch(device.stream);
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  std::vector<uint64_t> clocks(blocks * 16);
  CHECK_CUDA(cuMemcpyDtoH_v2(clocks.data(), gemm_profile().data(), clocks.size() * 8));
  uint64_t first = ~0ull, last_begin = 0, end = 0;
  for (int b = 0; b < blocks; b++) first = std::min(first, clocks[b * 16]), last_begin = std::max(last_begin, clocks[b * 16]), end = std::max(end, clocks[b * 16 + 8]);
  const auto mean = [&](int from, int to) {
    double sum = 0;
    for (int b = 0; b < blocks; b++) sum += (double)(int64_t)(clocks[b * 16 + to] - clocks[b * 16 + from]);
    return sum / blocks;
  };
  const bool split = instance.number("SPLIT_K", 1) > 1;
  std::printf("profile %s %dx%dx%d, %d blocks: begin within %.2f us, all %.2f us; cycles: set-up %.0f, wait for the kernel before %.0f, first stage %.0f, products %.0f, ", instance.name.c_str(), p.m, p.n, p.k,
              blocks, (last_begin - first) * 1e-3, (end - first) * 1e-3, mean(9, 1), mean(1, 2), mean(2, 3), mean(3, 4));
  if (split) std::printf("sums laid out %.0f, arrived %.0f, added and stored %.0f, end %.0f\n", mean(4, 5), mean(5, 6), mean(6, 7), mean(7, 10));
  else std::printf("epilogue %.0f, end %.0f\n", mean(4, 7), mean(7, 10));
}

int main(int count, char **arguments) {
  if (count < 4) return std::fprintf(stderr, "bench FOLDER PEER.so OUT.jsonl [--only SECTION] [--verbose 1]\n"), 2;
  std::string only, shape, product, chosen;
  bool verbose = false;
  for (int i = 4; i + 1 < count; i += 2) {
    const std::string option = arguments[i];
    if (option == "--only") only = arguments[i + 1];
    else if (option == "--shape") shape = arguments[i + 1];
    else if (option == "--product") product = arguments[i + 1];
    else if (option == "--instance") chosen = arguments[i + 1];
    else if (option == "--verbose") verbose = true;
    else return std::fprintf(stderr, "no option %s\n", option.c_str()), 2;
  }
  const std::vector<Instance> instances = read_instances(arguments[1]);
  const Device device = open_device();
  const CublasLt lt(arguments[2]);
  FILE *json = std::fopen(arguments[3], "a");
  const Reference reference(device, instances.front());
  const auto wanted = [&](const std::string &section) { return section.find(only) != std::string::npos; };

  if (!product.empty()) {
    GemmProblem p;
    if (std::sscanf(product.c_str(), "%dx%dx%d", &p.m, &p.n, &p.k) != 3) return std::fprintf(stderr, "a product is MxNxK\n"), 2;
    const Buffer a(p.m * (size_t)p.k * 2), b(p.n * (size_t)p.k * 2), d(p.m * (size_t)p.n * 2), residual(p.m * (size_t)p.n * 2), bias(p.n * 2);
    reference.fill(a.data(), Type::f16, p.m * (long long)p.k, 1), reference.fill(b.data(), Type::f16, p.n * (long long)p.k, 2);
    p.a = a.data(), p.b = b.data(), p.d = d.data(), p.inputs[0] = bias.data(), p.inputs[1] = residual.data();
    for (const Instance &i : instances)
      if (i.name == chosen)
        for (int n = 0; n < 5; n++) prepare_gemm(device, i, p)(device.stream);
    CHECK_CUDA(cuStreamSynchronize(device.stream));
    for (const Instance &i : instances)
      if (i.name == chosen && i.number("PROFILE", 0)) print_profile(device, i, p);
    return 0;
  }
  double copy_gb_s = 0;
  {
    const size_t bytes = 2ull << 30;
    const Buffer from(bytes), to(bytes);
    reference.fill(from.data(), Type::s32, bytes / 4, 5);
    Repeated kernel(device, 4, [&](int, CUstream s) { reference.copy(to.data(), from.data(), bytes, s); });
    Repeated engine(device, 4, [&](int, CUstream s) { CHECK_CUDA(cuMemcpyDtoDAsync_v2(to.data(), from.data(), bytes, s)); });
    const double us = std::min(kernel.median(7), engine.median(7));
    copy_gb_s = 2 * bytes / us * 1e-3;
    std::printf("copy of %zu MiB: %.1f GB/s read and written; %s, driver %d\n", bytes >> 20, 2 * bytes / us * 1e-3, device.name.c_str(), device.driver);
    std::fprintf(json, "{\"section\":\"copy\",\"gb_s\":%.1f,\"device\":\"%s\",\"driver\":%d}\n", 2 * bytes / us * 1e-3, device.name.c_str(), device.driver);
  }
  GemmBench gemm(device, instances, reference, lt, json);
  for (const GemmRow &row : gemm_rows())
    if (wanted(row.section) && (std::to_string(row.m) + "x" + std::to_string(row.n) + "x" + std::to_string(row.k)).find(shape) != std::string::npos) try {
        gemm.run(row, verbose);
      } catch (const std::exception &error) {
        std::printf("%s %dx%dx%d: %s\n", row.section, row.m, row.n, row.k, error.what());
      }
  TokenBench tokens(device, instances, reference, copy_gb_s, json, verbose);
  const ConvBench conv(device, instances, reference, json, verbose);
  if (wanted("conv"))
    for (const int images : {1, 32})
      for (const ConvRow &row : conv_rows()) try {
          conv.run(row, images);
        } catch (const std::exception &error) {
          std::printf("conv: %s\n", error.what());
        }
  if (wanted("skinny"))
    for (const char *weight : {"f16", "s8", "s4"})
      for (const auto &[n, k] : {std::pair{4096, 4096}, {11008, 4096}})
        for (const int m : {1, 4, 16}) tokens.skinny(weight, m, n, k);
  if (wanted("decode"))
    for (const char *kv : {"f16", "e4m3", "s8"})
      for (const int batch : {1, 16, 64}) tokens.decode(batch, 4096, 32, 8, 128, kv);
  if (wanted("rows"))
    for (const auto &[r, c] : {std::pair{16384, 4096}, {128, 768}})
      for (const char *kind : {"layernorm", "rmsnorm", "softmax", "gelu", "addnorm"}) tokens.rows(kind, r, c);
  if (wanted("others")) OtherBench(device, instances, reference, copy_gb_s, json).run();
  std::fclose(json);
  return 0;
}
