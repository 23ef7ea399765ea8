// What is used of cuBLASLt, declared by ourselves: the numbers are those of its cublasLt.h (12 and 13), which do not change between releases.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lt {
using Status = int;  // 0: success
using Handle = void*;
using Description = void*;
using Layout = void*;
using Preference = void*;
struct Algorithm {
  std::uint64_t opaque[8];
};
struct Heuristic {
  Algorithm algorithm;
  std::size_t workspaceBytes;
  Status state;
  float waves;
  int reserved[4];
};

enum DataType { f32 = 0, f16 = 2, s8 = 3, s32 = 10, bf16 = 14, e4m3 = 28, e5m2 = 29 };
enum ComputeType { computeF32 = 68, computeS32 = 72, computeTf32 = 77 };
enum Operation { asStored = 0, transposed = 1 };
enum DescriptionAttribute { transposeA = 3, transposeB = 4, epilogue = 7, biasPointer = 8, fastAccumulation = 25 };
enum LayoutAttribute { batchCount = 5, batchOffset = 6 };
enum PreferenceAttribute { mostWorkspace = 1 };
enum Epilogue { plain = 1, bias = 4, reluBias = 6, geluBias = 36 };

// name, symbol, arguments
#define ANNEAL_CUBLASLT_FUNCTIONS(X)                                                                                   \
  X(create, "cublasLtCreate", (lt::Handle*))                                                                           \
  X(destroy, "cublasLtDestroy", (lt::Handle))                                                                          \
  X(descriptionCreate, "cublasLtMatmulDescCreate", (lt::Description*, int, int))                                       \
  X(descriptionDestroy, "cublasLtMatmulDescDestroy", (lt::Description))                                                \
  X(descriptionSet, "cublasLtMatmulDescSetAttribute", (lt::Description, int, const void*, std::size_t))                \
  X(layoutCreate, "cublasLtMatrixLayoutCreate", (lt::Layout*, int, std::uint64_t, std::uint64_t, std::int64_t))        \
  X(layoutDestroy, "cublasLtMatrixLayoutDestroy", (lt::Layout))                                                        \
  X(layoutSet, "cublasLtMatrixLayoutSetAttribute", (lt::Layout, int, const void*, std::size_t))                        \
  X(preferenceCreate, "cublasLtMatmulPreferenceCreate", (lt::Preference*))                                             \
  X(preferenceDestroy, "cublasLtMatmulPreferenceDestroy", (lt::Preference))                                            \
  X(preferenceSet, "cublasLtMatmulPreferenceSetAttribute", (lt::Preference, int, const void*, std::size_t))            \
  X(heuristics, "cublasLtMatmulAlgoGetHeuristic",                                                                      \
    (lt::Handle, lt::Description, lt::Layout, lt::Layout, lt::Layout, lt::Layout, lt::Preference, int, lt::Heuristic*, int*)) \
  X(multiply, "cublasLtMatmul",                                                                                        \
    (lt::Handle, lt::Description, const void*, const void*, lt::Layout, const void*, lt::Layout, const void*, const void*, \
     lt::Layout, void*, lt::Layout, const lt::Algorithm*, void*, std::size_t, void*))
}  // namespace lt
