// Measures the kernels against their peers: `bench FOLDER PEER.so OUT.jsonl [--only SECTION] [--verbose 1]`.
#include "Conv.hpp"
#include "Gemm.hpp"
#include "Tokens.hpp"

int main(int count, char **arguments) {
  if (count < 4) return std::fprintf(stderr, "bench FOLDER PEER.so OUT.jsonl [--only SECTION] [--verbose 1]\n"), 2;
  std::string only;
  bool verbose = false;
  for (int i = 4; i + 1 < count; i += 2) std::string(arguments[i]) == "--only" ? (void)(only = arguments[i + 1]) : (void)(verbose = true);
  const std::vector<Instance> instances = read_instances(arguments[1]);
  const Device device = open_device();
  const CublasLt lt(arguments[2]);
  FILE *json = std::fopen(arguments[3], "a");
  const Reference reference(device, instances.front());
  const auto wanted = [&](const std::string &section) { return section.find(only) != std::string::npos; };

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
    if (wanted(row.section)) try {
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
  if (wanted("attention"))
    for (const bool causal : {false, true})
      for (const auto &[b, t] : {std::pair{1, 2048}, {8, 2048}, {1, 8192}, {2, 8192}}) tokens.attention(b, t, 16, 128, causal);
  if (wanted("decode"))
    for (const char *kv : {"f16", "e4m3", "s8"})
      for (const int batch : {1, 16, 64}) tokens.decode(batch, 4096, 32, 8, 128, kv);
  if (wanted("rows"))
    for (const auto &[r, c] : {std::pair{16384, 4096}, {128, 768}})
      for (const char *kind : {"layernorm", "rmsnorm", "softmax", "gelu", "addnorm"}) tokens.rows(kind, r, c);
  std::fclose(json);
  return 0;
}
