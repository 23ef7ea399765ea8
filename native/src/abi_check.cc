// Compiled only where a toolkit is found: our declarations against the vendor's. Nothing here is linked into the addon.
#include <cuda.h>

#include "cuda_abi.h"

#define SAME_SIZE(ours, theirs) static_assert(sizeof(ours) == sizeof(theirs) && alignof(ours) == alignof(theirs))
#define SAME_OFFSET(ours, a, theirs, b) static_assert(offsetof(ours, a) == offsetof(theirs, b))

SAME_SIZE(cu::Uuid, CUuuid);
SAME_SIZE(cu::MemLocation, CUmemLocation);
SAME_SIZE(cu::MemPoolProps, CUmemPoolProps);
SAME_OFFSET(cu::MemPoolProps, maxSize, CUmemPoolProps, maxSize);
SAME_SIZE(cu::MemAllocationProp, CUmemAllocationProp);
SAME_OFFSET(cu::MemAllocationProp, allocFlags, CUmemAllocationProp, allocFlags);
SAME_SIZE(cu::MemAccessDesc, CUmemAccessDesc);
SAME_SIZE(cu::LaunchAttribute, CUlaunchAttribute);
SAME_OFFSET(cu::LaunchAttribute, value, CUlaunchAttribute, value);
SAME_SIZE(cu::LaunchConfig, CUlaunchConfig);
SAME_OFFSET(cu::LaunchConfig, stream, CUlaunchConfig, hStream);
SAME_OFFSET(cu::LaunchConfig, attributeCount, CUlaunchConfig, numAttrs);
SAME_SIZE(cu::KernelNodeParams, CUDA_KERNEL_NODE_PARAMS);
SAME_OFFSET(cu::KernelNodeParams, kernelParams, CUDA_KERNEL_NODE_PARAMS, kernelParams);
SAME_OFFSET(cu::KernelNodeParams, context, CUDA_KERNEL_NODE_PARAMS, ctx);
static_assert(sizeof(cu::TensorMap) == sizeof(CUtensorMap));
static_assert(sizeof(cu::DevicePtr) == sizeof(CUdeviceptr));
static_assert(sizeof(cu::PhysicalMemory) == sizeof(CUmemGenericAllocationHandle));

static_assert(cu::success == CUDA_SUCCESS && cu::errorInvalidValue == CUDA_ERROR_INVALID_VALUE);
static_assert(cu::errorOutOfMemory == CUDA_ERROR_OUT_OF_MEMORY && cu::errorNotReady == CUDA_ERROR_NOT_READY);
static_assert(cu::streamNonBlocking == CU_STREAM_NON_BLOCKING && cu::eventDisableTiming == CU_EVENT_DISABLE_TIMING);
static_assert(cu::hostAllocPortable == CU_MEMHOSTALLOC_PORTABLE && cu::hostRegisterPortable == CU_MEMHOSTREGISTER_PORTABLE);
static_assert(cu::captureRelaxed == CU_STREAM_CAPTURE_MODE_RELAXED && cu::captureActive == CU_STREAM_CAPTURE_STATUS_ACTIVE);
static_assert(cu::poolReleaseThreshold == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD);
static_assert(cu::poolReservedCurrent == CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT);
static_assert(cu::poolUsedCurrent == CU_MEMPOOL_ATTR_USED_MEM_CURRENT);
static_assert(cu::launchCooperative == CU_LAUNCH_ATTRIBUTE_COOPERATIVE);
static_assert(cu::launchClusterDimension == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION);
static_assert(cu::launchProgrammaticSerialization == CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION);
static_assert(cu::launchPriority == CU_LAUNCH_ATTRIBUTE_PRIORITY);
static_assert(cu::jitMaxRegisters == CU_JIT_MAX_REGISTERS && cu::jitInfoLog == CU_JIT_INFO_LOG_BUFFER);
static_assert(cu::jitInfoLogBytes == CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES && cu::jitErrorLog == CU_JIT_ERROR_LOG_BUFFER);
static_assert(cu::jitErrorLogBytes == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES);
static_assert(cu::jitOptimizationLevel == CU_JIT_OPTIMIZATION_LEVEL);
