// Element types as the instances name them, with their sizes and their tensor-map codes.
#pragma once
#include "Cuda.hpp"

enum class Type : int { f16 = 0, bf16 = 1, f32 = 2, tf32 = 3, e4m3 = 4, e5m2 = 5, s8 = 6, s32 = 7, f64 = 8, s4 = 9 };

inline Type type_named(const std::string &name) {
  if (name == "f16") return Type::f16;
  if (name == "bf16") return Type::bf16;
  if (name == "float") return Type::f32;
  if (name == "tf32") return Type::tf32;
  if (name == "e4m3") return Type::e4m3;
  if (name == "e5m2") return Type::e5m2;
  if (name == "s8") return Type::s8;
  if (name == "s32") return Type::s32;
  throw std::runtime_error("no element type is named " + name);
}
inline const char *type_name(Type t) {
  static const char *names[] = {"f16", "bf16", "float", "tf32", "e4m3", "e5m2", "s8", "s32", "f64", "s4"};
  return names[(int)t];
}
inline size_t type_bytes(Type t) {
  static const size_t bytes[] = {2, 2, 4, 4, 1, 1, 1, 4, 8, 1};
  return bytes[(int)t];
}
inline CUtensorMapDataType tensor_type(Type t) {
  switch (t) {
    case Type::f16: return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
    case Type::bf16: return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    case Type::f32: return CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
    case Type::tf32: return CU_TENSOR_MAP_DATA_TYPE_TFLOAT32;
    case Type::s32: return CU_TENSOR_MAP_DATA_TYPE_INT32;
    default: return CU_TENSOR_MAP_DATA_TYPE_UINT8;
  }
}
