// The part of the CUDA driver API that the addon calls, declared here so that no toolkit is needed to build and one binary
// loads on every host. `abi_check.cc` compares sizes and values with cuda.h where a toolkit is found.
// Source: CUDA Driver API reference, CUDA 12.4 to 13.0 (the ABI of these entry points is stable across them).
#pragma once

#include <cstddef>
#include <cstdint>

namespace cu {

using Result = int;
using Device = int;
using DevicePtr = unsigned long long;
using Context = struct ContextOpaque*;
using Stream = struct StreamOpaque*;
using Event = struct EventOpaque*;
using Module = struct ModuleOpaque*;
using Function = struct FunctionOpaque*;
using Pool = struct PoolOpaque*;
using Graph = struct GraphOpaque*;
using GraphNode = struct GraphNodeOpaque*;
using GraphExec = struct GraphExecOpaque*;
using PhysicalMemory = unsigned long long;

inline constexpr Result success = 0;
inline constexpr Result errorInvalidValue = 1;
inline constexpr Result errorOutOfMemory = 2;
inline constexpr Result errorNotReady = 600;

inline constexpr unsigned streamNonBlocking = 1;
inline constexpr unsigned eventDisableTiming = 2;
inline constexpr unsigned hostAllocPortable = 1;
inline constexpr unsigned hostRegisterPortable = 1;
inline constexpr int captureRelaxed = 2;
inline constexpr int captureActive = 1;

struct Uuid {
  unsigned char bytes[16];
};

struct MemLocation {
  int type;  // 1: a device
  int id;
};

struct MemPoolProps {
  int allocType;  // 1: pinned (the only one for device memory)
  int handleTypes;
  MemLocation location;
  void* win32SecurityAttributes;
  std::size_t maxSize;
  unsigned short usage;
  unsigned char reserved[54];
};

inline constexpr int poolReleaseThreshold = 4;
inline constexpr int poolReservedCurrent = 5;
inline constexpr int poolUsedCurrent = 7;

struct MemAllocationProp {
  int type;
  int requestedHandleTypes;
  MemLocation location;
  void* win32HandleMetaData;
  struct {
    unsigned char compressionType;
    unsigned char gpuDirectRdmaCapable;
    unsigned short usage;
    unsigned char reserved[4];
  } allocFlags;
};

struct MemAccessDesc {
  MemLocation location;
  int flags;  // 3: read and write
};

inline constexpr int launchCooperative = 2;
inline constexpr int launchClusterDimension = 4;
inline constexpr int launchProgrammaticSerialization = 6;
inline constexpr int launchPriority = 8;

struct LaunchAttribute {
  int id;
  char pad[4];
  union {
    char bytes[64];
    void* pointer;  // gives the union the vendor's alignment
    int flag;
    struct {
      unsigned x, y, z;
    } cluster;
  } value;
};

struct LaunchConfig {
  unsigned gridX, gridY, gridZ;
  unsigned blockX, blockY, blockZ;
  unsigned sharedBytes;
  Stream stream;
  LaunchAttribute* attributes;
  unsigned attributeCount;
};

// Markers of the `extra` argument: one packed block of parameters instead of an array of pointers.
inline void* const paramBufferPointer = reinterpret_cast<void*>(1);
inline void* const paramBufferSize = reinterpret_cast<void*>(2);
inline void* const paramEnd = nullptr;

struct KernelNodeParams {
  Function function;
  unsigned gridX, gridY, gridZ;
  unsigned blockX, blockY, blockZ;
  unsigned sharedBytes;
  void** kernelParams;
  void** extra;
  void* kernel;
  Context context;
};

struct alignas(64) TensorMap {
  std::uint64_t opaque[16];
};

inline constexpr int jitMaxRegisters = 0;
inline constexpr int jitInfoLog = 3;
inline constexpr int jitInfoLogBytes = 4;
inline constexpr int jitErrorLog = 5;
inline constexpr int jitErrorLogBytes = 6;
inline constexpr int jitOptimizationLevel = 7;

}  // namespace cu

// Every driver entry point that the addon uses: X(name in this code, exported symbol, argument types).
#define ANNEAL_DRIVER_FUNCTIONS(X)                                                                                        \
  X(init, "cuInit", (unsigned))                                                                                           \
  X(driverGetVersion, "cuDriverGetVersion", (int*))                                                                       \
  X(getErrorName, "cuGetErrorName", (cu::Result, const char**))                                                           \
  X(getErrorString, "cuGetErrorString", (cu::Result, const char**))                                                       \
  X(deviceGetCount, "cuDeviceGetCount", (int*))                                                                           \
  X(deviceGet, "cuDeviceGet", (cu::Device*, int))                                                                         \
  X(deviceGetName, "cuDeviceGetName", (char*, int, cu::Device))                                                           \
  X(deviceGetUuid, "cuDeviceGetUuid_v2", (cu::Uuid*, cu::Device))                                                         \
  X(deviceTotalMem, "cuDeviceTotalMem_v2", (std::size_t*, cu::Device))                                                    \
  X(deviceGetAttribute, "cuDeviceGetAttribute", (int*, int, cu::Device))                                                  \
  X(deviceGetDefaultMemPool, "cuDeviceGetDefaultMemPool", (cu::Pool*, cu::Device))                                        \
  X(primaryCtxRetain, "cuDevicePrimaryCtxRetain", (cu::Context*, cu::Device))                                             \
  X(primaryCtxRelease, "cuDevicePrimaryCtxRelease_v2", (cu::Device))                                                      \
  X(ctxSetCurrent, "cuCtxSetCurrent", (cu::Context))                                                                      \
  X(memGetInfo, "cuMemGetInfo_v2", (std::size_t*, std::size_t*))                                                          \
  X(streamCreate, "cuStreamCreateWithPriority", (cu::Stream*, unsigned, int))                                             \
  X(streamDestroy, "cuStreamDestroy_v2", (cu::Stream))                                                                    \
  X(streamQuery, "cuStreamQuery", (cu::Stream))                                                                           \
  X(streamWaitEvent, "cuStreamWaitEvent", (cu::Stream, cu::Event, unsigned))                                              \
  X(streamBeginCapture, "cuStreamBeginCapture_v2", (cu::Stream, int))                                                     \
  X(streamEndCapture, "cuStreamEndCapture", (cu::Stream, cu::Graph*))                                                     \
  X(streamGetCaptureInfo, "cuStreamGetCaptureInfo_v2",                                                                    \
    (cu::Stream, int*, std::uint64_t*, cu::Graph*, const cu::GraphNode**, std::size_t*))                                  \
  X(eventCreate, "cuEventCreate", (cu::Event*, unsigned))                                                                 \
  X(eventDestroy, "cuEventDestroy_v2", (cu::Event))                                                                       \
  X(eventRecord, "cuEventRecord", (cu::Event, cu::Stream))                                                                \
  X(eventQuery, "cuEventQuery", (cu::Event))                                                                              \
  X(eventElapsedTime, "cuEventElapsedTime", (float*, cu::Event, cu::Event))                                               \
  X(memAlloc, "cuMemAlloc_v2", (cu::DevicePtr*, std::size_t))                                                             \
  X(memFree, "cuMemFree_v2", (cu::DevicePtr))                                                                             \
  X(memAllocAsync, "cuMemAllocAsync", (cu::DevicePtr*, std::size_t, cu::Stream))                                          \
  X(memAllocFromPoolAsync, "cuMemAllocFromPoolAsync", (cu::DevicePtr*, std::size_t, cu::Pool, cu::Stream))                \
  X(memFreeAsync, "cuMemFreeAsync", (cu::DevicePtr, cu::Stream))                                                          \
  X(memPoolCreate, "cuMemPoolCreate", (cu::Pool*, const cu::MemPoolProps*))                                               \
  X(memPoolDestroy, "cuMemPoolDestroy", (cu::Pool))                                                                       \
  X(memPoolTrimTo, "cuMemPoolTrimTo", (cu::Pool, std::size_t))                                                            \
  X(memPoolSetAttribute, "cuMemPoolSetAttribute", (cu::Pool, int, void*))                                                 \
  X(memPoolGetAttribute, "cuMemPoolGetAttribute", (cu::Pool, int, void*))                                                 \
  X(memHostAlloc, "cuMemHostAlloc", (void**, std::size_t, unsigned))                                                      \
  X(memFreeHost, "cuMemFreeHost", (void*))                                                                                \
  X(memHostRegister, "cuMemHostRegister_v2", (void*, std::size_t, unsigned))                                              \
  X(memHostUnregister, "cuMemHostUnregister", (void*))                                                                    \
  X(memcpyHtoDAsync, "cuMemcpyHtoDAsync_v2", (cu::DevicePtr, const void*, std::size_t, cu::Stream))                       \
  X(memcpyDtoHAsync, "cuMemcpyDtoHAsync_v2", (void*, cu::DevicePtr, std::size_t, cu::Stream))                             \
  X(memcpyDtoDAsync, "cuMemcpyDtoDAsync_v2", (cu::DevicePtr, cu::DevicePtr, std::size_t, cu::Stream))                     \
  X(memsetD8Async, "cuMemsetD8Async", (cu::DevicePtr, unsigned char, std::size_t, cu::Stream))                            \
  X(memsetD16Async, "cuMemsetD16Async", (cu::DevicePtr, unsigned short, std::size_t, cu::Stream))                         \
  X(memsetD32Async, "cuMemsetD32Async", (cu::DevicePtr, unsigned, std::size_t, cu::Stream))                               \
  X(memGetAllocationGranularity, "cuMemGetAllocationGranularity", (std::size_t*, const cu::MemAllocationProp*, int))      \
  X(memAddressReserve, "cuMemAddressReserve",                                                                             \
    (cu::DevicePtr*, std::size_t, std::size_t, cu::DevicePtr, unsigned long long))                                        \
  X(memAddressFree, "cuMemAddressFree", (cu::DevicePtr, std::size_t))                                                     \
  X(memCreate, "cuMemCreate", (cu::PhysicalMemory*, std::size_t, const cu::MemAllocationProp*, unsigned long long))       \
  X(memRelease, "cuMemRelease", (cu::PhysicalMemory))                                                                     \
  X(memMap, "cuMemMap", (cu::DevicePtr, std::size_t, std::size_t, cu::PhysicalMemory, unsigned long long))                \
  X(memUnmap, "cuMemUnmap", (cu::DevicePtr, std::size_t))                                                                 \
  X(memSetAccess, "cuMemSetAccess", (cu::DevicePtr, std::size_t, const cu::MemAccessDesc*, std::size_t))                  \
  X(moduleLoadDataEx, "cuModuleLoadDataEx", (cu::Module*, const void*, unsigned, int*, void**))                           \
  X(moduleUnload, "cuModuleUnload", (cu::Module))                                                                         \
  X(moduleGetFunction, "cuModuleGetFunction", (cu::Function*, cu::Module, const char*))                                   \
  X(moduleGetGlobal, "cuModuleGetGlobal_v2", (cu::DevicePtr*, std::size_t*, cu::Module, const char*))                     \
  X(funcGetAttribute, "cuFuncGetAttribute", (int*, int, cu::Function))                                                    \
  X(funcSetAttribute, "cuFuncSetAttribute", (cu::Function, int, int))                                                     \
  X(funcGetParamInfo, "cuFuncGetParamInfo", (cu::Function, std::size_t, std::size_t*, std::size_t*))                      \
  X(occupancyBlocks, "cuOccupancyMaxActiveBlocksPerMultiprocessor", (int*, cu::Function, int, std::size_t))               \
  X(occupancyClusters, "cuOccupancyMaxActiveClusters", (int*, cu::Function, const cu::LaunchConfig*))                     \
  X(launchKernelEx, "cuLaunchKernelEx", (const cu::LaunchConfig*, cu::Function, void**, void**))                          \
  X(tensorMapEncodeTiled, "cuTensorMapEncodeTiled",                                                                       \
    (cu::TensorMap*, int, std::uint32_t, void*, const std::uint64_t*, const std::uint64_t*, const std::uint32_t*,         \
     const std::uint32_t*, int, int, int, int))                                                                           \
  X(tensorMapEncodeIm2col, "cuTensorMapEncodeIm2col",                                                                     \
    (cu::TensorMap*, int, std::uint32_t, void*, const std::uint64_t*, const std::uint64_t*, const int*, const int*,       \
     std::uint32_t, std::uint32_t, const std::uint32_t*, int, int, int, int))                                             \
  X(graphInstantiate, "cuGraphInstantiateWithFlags", (cu::GraphExec*, cu::Graph, unsigned long long))                     \
  X(graphDestroy, "cuGraphDestroy", (cu::Graph))                                                                          \
  X(graphGetNodes, "cuGraphGetNodes", (cu::Graph, cu::GraphNode*, std::size_t*))                                          \
  X(graphNodeGetType, "cuGraphNodeGetType", (cu::GraphNode, int*))                                                        \
  X(graphUpload, "cuGraphUpload", (cu::GraphExec, cu::Stream))                                                            \
  X(graphLaunch, "cuGraphLaunch", (cu::GraphExec, cu::Stream))                                                            \
  X(graphExecDestroy, "cuGraphExecDestroy", (cu::GraphExec))                                                              \
  X(graphExecKernelNodeSetParams, "cuGraphExecKernelNodeSetParams_v2",                                                    \
    (cu::GraphExec, cu::GraphNode, const cu::KernelNodeParams*))
