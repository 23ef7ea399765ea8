// A stand-in for cuBLASLt over the stand-in driver's memory: float products, two algorithms, the second of which wants a workspace.
#include <algorithm>

#include "cublaslt_abi.h"
#include "fake.h"

namespace {
struct Description {
  int epilogue = lt::plain;
  const float* bias = nullptr;
};
struct Layout {
  int type = 0;
  std::uint64_t rows = 0, columns = 0;
  std::int64_t stride = 0, apart = 0;
  std::int32_t batch = 1;
};
constexpr std::size_t secondsWorkspace = 1024;
constexpr lt::Status notSupported = 15;
}  // namespace

FAKE_API std::size_t cublasLtGetVersion() { return 130100; }
FAKE_API lt::Status cublasLtCreate(lt::Handle* handle) { return *handle = new int(0), 0; }
FAKE_API lt::Status cublasLtDestroy(lt::Handle handle) { return delete static_cast<int*>(handle), 0; }
FAKE_API lt::Status cublasLtMatmulDescCreate(lt::Description* to, int, int) { return *to = new Description, 0; }
FAKE_API lt::Status cublasLtMatmulDescDestroy(lt::Description it) { return delete static_cast<Description*>(it), 0; }
FAKE_API lt::Status cublasLtMatmulDescSetAttribute(lt::Description it, int attribute, const void* value, std::size_t) {
  auto* description = static_cast<Description*>(it);
  if (attribute == lt::epilogue) description->epilogue = *static_cast<const std::int32_t*>(value);
  if (attribute == lt::biasPointer) description->bias = *static_cast<const float* const*>(value);
  return 0;
}
FAKE_API lt::Status cublasLtMatrixLayoutCreate(lt::Layout* to, int type, std::uint64_t rows, std::uint64_t columns, std::int64_t stride) {
  return *to = new Layout{type, rows, columns, stride, 0, 1}, 0;
}
FAKE_API lt::Status cublasLtMatrixLayoutDestroy(lt::Layout it) { return delete static_cast<Layout*>(it), 0; }
FAKE_API lt::Status cublasLtMatrixLayoutSetAttribute(lt::Layout it, int attribute, const void* value, std::size_t) {
  auto* layout = static_cast<Layout*>(it);
  if (attribute == lt::batchCount) layout->batch = *static_cast<const std::int32_t*>(value);
  if (attribute == lt::batchOffset) layout->apart = *static_cast<const std::int64_t*>(value);
  return 0;
}
FAKE_API lt::Status cublasLtMatmulPreferenceCreate(lt::Preference* to) { return *to = new std::size_t(0), 0; }
FAKE_API lt::Status cublasLtMatmulPreferenceDestroy(lt::Preference it) { return delete static_cast<std::size_t*>(it), 0; }
FAKE_API lt::Status cublasLtMatmulPreferenceSetAttribute(lt::Preference it, int, const void* value, std::size_t) {
  return *static_cast<std::size_t*>(it) = *static_cast<const std::size_t*>(value), 0;
}
FAKE_API lt::Status cublasLtMatmulAlgoGetHeuristic(lt::Handle, lt::Description, lt::Layout a, lt::Layout, lt::Layout, lt::Layout, lt::Preference most, int wanted,
                                                   lt::Heuristic* results, int* found) {
  *found = 0;
  if (static_cast<Layout*>(a)->type != lt::f32) return notSupported;
  for (std::size_t workspace : {std::size_t{0}, secondsWorkspace})
    if (*found < wanted && workspace <= *static_cast<std::size_t*>(most)) results[(*found)++] = {{{workspace}}, workspace, 0, 1.0f, {}};
  return 0;
}
FAKE_API lt::Status cublasLtMatmul(lt::Handle, lt::Description it, const void*, const void* a, lt::Layout a_layout, const void* b, lt::Layout b_layout, const void*,
                                   const void*, lt::Layout, void* d, lt::Layout d_layout, const lt::Algorithm* algorithm, void* workspace, std::size_t bytes, void*) {
  if (algorithm->opaque[0] > 0 && (workspace == nullptr || bytes < algorithm->opaque[0])) return 7;
  const auto& description = *static_cast<Description*>(it);
  const auto &la = *static_cast<Layout*>(a_layout), &lb = *static_cast<Layout*>(b_layout), &ld = *static_cast<Layout*>(d_layout);
  for (std::int32_t batch = 0; batch < ld.batch; batch++)
    for (std::uint64_t column = 0; column < ld.columns; column++)
      for (std::uint64_t row = 0; row < ld.rows; row++) {
        const float* x = static_cast<const float*>(a) + batch * la.apart + row * la.stride;
        const float* y = static_cast<const float*>(b) + batch * lb.apart + column * lb.stride;
        float sum = 0.0f;
        for (std::uint64_t k = 0; k < la.rows; k++) sum += x[k] * y[k];
        if ((description.epilogue & lt::bias) != 0) sum += description.bias[row];
        if (description.epilogue == lt::reluBias) sum = std::max(sum, 0.0f);
        static_cast<float*>(d)[batch * ld.apart + column * ld.stride + row] = sum;
      }
  return 0;
}
