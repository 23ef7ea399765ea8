// The driver API by dlopen, as the addon loads it: nothing to link, and a machine without a GPU gets a sentence.
// `cuda().cuMemAlloc(...)` wrapped by CHECK_CUDA, which throws an error with the CUDA name and the call's text.
#pragma once
#include <cuda.h>
#include <dlfcn.h>

#include <stdexcept>
#include <string>

#define CUDA_FUNCTIONS(X)                                                                                              \
  X(cuInit) X(cuDeviceGet) X(cuDeviceGetName) X(cuDeviceGetAttribute) X(cuDevicePrimaryCtxRetain) X(cuCtxSetCurrent)   \
  X(cuMemAlloc_v2) X(cuMemFree_v2) X(cuMemsetD8Async) X(cuMemcpyHtoD_v2) X(cuMemcpyHtoDAsync_v2) X(cuMemcpyDtoH_v2) X(cuMemcpyDtoDAsync_v2)    \
  X(cuStreamCreate) X(cuStreamSynchronize) X(cuStreamQuery) X(cuStreamBeginCapture_v2) X(cuStreamEndCapture)           \
  X(cuGraphInstantiateWithFlags) X(cuGraphLaunch) X(cuGraphExecDestroy) X(cuGraphDestroy) X(cuEventCreate)             \
  X(cuEventRecord) X(cuEventSynchronize) X(cuEventElapsedTime_v2) X(cuEventDestroy_v2) X(cuModuleLoadData)             \
  X(cuModuleGetFunction) X(cuModuleUnload) X(cuFuncSetAttribute) X(cuFuncGetAttribute) X(cuLaunchKernelEx)               \
  X(cuGetErrorName) X(cuGetErrorString) X(cuTensorMapEncodeTiled) X(cuTensorMapEncodeIm2col)                           \
  X(cuMemAddressReserve) X(cuMemAddressFree) X(cuMemCreate) X(cuMemRelease) X(cuMemMap) X(cuMemUnmap) X(cuMemSetAccess) \
  X(cuMemGetAllocationGranularity) X(cuOccupancyMaxActiveBlocksPerMultiprocessor) X(cuDriverGetVersion)

struct CudaTable {
#define X(f) decltype(&::f) f;
  CUDA_FUNCTIONS(X)
#undef X
};

inline const CudaTable &cuda() {
  static const CudaTable table = [] {
    CudaTable t{};
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library) throw std::runtime_error(std::string("no NVIDIA driver: ") + dlerror());
#define X(f)                                                                                                           \
  t.f = reinterpret_cast<decltype(t.f)>(dlsym(library, #f));                                                           \
  if (!t.f) throw std::runtime_error("the driver lacks " #f);
    CUDA_FUNCTIONS(X)
#undef X
    return t;
  }();
  return table;
}

inline void check_cuda(CUresult result, const char *what) {
  if (result == CUDA_SUCCESS) return;
  const char *name = "?", *text = "?";
  cuda().cuGetErrorName(result, &name);
  cuda().cuGetErrorString(result, &text);
  throw std::runtime_error(std::string(name) + " (" + text + ") in " + what);
}
#define CHECK_CUDA(call) check_cuda(cuda().call, #call)

struct Device {
  CUdevice device = 0;
  CUcontext context = nullptr;
  CUstream stream = nullptr;
  int multiprocessors = 0;
  int driver = 0;
  std::string name;
};

inline Device open_device() {
  Device d;
  CHECK_CUDA(cuInit(0));
  CHECK_CUDA(cuDeviceGet(&d.device, 0));
  char name[128];
  CHECK_CUDA(cuDeviceGetName(name, sizeof name, d.device));
  d.name = name;
  CHECK_CUDA(cuDeviceGetAttribute(&d.multiprocessors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, d.device));
  CHECK_CUDA(cuDriverGetVersion(&d.driver));
  CHECK_CUDA(cuDevicePrimaryCtxRetain(&d.context, d.device));
  CHECK_CUDA(cuCtxSetCurrent(d.context));
  CHECK_CUDA(cuStreamCreate(&d.stream, CU_STREAM_NON_BLOCKING));
  return d;
}
