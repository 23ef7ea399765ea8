// Device memory between unmapped pages, with red zones: a stray write that stays inside the mapping is found by
// `disturbed()`, one that leaves it faults. The data ends 512 bytes (rounded to its alignment) before the mapping does.
//
//   | unmapped | red zone ........ | data | red zone 512 B.. | unmapped |
#pragma once
#include "Cuda.hpp"

#include <vector>

class GuardedBuffer {
 public:
  static constexpr unsigned char kRed = 0xA5;
  static constexpr size_t kTail = 512, kHeadChecked = 65536;

  GuardedBuffer() = default;
  GuardedBuffer(const Device &device, size_t bytes, size_t alignment = 256) : bytes_(bytes), stream_(device.stream) {
    CUmemAllocationProp prop{};
    prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    prop.location = {CU_MEM_LOCATION_TYPE_DEVICE, device.device};
    CHECK_CUDA(cuMemGetAllocationGranularity(&page_, &prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    mapped_ = (bytes + kTail + alignment + kHeadChecked + page_ - 1) / page_ * page_;
    CHECK_CUDA(cuMemAddressReserve(&reserved_, mapped_ + 2 * page_, 0, 0, 0));
    CHECK_CUDA(cuMemCreate(&memory_, mapped_, &prop, 0));
    CHECK_CUDA(cuMemMap(reserved_ + page_, mapped_, 0, memory_, 0));
    CUmemAccessDesc access{prop.location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    CHECK_CUDA(cuMemSetAccess(reserved_ + page_, mapped_, &access, 1));
    data_ = (reserved_ + page_ + mapped_ - kTail - bytes) / alignment * alignment;
    CHECK_CUDA(cuMemsetD8Async(reserved_ + page_, kRed, mapped_, stream_));
  }
  GuardedBuffer(const GuardedBuffer &) = delete;
  GuardedBuffer &operator=(const GuardedBuffer &) = delete;
  GuardedBuffer(GuardedBuffer &&other) noexcept { swap(other); }
  GuardedBuffer &operator=(GuardedBuffer &&other) noexcept {
    swap(other);
    return *this;
  }
  ~GuardedBuffer() {
    if (!reserved_) return;
    cuda().cuMemUnmap(reserved_ + page_, mapped_);
    cuda().cuMemRelease(memory_);
    cuda().cuMemAddressFree(reserved_, mapped_ + 2 * page_);
  }

  CUdeviceptr data() const { return data_; }
  size_t bytes() const { return bytes_; }
  void poison(unsigned char with) const { CHECK_CUDA(cuMemsetD8Async(data_, with, bytes_, stream_)); }

  // Bytes of the red zones that no longer hold the pattern; the distance of the first from the data's end (or, negative,
  // from its start).
  size_t disturbed(long long *first) const {
    const CUdeviceptr begin = reserved_ + page_, end = begin + mapped_;
    size_t count = 0;
    const size_t tail = end - (data_ + bytes_), head = std::min<size_t>(data_ - begin, kHeadChecked);
    std::vector<unsigned char> host(std::max(tail, head));
    CHECK_CUDA(cuStreamSynchronize(stream_));
    CHECK_CUDA(cuMemcpyDtoH_v2(host.data(), data_ + bytes_, tail));
    for (size_t i = 0; i < tail; i++)
      if (host[i] != kRed && count++ == 0) *first = (long long)i;
    CHECK_CUDA(cuMemcpyDtoH_v2(host.data(), data_ - head, head));
    for (size_t i = 0; i < head; i++)
      if (host[head - 1 - i] != kRed && count++ == 0) *first = -(long long)i - 1;
    return count;
  }

 private:
  void swap(GuardedBuffer &o) {
    std::swap(data_, o.data_), std::swap(reserved_, o.reserved_), std::swap(memory_, o.memory_);
    std::swap(bytes_, o.bytes_), std::swap(mapped_, o.mapped_), std::swap(page_, o.page_), std::swap(stream_, o.stream_);
  }
  CUdeviceptr data_ = 0, reserved_ = 0;
  CUmemGenericAllocationHandle memory_ = 0;
  size_t bytes_ = 0, mapped_ = 0, page_ = 0;
  CUstream stream_ = nullptr;
};

// Plain device memory of the benchmarks.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t bytes) : bytes_(bytes) { CHECK_CUDA(cuMemAlloc_v2(&data_, bytes ? bytes : 1)); }
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;
  Buffer(Buffer &&o) noexcept { std::swap(data_, o.data_), std::swap(bytes_, o.bytes_); }
  Buffer &operator=(Buffer &&o) noexcept {
    std::swap(data_, o.data_), std::swap(bytes_, o.bytes_);
    return *this;
  }
  ~Buffer() {
    if (data_) cuda().cuMemFree_v2(data_);
  }
  CUdeviceptr data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  CUdeviceptr data_ = 0;
  size_t bytes_ = 0;
};
