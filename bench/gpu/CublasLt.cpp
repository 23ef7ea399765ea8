// cuBLASLt as the peer of bench.cpp, a shared library with a plain C face; built on the GPU host, where its headers are.
//   D[m, n] = act(A[m, k] * B[n, k]^T + bias)  by every algorithm that the heuristics name.
#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <vector>

namespace {
cublasLtHandle_t handle;
struct Plan {
  cublasLtMatmulDesc_t op;
  cublasLtMatrixLayout_t a, b, d;
  std::vector<cublasLtMatmulHeuristicResult_t> algorithms;
  bool integer;
};
cudaDataType_t data_type(int type) {
  switch (type) {
    case 0: return CUDA_R_16F;
    case 1: return CUDA_R_16BF;
    case 4: return CUDA_R_8F_E4M3;
    case 5: return CUDA_R_8F_E5M2;
    case 6: return CUDA_R_8I;
    case 7: return CUDA_R_32I;
    default: return CUDA_R_32F;
  }
}
} // namespace

// `epilogue`: 0 none, 1 bias + GELU (tanh), 2 bias + ReLU. `fast`: fp8 fast accumulation. Gives null where nothing fits.
extern "C" void *lt_plan(int input, int output, int m, int n, int k, int epilogue, int fast, size_t workspace) {
  if (!handle && cublasLtCreate(&handle) != CUBLAS_STATUS_SUCCESS) return nullptr;
  auto *p = new Plan{};
  p->integer = input == 6;
  const cublasComputeType_t compute = p->integer ? CUBLAS_COMPUTE_32I : input == 3 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  if (cublasLtMatmulDescCreate(&p->op, compute, p->integer ? CUDA_R_32I : CUDA_R_32F)) return nullptr;
  const cublasOperation_t t = CUBLAS_OP_T, none = CUBLAS_OP_N;
  cublasLtMatmulDescSetAttribute(p->op, CUBLASLT_MATMUL_DESC_TRANSA, &t, sizeof t);
  cublasLtMatmulDescSetAttribute(p->op, CUBLASLT_MATMUL_DESC_TRANSB, &none, sizeof none);
  if (epilogue) {
    const cublasLtEpilogue_t e = epilogue == 1 ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_RELU_BIAS;
    cublasLtMatmulDescSetAttribute(p->op, CUBLASLT_MATMUL_DESC_EPILOGUE, &e, sizeof e);
  }
  if (input == 4 || input == 5) {
    const int8_t f = (int8_t)fast;
    cublasLtMatmulDescSetAttribute(p->op, CUBLASLT_MATMUL_DESC_FAST_ACCUM, &f, sizeof f);
  }
  // Row-major D is column-major D^T = B * A^T: cuBLASLt's "A" is our B.
  cublasLtMatrixLayoutCreate(&p->a, data_type(input), k, n, k);
  cublasLtMatrixLayoutCreate(&p->b, data_type(input), k, m, k);
  cublasLtMatrixLayoutCreate(&p->d, data_type(output), n, m, n);
  cublasLtMatmulPreference_t preference;
  cublasLtMatmulPreferenceCreate(&preference);
  cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
  p->algorithms.resize(64);
  int found = 0;
  cublasLtMatmulAlgoGetHeuristic(handle, p->op, p->a, p->b, p->d, p->d, preference, 64, p->algorithms.data(), &found);
  p->algorithms.resize(found);
  return p;
}
extern "C" int lt_algorithms(void *plan) { return plan ? (int)static_cast<Plan *>(plan)->algorithms.size() : 0; }
extern "C" int lt_run(void *plan, int algorithm, void *a, void *b, void *d, void *bias, void *workspace, size_t workspace_bytes, void *stream) {
  auto *p = static_cast<Plan *>(plan);
  if (bias) cublasLtMatmulDescSetAttribute(p->op, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
  const float one = 1.0f, zero = 0.0f;
  const int one_i = 1, zero_i = 0;
  const void *alpha = p->integer ? (const void *)&one_i : &one, *beta = p->integer ? (const void *)&zero_i : &zero;
  return cublasLtMatmul(handle, p->op, alpha, b, p->a, a, p->b, beta, d, p->d, d, p->d, &p->algorithms[algorithm].algo, workspace, workspace_bytes, (cudaStream_t)stream);
}
extern "C" size_t lt_version() { return cublasLtGetVersion(); }
