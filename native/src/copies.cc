// Copies and fills, all asynchronous.
#include "addon.h"

#define NOTE_CAPTURE(target, handle) \
  if ((target).capture != nullptr) (target).capture->others.push_back(handle)

Napi::Value Instance::copyToDevice(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "copy to the device");
  auto& target = stream(arguments.integer(0, "stream"), arguments.doing());
  const std::uint64_t bytes = arguments.integer(5, "bytes");
  const std::uint64_t offset = arguments.integer(2, "destinationOffset");
  auto& memory = range(arguments.integer(1, "destination"), offset, bytes, arguments.doing());
  const Handle source = arguments.integer(3, "source");
  const std::uint8_t* data = pinnedRange(source, arguments.integer(4, "sourceOffset"), bytes, arguments.doing());
  Object& pinned = *table_.find(source);
  sameDevice(memory, target, arguments.doing());
  sameDevice(pinned, target, arguments.doing());
  if (bytes == 0) return info.Env().Undefined();
  enter(target, arguments.doing());
  CUDA_CALL(driver(arguments.doing()), memcpyHtoDAsync, arguments.doing(), memory.address + offset, data, std::size_t(bytes),
            target.handle);
  submitted(target);
  use(target, memory);
  use(target, pinned);
  NOTE_CAPTURE(target, memory.id);
  NOTE_CAPTURE(target, source);
  return info.Env().Undefined();
}

Napi::Value Instance::copyToHost(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "copy to the host");
  auto& target = stream(arguments.integer(0, "stream"), arguments.doing());
  const std::uint64_t bytes = arguments.integer(5, "bytes");
  const Handle destination = arguments.integer(1, "destination");
  std::uint8_t* data = pinnedRange(destination, arguments.integer(2, "destinationOffset"), bytes, arguments.doing());
  const std::uint64_t offset = arguments.integer(4, "sourceOffset");
  auto& memory = range(arguments.integer(3, "source"), offset, bytes, arguments.doing());
  Object& pinned = *table_.find(destination);
  sameDevice(memory, target, arguments.doing());
  sameDevice(pinned, target, arguments.doing());
  if (bytes == 0) return info.Env().Undefined();
  enter(target, arguments.doing());
  CUDA_CALL(driver(arguments.doing()), memcpyDtoHAsync, arguments.doing(), data, memory.address + offset, std::size_t(bytes),
            target.handle);
  submitted(target);
  use(target, memory);
  use(target, pinned);
  NOTE_CAPTURE(target, memory.id);
  NOTE_CAPTURE(target, destination);
  return info.Env().Undefined();
}

Napi::Value Instance::copyOnDevice(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "copy on the device");
  auto& target = stream(arguments.integer(0, "stream"), arguments.doing());
  const std::uint64_t bytes = arguments.integer(5, "bytes");
  const std::uint64_t to = arguments.integer(2, "destinationOffset");
  const std::uint64_t from = arguments.integer(4, "sourceOffset");
  auto& destination = range(arguments.integer(1, "destination"), to, bytes, arguments.doing());
  auto& source = range(arguments.integer(3, "source"), from, bytes, arguments.doing());
  sameDevice(destination, target, arguments.doing());
  sameDevice(source, target, arguments.doing());
  const cu::DevicePtr a = destination.address + to, b = source.address + from;
  if (a < b + bytes && b < a + bytes && bytes > 0)
    throw Failure(outOfRange, arguments.doing(), "the two ranges overlap: the result would be undefined");
  if (bytes == 0) return info.Env().Undefined();
  enter(target, arguments.doing());
  CUDA_CALL(driver(arguments.doing()), memcpyDtoDAsync, arguments.doing(), a, b, std::size_t(bytes), target.handle);
  submitted(target);
  use(target, destination);
  use(target, source);
  NOTE_CAPTURE(target, destination.id);
  NOTE_CAPTURE(target, source.id);
  return info.Env().Undefined();
}

// A few bytes straight from a typed array. The driver takes them before it returns, so the array may change afterwards.
Napi::Value Instance::write(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "write a few bytes to the device");
  auto& target = stream(arguments.integer(0, "stream"), arguments.doing());
  const std::uint64_t offset = arguments.integer(2, "offset");
  const auto [data, bytes] = arguments.bytes(3, "data");
  if (bytes > 65536) arguments.refuse("more than 65,536 bytes: copy from page-locked memory instead");
  if (target.capture != nullptr)
    throw Failure(busy, arguments.doing(), "the stream is being captured: copy from page-locked memory instead");
  auto& memory = range(arguments.integer(1, "destination"), offset, bytes, arguments.doing());
  sameDevice(memory, target, arguments.doing());
  if (bytes == 0) return info.Env().Undefined();
  enter(target, arguments.doing());
  CUDA_CALL(driver(arguments.doing()), memcpyHtoDAsync, arguments.doing(), memory.address + offset, data, bytes, target.handle);
  submitted(target);
  use(target, memory);
  return info.Env().Undefined();
}

// `count` elements of `width` bytes (1, 2 or 4), each equal to `value`.
Napi::Value Instance::fill(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "fill device memory");
  auto& target = stream(arguments.integer(0, "stream"), arguments.doing());
  const std::uint64_t offset = arguments.integer(2, "offset");
  const std::uint64_t count = arguments.integer(3, "count");
  const std::uint64_t value = arguments.integer(4, "value");
  const std::uint64_t width = arguments.integer(5, "width");
  if (width != 1 && width != 2 && width != 4) arguments.refuse("width must be 1, 2 or 4 bytes");
  if (value >= (1ull << (8 * width))) arguments.refuse("value does not fit into the element's width");
  if (offset % width != 0) arguments.refuse("offset must be a multiple of width");
  if (count > (1ull << 48)) arguments.refuse("count is too large");
  auto& memory = range(arguments.integer(1, "destination"), offset, count * width, arguments.doing());
  sameDevice(memory, target, arguments.doing());
  if (count == 0) return info.Env().Undefined();
  enter(target, arguments.doing());
  const Driver& cuda = driver(arguments.doing());
  const cu::DevicePtr address = memory.address + offset;
  if (width == 1)
    CUDA_CALL(cuda, memsetD8Async, arguments.doing(), address, static_cast<unsigned char>(value), std::size_t(count), target.handle);
  else if (width == 2)
    CUDA_CALL(cuda, memsetD16Async, arguments.doing(), address, static_cast<unsigned short>(value), std::size_t(count), target.handle);
  else
    CUDA_CALL(cuda, memsetD32Async, arguments.doing(), address, static_cast<unsigned>(value), std::size_t(count), target.handle);
  submitted(target);
  use(target, memory);
  NOTE_CAPTURE(target, memory.id);
  return info.Env().Undefined();
}
