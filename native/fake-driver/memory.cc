// Device memory as host memory: plain, pooled, mapped; page-locked memory; copies and fills.
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "fake.h"

namespace fake {
bool inside(cu::DevicePtr address, std::size_t bytes) {
  auto after = state().allocations.upper_bound(address);
  if (after == state().allocations.begin()) return false;
  auto& [start, allocation] = *std::prev(after);
  return address >= start && address + bytes <= start + allocation.bytes;
}
static cu::Result allocate(Context* context, cu::DevicePtr* out, std::size_t bytes, Pool* pool) {
  if (bytes == 0) return cu::errorInvalidValue;
  if (cu::Result result = charge(context, bytes); result != cu::success) return result;
  void* data = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  std::memset(data, 0xa5, bytes);
  *out = reinterpret_cast<cu::DevicePtr>(data);
  state().allocations[*out] = {context, bytes, pool};
  if (pool != nullptr) pool->reserved += bytes, pool->used += bytes;
  return cu::success;
}
static cu::Result release(cu::DevicePtr address) {
  auto found = state().allocations.find(address);
  if (found == state().allocations.end()) return cu::errorInvalidValue;
  found->second.context->used -= found->second.bytes;
  if (Pool* pool = found->second.pool; pool != nullptr) pool->reserved -= found->second.bytes, pool->used -= found->second.bytes;
  std::free(reinterpret_cast<void*>(address));
  state().allocations.erase(found);
  return cu::success;
}
}  // namespace fake
using namespace fake;

FAKE_API cu::Result cuMemAlloc_v2(cu::DevicePtr* out, std::size_t bytes) {
  FAKE_ENTER();
  return allocate(context, out, bytes, nullptr);
}
FAKE_API cu::Result cuMemFree_v2(cu::DevicePtr address) {
  FAKE_ENTER();
  return release(address);
}
FAKE_API cu::Result cuMemAllocAsync(cu::DevicePtr* out, std::size_t bytes, cu::Stream) {
  FAKE_ENTER();
  return allocate(context, out, bytes, nullptr);
}
FAKE_API cu::Result cuMemAllocFromPoolAsync(cu::DevicePtr* out, std::size_t bytes, cu::Pool pool, cu::Stream) {
  FAKE_ENTER();
  return allocate(context, out, bytes, live<Pool>(pool));
}
FAKE_API cu::Result cuMemFreeAsync(cu::DevicePtr address, cu::Stream) {
  FAKE_ENTER();
  return release(address);
}
FAKE_API cu::Result cuDeviceGetDefaultMemPool(cu::Pool* out, cu::Device device) {
  static std::map<cu::Device, Pool> pools;
  std::lock_guard lock(state().mutex);
  Pool& pool = pools[device];
  pool.context = &state().devices[std::size_t(device)];
  state().live.insert(&pool);
  *out = reinterpret_cast<cu::Pool>(&pool);
  return cu::success;
}
FAKE_API cu::Result cuMemPoolCreate(cu::Pool* out, const cu::MemPoolProps*) {
  FAKE_ENTER();
  return keep(new Pool{context}, out);
}
FAKE_API cu::Result cuMemPoolDestroy(cu::Pool pool) {
  std::lock_guard lock(state().mutex);
  return drop(live<Pool>(pool));
}
FAKE_API cu::Result cuMemPoolTrimTo(cu::Pool, std::size_t) { return cu::success; }
FAKE_API cu::Result cuMemPoolSetAttribute(cu::Pool pool, int attribute, void* value) {
  if (live<Pool>(pool) == nullptr || attribute != cu::poolReleaseThreshold) return cu::errorInvalidValue;
  live<Pool>(pool)->keep = *static_cast<std::uint64_t*>(value);
  return cu::success;
}
FAKE_API cu::Result cuMemPoolGetAttribute(cu::Pool handle, int attribute, void* value) {
  auto* pool = live<Pool>(handle);
  if (pool == nullptr) return cu::errorInvalidValue;
  *static_cast<std::uint64_t*>(value) = attribute == cu::poolReservedCurrent ? pool->reserved : pool->used;
  return cu::success;
}

FAKE_API cu::Result cuMemHostAlloc(void** out, std::size_t bytes, unsigned) {
  FAKE_ENTER();
  *out = std::malloc(bytes);
  if (*out == nullptr) return cu::errorOutOfMemory;
  state().hostAllocations[*out] = bytes;
  context->used += objectCost;
  return cu::success;
}
FAKE_API cu::Result cuMemFreeHost(void* data) {
  FAKE_ENTER();
  if (state().hostAllocations.erase(data) == 0) return cu::errorInvalidValue;
  std::free(data);
  context->used -= objectCost;
  return cu::success;
}
FAKE_API cu::Result cuMemHostRegister_v2(void* data, std::size_t bytes, unsigned) {
  FAKE_ENTER();
  if (!state().registered.emplace(data, bytes).second) return errorHostMemoryAlreadyRegistered;
  context->used += objectCost;
  return cu::success;
}
FAKE_API cu::Result cuMemHostUnregister(void* data) {
  FAKE_ENTER();
  if (state().registered.erase(data) == 0) return cu::errorInvalidValue;
  context->used -= objectCost;
  return cu::success;
}

// --- Copies and fills: done when submitted, unless captured ---------------------------------------------------------------

static cu::Result copy(cu::Stream handle, void* to, const void* from, std::size_t bytes, cu::DevicePtr device) {
  auto* stream = live<Stream>(handle);
  if (stream == nullptr || !inside(device, bytes)) return cu::errorInvalidValue;
  return submit(stream, 1, [=](Stream*) {
    std::memcpy(to, from, bytes);
    return cu::success;
  });
}
FAKE_API cu::Result cuMemcpyHtoDAsync_v2(cu::DevicePtr to, const void* from, std::size_t bytes, cu::Stream stream) {
  FAKE_ENTER();
  return copy(stream, reinterpret_cast<void*>(to), from, bytes, to);
}
FAKE_API cu::Result cuMemcpyDtoHAsync_v2(void* to, cu::DevicePtr from, std::size_t bytes, cu::Stream stream) {
  FAKE_ENTER();
  return copy(stream, to, reinterpret_cast<void*>(from), bytes, from);
}
FAKE_API cu::Result cuMemcpyDtoDAsync_v2(cu::DevicePtr to, cu::DevicePtr from, std::size_t bytes, cu::Stream stream) {
  FAKE_ENTER();
  if (!inside(from, bytes)) return cu::errorInvalidValue;
  return copy(stream, reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes, to);
}
template <typename T>
static cu::Result fill(cu::DevicePtr address, T value, std::size_t count, cu::Stream handle) {
  auto* stream = live<Stream>(handle);
  if (stream == nullptr || !inside(address, count * sizeof(T))) return cu::errorInvalidValue;
  return submit(stream, 2, [=](Stream*) {
    for (std::size_t i = 0; i < count; i++) reinterpret_cast<T*>(address)[i] = value;
    return cu::success;
  });
}
FAKE_API cu::Result cuMemsetD8Async(cu::DevicePtr address, unsigned char value, std::size_t count, cu::Stream stream) {
  FAKE_ENTER();
  return fill(address, value, count, stream);
}
FAKE_API cu::Result cuMemsetD16Async(cu::DevicePtr address, unsigned short value, std::size_t count, cu::Stream stream) {
  FAKE_ENTER();
  return fill(address, value, count, stream);
}
FAKE_API cu::Result cuMemsetD32Async(cu::DevicePtr address, unsigned value, std::size_t count, cu::Stream stream) {
  FAKE_ENTER();
  return fill(address, value, count, stream);
}

// --- Virtual memory -------------------------------------------------------------------------------------------------------

static constexpr std::size_t page = 65536;
FAKE_API cu::Result cuMemGetAllocationGranularity(std::size_t* out, const cu::MemAllocationProp*, int) {
  *out = page;
  return cu::success;
}
FAKE_API cu::Result cuMemAddressReserve(cu::DevicePtr* out, std::size_t bytes, std::size_t, cu::DevicePtr, unsigned long long) {
  FAKE_ENTER();
  void* data = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return cu::errorOutOfMemory;
  *out = reinterpret_cast<cu::DevicePtr>(data);
  state().reservations[*out] = bytes;
  context->used += objectCost;
  return cu::success;
}
FAKE_API cu::Result cuMemAddressFree(cu::DevicePtr address, std::size_t bytes) {
  FAKE_ENTER();
  auto found = state().reservations.find(address);
  if (found == state().reservations.end() || found->second != bytes) return cu::errorInvalidValue;
  state().reservations.erase(found);
  munmap(reinterpret_cast<void*>(address), bytes);
  context->used -= objectCost;
  return cu::success;
}
FAKE_API cu::Result cuMemCreate(cu::PhysicalMemory* out, std::size_t bytes, const cu::MemAllocationProp*, unsigned long long) {
  FAKE_ENTER();
  if (bytes % page != 0) return cu::errorInvalidValue;
  if (cu::Result result = charge(context, bytes); result != cu::success) return result;
  static cu::PhysicalMemory next = 1;
  *out = next++;
  state().physical[*out] = {context, bytes};
  return cu::success;
}
FAKE_API cu::Result cuMemRelease(cu::PhysicalMemory handle) {
  FAKE_ENTER();
  auto found = state().physical.find(handle);
  if (found == state().physical.end()) return errorInvalidHandle;
  found->second.first->used -= found->second.second;
  state().physical.erase(found);
  return cu::success;
}
FAKE_API cu::Result cuMemMap(cu::DevicePtr address, std::size_t bytes, std::size_t, cu::PhysicalMemory handle, unsigned long long) {
  FAKE_ENTER();
  if (state().physical.count(handle) == 0) return errorInvalidHandle;
  mprotect(reinterpret_cast<void*>(address), bytes, PROT_READ | PROT_WRITE);
  state().allocations[address] = {context, bytes, nullptr};
  return cu::success;
}
FAKE_API cu::Result cuMemUnmap(cu::DevicePtr address, std::size_t bytes) {
  FAKE_ENTER();
  if (state().allocations.erase(address) == 0) return cu::errorInvalidValue;
  mprotect(reinterpret_cast<void*>(address), bytes, PROT_NONE);
  return cu::success;
}
FAKE_API cu::Result cuMemSetAccess(cu::DevicePtr, std::size_t, const cu::MemAccessDesc*, std::size_t) { return cu::success; }
